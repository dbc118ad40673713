/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A new connection: described, given a local port if FULLNAT, put into the table. */
#ifndef XLVS_CONNECTION_OPEN_H
#define XLVS_CONNECTION_OPEN_H

#include "persistence.h"
#include "portless.h"
#include "state.h"
#include "stream.h"
#include "sync_tell.h"
#include "table_open.h"
#include "timeout.h"

/* IPVS: what a connection gets before its first state. */
#define CONNECTION_NEW_SECONDS 3

struct connection_local_search {
	__u32 row, first, count;
	__u32 block; /* where it began */
	__u32 found; /* extra_of() */
};

static __noinline long connection_local_try(__u32 i, void *data)
{
	struct connection_local_search *search = data;
	__u32 k = search->first + i, at, block, port;
	__u32 *entry;

	if (k >= search->count)
		k -= search->count;
	at = search->row + 1 + k;
	entry = bpf_map_lookup_elem(&port_rows, &at);
	if (!entry)
		return 1;
	block = READ_ONCE(*entry);
	if (!i)
		search->block = block;
	port = local_port_take(block);
	if (!port)
		return 0;
	search->found = extra_of(block, bpf_htons(port));
	return 1;
}

/*
 * FULLNAT: a local address of the service and a free port of it towards this
 * server. Begins with an address that depends on the client and goes through all.
 * Returns extra_of(), or 0.
 */
static __noinline __u32 connection_local(const struct packet *p, const struct xlvs_destination *d)
{
	struct connection_local_search search = { .row = d->port_row };
	__u32 row = search.row;
	__u32 *count = bpf_map_lookup_elem(&port_rows, &row);

	search.count = count ? READ_ONCE(*count) : 0;
	if (!search.count)
		return 0;
	search.first = (bpf_ntohs(p->tuple.sport) + bpf_ntohl(p->tuple.src.word[3])) % search.count;
	if (likely(connection_local_try(0, &search)))
		return search.found;
	bpf_loop(search.count, connection_local_try, &search, 0);
	if (!search.found)
		local_port_refuse(search.block);
	return search.found;
}

/* No port was found for a connection to the server. */
static __noinline void portless_begin(__u32 service, __u32 destination)
{
	struct xlvs_destination_load *load = bpf_map_lookup_elem(&destination_load, &destination);
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &service);
	struct xlvs_geometry *g = geometry_get();
	__u32 until;

	if (!load || !s || !g)
		return;
	/* By portless()'s clock; p->hz is 0 on the lean way, which has looked nothing up. */
	until = clock_ticks() + g->hz / PORTLESS_SHARE;
	until += !until;
	WRITE_ONCE(load->portless_until, until);
	WRITE_ONCE(s->portless_until, until);
}

/* Ends what connection_open() took for one packet only. */
static __always_inline void connection_forget(const struct packet *p)
{
	if (word_method(p->c.word) == XLVS_METHOD_FULLNAT)
		local_port_free(extra_block(p->c.extra), extra_port(p->c.extra));
}

/*
 * The packet has opened p->c, and there is more to say of it. Returns 0, or less if there is no
 * room. (Kernel 6.1 takes no value out of *p, and its stack is too short for one.)
 */
static __always_inline int stream_open(const struct packet *p)
{
	struct xlvs_tenant tenant = tenant_of(p->family != AF_INET, p->c.at, p->c.word);
	struct scratch *s = scratch_get();
	struct xlvs_stream *stream = (void *)s;
	struct xlvs_entry *e = table_entry(p);

	if (p->protocol != IPPROTO_TCP || !e)
		return 0;
	if (!s)
		return -1;
	if (p->proved)
		*stream = p->stream;
	else
		__builtin_memset(stream, 0, sizeof(*stream));
	stream->flags = p->special;
	stream->begun = p->now;
	if (bpf_map_update_elem(&streams, &tenant, stream, BPF_ANY))
		return -1;
	/* Another CPU may have ended it before the record was there, see admission_settle(). */
	if (unlikely(!word_same(p->c.word, __sync_fetch_and_or(&e->word, 0))))
		bpf_map_delete_elem(&streams, &tenant);
	return 0;
}

