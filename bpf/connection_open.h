/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A new connection: claimed, filled, given a local port if FULLNAT, published. */
#ifndef XLVS_CONNECTION_OPEN_H
#define XLVS_CONNECTION_OPEN_H

#include "local_ports.h"
#include "packet.h"
#include "table.h"

struct connection_local_search {
	struct xlvs_connection *c;
	__u32 base, count, first, block;
	__u32 found;
};

static long connection_local_try(__u32 i, void *data)
{
	struct connection_local_search *search = data;
	__u32 k = search->first + i, index, port;
	struct xlvs_local_address *local;

	if (k >= search->count)
		k -= search->count;
	index = search->base + k;
	local = bpf_map_lookup_elem(&local_addresses, &index);
	if (!local)
		return 1;
	port = local_port_take(search->block + k);
	if (!port)
		return 0;
	search->c->local = local->address;
	search->c->local_port = bpf_htons(port);
	search->c->port_block = search->block + k;
	search->found = 1;
	return 1;
}

/*
 * FULLNAT: a local address of the service and a free port of it towards this
 * server. Begins with an address that depends on the client and goes through all.
 */
static __always_inline int connection_local(struct xlvs_connection *c,
					    const struct xlvs_destination *d,
					    const struct xlvs_service *s)
{
	struct connection_local_search search = {
		.c = c,
		.base = s->local_base,
		.count = s->local_count,
		.block = d->port_block,
	};

	if (!search.count)
		return -1;
	search.first = (bpf_ntohs(c->client_port) + bpf_ntohl(c->client.word[3])) % search.count;
	bpf_loop(search.count, connection_local_try, &search, 0);
	return search.found ? 0 : -1;
}

/* Returns XLVS_REASON_NONE and p->slot, or why there is no connection. */
subprogram int connection_open(struct packet *p, __u32 service, __u32 destination)
{
	struct xlvs_destination *d = bpf_map_lookup_elem(&destinations, &destination);
	struct xlvs_service *s = bpf_map_lookup_elem(&services, &service);
	struct xlvs_connection *c;
	__u32 flags = 0, state = XLVS_STATE_NONE, slot = 0, old, now;

	if (!d || !s || !p)
		return XLVS_REASON_DROP_INTERNAL;
	now = p->now;
	c = table_claim(&slot);
	if (!c)
		return XLVS_REASON_DROP_TABLE_FULL;
	c->last_seen = now;
	c->timeout = 3000; /* until its first state sets another one, as in IPVS */
	c->destination = destination;
	c->service = service;
	c->client = p->tuple.src;
	c->virtual_address = p->tuple.dst;
	c->server = d->address;
	c->local = p->tuple.src;
	c->client_port = p->tuple.sport;
	c->virtual_port = p->tuple.dport;
	c->destination_port = d->port;
	c->local_port = p->tuple.sport;
	c->protocol = p->tuple.protocol;
	c->method = d->method;
	c->family = p->family;
	c->server_family = d->family;
	c->on_director = !!(d->flags & XLVS_DESTINATION_LOCAL);
	if (c->on_director && c->method == XLVS_METHOD_FULLNAT)
		c->method = XLVS_METHOD_NAT; /* its answers come back to us anyway */
	if (c->method == XLVS_METHOD_FULLNAT && connection_local(c, d, s)) {
		table_unclaim(slot);
		return XLVS_REASON_DROP_LOCAL_PORTS;
	}
	if (c->method == XLVS_METHOD_DR || c->method == XLVS_METHOD_TUN)
		flags |= XLVS_CONNECTION_NO_OUTPUT;
	if (p->protocol != IPPROTO_TCP) {
		flags |= XLVS_CONNECTION_INACTIVE;
		state = XLVS_STATE_UDP;
	}
	p->slot = slot;
	if (p->one_packet)
		return XLVS_REASON_NONE;
	if (table_publish(c, slot, state, flags)) {
		/* The other CPU's packet opened it: this one uses that connection. */
		if (c->method == XLVS_METHOD_FULLNAT)
			local_port_free(c->port_block, c->local_port);
		table_unclaim(slot);
		if (!table_find(&p->tuple, now, &slot, &old) || old)
			return XLVS_REASON_DROP_CONTENDED;
		p->slot = slot;
	}
	return XLVS_REASON_NONE;
}

/* Ends what connection_open() made for one packet. */
static __always_inline void connection_forget(struct packet *p, const struct xlvs_connection *c)
{
	if (c->method == XLVS_METHOD_FULLNAT)
		local_port_free(c->port_block, c->local_port);
	table_unclaim(p->slot);
}

#endif
