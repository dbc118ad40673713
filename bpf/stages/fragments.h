/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments: only the first one of a packet has ports. What it was found to be is
 * remembered under what all of them share, and later ones follow it, with nothing but
 * their IP header changed: the first one's checksum takes up every change. One that
 * comes before its first is the stack's (ADR 12).
 */
#ifndef XLVS_FRAGMENTS_H
#define XLVS_FRAGMENTS_H

#include "maps.h"
#include "table.h"

/*
 * How long: much less than reassembly may take (RFC 791: 15 s; Linux: 30 s), because a
 * sender of many packets comes to use the same id again (RFC 4963).
 */
#define FRAGMENT_SECONDS 5

static __always_inline void fragments_key(struct xlvs_fragment_key *key, const struct packet *p)
{
	key->src = p->tuple.src;
	key->dst = p->tuple.dst;
	key->id = p->fragment_id;
	key->family = p->family;
	/* RFC 8200 4.5: in IPv6 the next header of any but the first means nothing. */
	key->protocol = p->family == AF_INET ? p->protocol : 0;
}

/*
 * Can the first fragment be translated by itself? SCTP's CRC takes up other ports only if
 * the whole packet's length is known.
 */
static __always_inline bool fragments_possible(const struct packet *p,
					       const struct xlvs_destination *d)
{
	enum xlvs_method method = word_method(p->c.word);

	if (p->protocol != IPPROTO_SCTP || method == XLVS_METHOD_DR || method == XLVS_METHOD_TUN)
		return true;
	if (p->reply)
		return p->to.sport == p->tuple.sport && p->to.dport == p->tuple.dport;
	return method == XLVS_METHOD_NAT && destination_port(d, p->tuple.dport) == p->tuple.dport;
}

/* The first fragment of a packet of the connection p->c. XLVS_REASON_NONE, or its end. */
static __noinline int fragments_remember(const struct packet *p, const struct xlvs_destination *d)
{
	struct xlvs_fragment_key key = {};
	struct xlvs_geometry *g = geometry_get();
	struct xlvs_fragment flow = {
		.word = p->c.word,
		.destination = p->c.destination,
		.extra = p->c.extra,
		.sport = p->tuple.sport,
		.dport = p->tuple.dport,
		.protocol = p->protocol,
		.alone = p->stateless || p->one_packet,
	};

	if (!g || !fragments_possible(p, d))
		return XLVS_REASON_PASS_FRAGMENT;
	flow.until = p->now + FRAGMENT_SECONDS * g->hz;
	fragments_key(&key, p);
	/* Without room in the map the others are the stack's: nothing is to be done here. */
	bpf_map_update_elem(&fragments, &key, &flow, BPF_ANY);
	return XLVS_REASON_NONE;
}

/* Gives a later fragment what its first one said. False: nobody knows. */
static __noinline bool fragments_look(struct packet *p)
{
	struct xlvs_fragment_key key = {};
	struct xlvs_fragment *flow;

	fragments_key(&key, p);
	flow = bpf_map_lookup_elem(&fragments, &key);
	if (!flow || clock_over(p->now, flow->until))
		return false;
	p->tuple.sport = flow->sport;
	p->tuple.dport = flow->dport;
	p->tuple.protocol = p->protocol = flow->protocol;
	p->c.word = flow->word;
	p->c.destination = flow->destination;
	p->c.extra = flow->extra;
	p->stateless = flow->alone;
	return true;
}

/* What connection is a later fragment of? XLVS_REASON_NONE and p->c, or its end. */
static __always_inline int fragments_follow(struct packet *p)
{
	struct xlvs_destination *d;

	if (!fragments_look(p) || (!p->stateless && !table_find(p)))
		return XLVS_REASON_PASS_FRAGMENT;
	/* RFC 1122 3.2.2: no ICMP error about any fragment but the first. */
	if (p->ttl <= 1)
		return XLVS_REASON_PASS_FRAGMENT;
	d = destination_get(p->c.destination);
	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	if (!p->reply && !(d->flags & XLVS_DESTINATION_AVAILABLE))
		return XLVS_REASON_DROP_DESTINATION_REMOVED;
	return XLVS_REASON_NONE;
}

#endif