/* Returns XLVS_REASON_NONE and p->c, or why there is no connection. */
subprogram int connection_open(struct packet *p, __u32 destination,
			       const struct xlvs_settings *settings)
{
	struct xlvs_destination *d = destination_get(destination);
	__u32 word, mine, timeout, state;
	enum xlvs_method method;
	int rc;

	if (!d || !p || !settings)
		return XLVS_REASON_DROP_INTERNAL;
	method = d->method;
	word = word_of_protocol(p->tuple.protocol);
	if (unlikely(p->templated) && !p->one_packet)
		word |= XLVS_CONNECTION_CONTROLLED;
	if (unlikely(p->special))
		word |= XLVS_CONNECTION_SPECIAL;
	if (d->flags & XLVS_DESTINATION_LOCAL) {
		word |= XLVS_CONNECTION_ON_DIRECTOR;
		if (method == XLVS_METHOD_FULLNAT)
			method = XLVS_METHOD_NAT; /* its answers come back to us anyway */
	}
	if (method == XLVS_METHOD_DR || method == XLVS_METHOD_TUN)
		word |= XLVS_CONNECTION_NO_OUTPUT;
	if (unlikely(p->icmp_type)) {
		state = XLVS_STATE_NONE; /* schedule_icmp */
	} else {
		state = state_first(p, !(word & XLVS_CONNECTION_NO_OUTPUT), settings);
		if (state_half_open(p) && !p->proved)
			word |= XLVS_CONNECTION_HALF_OPEN;
		/* UDP: until the first answer, which assures the template. */
		if (state == XLVS_STATE_UDP && p->templated)
			word |= XLVS_CONNECTION_NO_OUTPUT;
	}
	opaque(state); /* kernel 6.1 loses a bound over a spill */
	if (state >= XLVS_STATE_MAX)
		return XLVS_REASON_DROP_INTERNAL;
	if (!state_is_active(state))
		word |= XLVS_CONNECTION_INACTIVE;
	word |= state | method << XLVS_CONNECTION_METHOD_SHIFT;
	p->c.word = word;
	p->c.destination = destination;
	timeout = settings->timeout[state];
	if (unlikely(p->special))
		timeout = destination_timeout(d, state, timeout);
	p->c.expires = p->now + (p->icmp_type ? CONNECTION_NEW_SECONDS * p->hz : timeout);
	p->c.extra = 0;
	if (method == XLVS_METHOD_FULLNAT) {
		p->c.extra = connection_local(p, d);
		if (unlikely(!p->c.extra)) {
			portless_begin(d->service, destination);
			return XLVS_REASON_DROP_LOCAL_PORTS;
		}
	}
	p->opened = 1;
	mine = p->c.extra;
	rc = p->one_packet ? TABLE_OPENED : table_open(p, p->family != AF_INET);
	if (rc == TABLE_OPENED && unlikely(p->special & SERVICE_STREAM) && stream_open(p)) {
		p->opened = 0;
		table_end(p->family != AF_INET, p->c.at, p->c.word, 0);
		return XLVS_REASON_DROP_TABLE_FULL;
	}
	if (rc == TABLE_OPENED) {
		if (unlikely(p->templated))
			persistence_opened(p);
		if (unlikely(settings->sync) && !p->one_packet)
			sync_tell(p);
		return XLVS_REASON_NONE;
	}
	p->opened = 0;
	if (method == XLVS_METHOD_FULLNAT)
		local_port_free(extra_block(mine), extra_port(mine));
	if (rc == TABLE_EXISTS)
		return XLVS_REASON_NONE; /* the other CPU's: this packet uses that one */
	return rc == TABLE_FULL ? XLVS_REASON_DROP_TABLE_FULL : XLVS_REASON_DROP_CONTENDED;
}

#endif
