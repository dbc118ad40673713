/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connection table behind its interface: find, touch, set_state here; open in
 * table_open.h, end in table_end.h. ADR 10 argues why this is safe on several CPUs;
 * the rules are:
 *
 *  - An entry's word changes by compare-and-swap only, and its generation whenever the
 *    place changes hands. Key and destination are written while it is CLAIMED, before
 *    it is LIVE, and never again. So a reader that sees the same live generation before
 *    and after its copy has a copy of one connection.
 *  - Who ends a connection is who makes its word dead; nobody else takes its counts back.
 *  - One CPU at a time opens connections of one first line (its lock), so no two
 *    entries have one key. Readers take no lock.
 */
#ifndef XLVS_TABLE_H
#define XLVS_TABLE_H

#include "lib/clock.h"
#include "packet.h"
#include "table_place.h"
#include "table_region.h"

enum table_side {
	TABLE_CLIENT, /* from the client */
	TABLE_ANSWER, /* to a FULLNAT local address */
	TABLE_SERVER, /* from a server, to the client's own address */
};

static __always_inline struct xlvs_destination *destination_get(__u32 id)
{
	return bpf_map_lookup_elem(&destinations, &id);
}

static __always_inline struct xlvs_destination_load *table_load(__u32 destination)
{
	return bpf_map_lookup_elem(&destination_load, &destination);
}

static __always_inline struct xlvs_table_counts *table_counts_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&table_counts, &zero);
}

static __always_inline bool state_is_established(__u32 state)
{
	return state == XLVS_STATE_ESTABLISHED || state == XLVS_STATE_SCTP_ESTABLISHED;
}

/* IPVS: TCP in ESTABLISHED, SYN_SENT, SYN_RECV, SYNACK is active, SCTP in ESTABLISHED only. */
static __always_inline bool state_is_active(__u32 state)
{
	return (1u << state) & (1u << XLVS_STATE_ESTABLISHED | 1u << XLVS_STATE_SYN_SENT |
				1u << XLVS_STATE_SYN_RECV | 1u << XLVS_STATE_SYNACK |
				1u << XLVS_STATE_SCTP_ESTABLISHED);
}

static __always_inline void table_count(struct xlvs_destination_load *load, bool active, __s32 by)
{
	if (active)
		__sync_fetch_and_add(&load->active, by);
	else
		__sync_fetch_and_add(&load->inactive, by);
}

/* ---- one entry -------------------------------------------------------------- */

/* May packets use it? A connection whose time is over is as good as gone, swept or not. */
static __always_inline bool entry_usable(__u32 word, const struct xlvs_entry *e, __u32 now)
{
	if ((word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_ANSWER)) != XLVS_CONNECTION_LIVE)
		return false;
	return !clock_over(now, READ_ONCE(e->expires));
}

/* Copies what does not change; false: the place changed hands meanwhile. */
static __always_inline bool entry_copy(const struct xlvs_entry *e, __u32 word, __u32 at,
				       struct connection *c)
{
	c->at = at;
	c->word = word;
	c->expires = READ_ONCE(e->expires);
	c->destination = READ_ONCE(e->destination);
	c->extra = READ_ONCE(*(const __u32 *)&e->block);
	c->way_back_at = at;
	c->way_back = c->extra;
	return word_same(word, READ_ONCE(e->word));
}

/* Does this connection's server send what we look for? */
static __always_inline bool server_is(__u32 word, __u32 destination, const struct xlvs_tuple *t,
				      const struct xlvs_addr *vip, __be16 vport)
{
	struct xlvs_destination *d;

	if (word & XLVS_CONNECTION_SHADOWED)
		return false;
	if (word_method(word) != XLVS_METHOD_NAT)
		/* The stack of the director itself answers in the VIP's name. */
		return word & XLVS_CONNECTION_ON_DIRECTOR && t->sport == vport &&
		       address_equal(&t->src, vip);
	d = destination_get(destination);
	return d && destination_port(d, vport) == t->sport && address_equal(&d->address, &t->src);
}

/*
 * Is this the entry? Fills p->c, and p->to if the server's packet. Of a FULLNAT answer
 * only the ANSWER, which answer_follow() goes on from.
 */
static __always_inline bool entry4_find(const struct xlvs_entry4 *e, __u32 at, struct packet *p,
					enum table_side side)
{
	const struct xlvs_tuple *t = &p->tuple;
	__u32 word = READ_ONCE(e->entry.word);
	struct xlvs_addr vip;
	__be16 vport;

	if ((word & WORD_PROTOCOL) != word_of_protocol(t->protocol))
		return false;
	if (side == TABLE_SERVER) {
		if (READ_ONCE(e->src) != t->dst.word[3] || READ_ONCE(e->sport) != t->dport)
			return false;
	} else if (READ_ONCE(e->src) != t->src.word[3] || READ_ONCE(e->sport) != t->sport ||
		   READ_ONCE(e->dst) != t->dst.word[3] || READ_ONCE(e->dport) != t->dport) {
		return false;
	}
	if (side == TABLE_ANSWER) {
		if (!(word & XLVS_CONNECTION_LIVE) || !(word & XLVS_CONNECTION_ANSWER))
			return false;
		return entry_copy(&e->entry, word, at, &p->c);
	}
	if (!entry_usable(word, &e->entry, p->now))
		return false;
	if (side == TABLE_CLIENT)
		return entry_copy(&e->entry, word, at, &p->c);
	address_from_v4(&vip, READ_ONCE(e->dst));
	vport = READ_ONCE(e->dport);
	if (!server_is(word, READ_ONCE(e->entry.destination), t, &vip, vport))
		return false;
	p->to.src = vip;
	p->to.sport = vport;
	p->to.dst = t->dst;
	p->to.dport = t->dport;
	return entry_copy(&e->entry, word, at, &p->c);
}

static __always_inline bool entry6_find(const struct xlvs_entry6 *e, __u32 at, struct packet *p,
					enum table_side side)
{
	const struct xlvs_tuple *t = &p->tuple;
	__u32 word = READ_ONCE(e->entry.word);

	if ((word & WORD_PROTOCOL) != word_of_protocol(t->protocol))
		return false;
	if (side == TABLE_SERVER) {
		if (e->sport != t->dport || !address_equal(&e->src, &t->dst))
			return false;
	} else if (e->sport != t->sport || e->dport != t->dport ||
		   !address_equal(&e->src, &t->src) || !address_equal(&e->dst, &t->dst)) {
		return false;
	}
	if (side == TABLE_ANSWER) {
		if (!(word & XLVS_CONNECTION_LIVE) || !(word & XLVS_CONNECTION_ANSWER))
			return false;
		return entry_copy(&e->entry, word, at, &p->c);
	}
	if (!entry_usable(word, &e->entry, p->now))
		return false;
	if (side == TABLE_SERVER) {
		p->to.src = e->dst;
		p->to.sport = e->dport;
		p->to.dst = t->dst;
		p->to.dport = t->dport;
		if (!server_is(word, READ_ONCE(e->entry.destination), t, &p->to.src, p->to.sport))
			return false;
	}
	return entry_copy(&e->entry, word, at, &p->c);
}

/* ---- look-up ---------------------------------------------------------------- */

struct chain_walk {
	struct packet *p;
	__u32 line;
	enum table_side side;
	bool found;
};

static long chain_step4(__u32 i, void *data)
{
	struct chain_walk *w = data;
	__u32 line = w->line + i;
	struct xlvs_line4 *l = line4_get(line);

	if (!l)
		return 1;
	w->found = entry4_find(&l->way[0], line * XLVS_WAYS4, w->p, w->side) ||
		   entry4_find(&l->way[1], line * XLVS_WAYS4 + 1, w->p, w->side);
	return w->found || !READ_ONCE(l->passed);
}

static long chain_step6(__u32 i, void *data)
{
	struct chain_walk *w = data;
	__u32 line = w->line + i;
	struct xlvs_line6 *l = line6_get(line);

	if (!l)
		return 1;
	w->found = entry6_find(&l->way[0], line, w->p, w->side);
	return w->found || !READ_ONCE(l->passed);
}

/* The lines behind the first one: few connections live there. */
static __noinline int chain_find4(struct packet *p, __u32 home, enum table_side side)
{
	struct chain_walk w = { .p = p, .line = home + 1, .side = side };

	bpf_loop(XLVS_CHAIN - 1, chain_step4, &w, 0);
	return w.found;
}

static __always_inline bool table_find4(struct packet *p, __u32 home, enum table_side side)
{
	struct xlvs_line4 *l = line4_get(home);

	if (!l)
		return false;
	if (entry4_find(&l->way[0], home * XLVS_WAYS4, p, side) ||
	    entry4_find(&l->way[1], home * XLVS_WAYS4 + 1, p, side))
		return true;
	return unlikely(READ_ONCE(l->passed)) && chain_find4(p, home, side);
}

static __always_inline bool table_find6(struct packet *p, __u32 home, enum table_side side)
{
	struct chain_walk w = { .p = p, .line = home, .side = side };

	bpf_loop(XLVS_CHAIN, chain_step6, &w, 0);
	return w.found;
}

/* An answer to a FULLNAT local address: from its ANSWER to the connection. */
static __always_inline bool answer_follow(struct packet *p, bool v6)
{
	__u32 answer_at = p->c.at, way_back = p->c.extra, destination = p->c.destination;
	struct xlvs_entry *e = entry_get(v6, p->c.expires);
	struct xlvs_port_block *block;
	__u32 word, index;

	if (!e)
		return false;
	word = READ_ONCE(e->word);
	if (!entry_usable(word, e, p->now) || word_method(word) != XLVS_METHOD_FULLNAT ||
	    (word & WORD_PROTOCOL) != word_of_protocol(p->tuple.protocol))
		return false;
	if (v6) {
		struct xlvs_entry6 *key = (struct xlvs_entry6 *)e;

		p->to.src = key->dst;
		p->to.dst = key->src;
		p->to.sport = key->dport;
		p->to.dport = key->sport;
	} else {
		struct xlvs_entry4 *key = (struct xlvs_entry4 *)e;

		address_from_v4(&p->to.src, READ_ONCE(key->dst));
		address_from_v4(&p->to.dst, READ_ONCE(key->src));
		p->to.sport = READ_ONCE(key->dport);
		p->to.dport = READ_ONCE(key->sport);
	}
	if (!entry_copy(e, word, p->c.expires, &p->c))
		return false;
	p->c.way_back_at = answer_at;
	p->c.way_back = way_back;
	/* A local port belongs to one connection at a time: the same port, address and
	 * server mean that the place has not gone to another one since. */
	index = extra_block(p->c.extra);
	block = bpf_map_lookup_elem(&port_blocks, &index);
	return block && p->c.destination == destination &&
	       extra_port(p->c.extra) == p->tuple.dport &&
	       address_equal(&block->local, &p->tuple.dst);
}

static __always_inline __u8 address_roles(const struct xlvs_addresses *a, __u32 slot)
{
	return a->roles[slot & (XLVS_ADDRESS_SLOTS - 1)];
}

/* What a packet between these two addresses may be to us: 0 is nothing. */
static __always_inline __u8 table_roles(__u32 src_slot, __u32 dst_slot)
{
	__u32 zero = 0;
	struct xlvs_addresses *a = bpf_map_lookup_elem(&addresses, &zero);

	if (!a)
		return 0;
	return (address_roles(a, dst_slot) &
		(XLVS_ADDRESS_VIRTUAL | XLVS_ADDRESS_LOCAL | XLVS_ADDRESS_STATELESS)) |
	       (address_roles(a, src_slot) & XLVS_ADDRESS_SERVER);
}

#define TABLE_FIND(v6, find)                                                              \
	do {                                                                              \
		if (roles & XLVS_ADDRESS_VIRTUAL &&                                       \
		    find(p, place_of_client(g, v6, &t->src, t->sport), TABLE_CLIENT)) {   \
			p->reply = 0;                                                     \
			return true;                                                      \
		}                                                                         \
		p->reply = 1;                                                             \
		if (roles & XLVS_ADDRESS_LOCAL &&                                         \
		    find(p, place_of_answer(g, v6, &t->src, t->sport, &t->dst, t->dport), \
			 TABLE_ANSWER) &&                                                 \
		    answer_follow(p, v6))                                                 \
			return true;                                                      \
		if (roles & XLVS_ADDRESS_SERVER &&                                        \
		    find(p, place_of_client(g, v6, &t->dst, t->dport), TABLE_SERVER))     \
			return true;                                                      \
		p->reply = 0;                                                             \
		return false;                                                             \
	} while (0)

static __noinline int table_find_v6(struct packet *p, const struct xlvs_geometry *g)
{
	const struct xlvs_tuple *t = &p->tuple;
	__u8 roles = p->roles;

	TABLE_FIND(true, table_find6);
}

/*
 * The connection that p->tuple belongs to, in either direction: fills p->c, p->reply,
 * and of an answer p->to. Needs p->now and p->roles.
 */
subprogram int table_find(struct packet *p)
{
	struct xlvs_geometry *g = geometry_get();
	const struct xlvs_tuple *t;
	__u8 roles;

	if (!p || !g)
		return false;
	t = &p->tuple;
	roles = p->roles;
	p->hz = g->hz;
	if (p->family != AF_INET)
		return table_find_v6(p, g);
	TABLE_FIND(false, table_find4);
}

static __always_inline struct xlvs_entry *table_entry(const struct packet *p)
{
	return entry_get(p->family != AF_INET, p->c.at);
}

/* ---- change ----------------------------------------------------------------- */

/*
 * Restarts the timer. A connection is written to only eight times a second, and lives
 * up to an eighth of a second longer than its time-out, never shorter. (Where p->hz is
 * not known, 0, it is written to more often.)
 */
static __always_inline void table_touch(const struct packet *p, struct xlvs_entry *e, __u32 timeout)
{
	__u32 expires = p->now + timeout, slack = p->hz / 8, was = READ_ONCE(e->expires);
	bool v6 = p->family != AF_INET;

	if (was - expires <= slack)
		return;
	WRITE_ONCE(e->expires, expires + slack);
	if ((__s32)(expires - was) < 0)
		region_expires(v6, v6 ? p->c.at : p->c.at / XLVS_WAYS4, expires + slack);
}

/*
 * Changes the state; only the CPU whose change succeeds moves the counters. False:
 * the other CPU's packet came first, and the state is to be looked at again.
 */
static __always_inline bool table_set_state(struct xlvs_entry *e, __u32 destination, __u32 word,
					    __u32 state, __u32 clear)
{
	__u32 next = (word & ~(XLVS_CONNECTION_STATE | clear)) | state;
	bool was = !(word & XLVS_CONNECTION_INACTIVE);
	bool is = state_is_active(state);
	struct xlvs_destination_load *load;
	struct xlvs_table_counts *counts;

	if (state == XLVS_STATE_UDP)
		is = was;
	next = is ? next & ~XLVS_CONNECTION_INACTIVE : next | XLVS_CONNECTION_INACTIVE;
	if (likely(next == word))
		return true;
	if (__sync_val_compare_and_swap(&e->word, word, next) != word)
		return false;
	load = table_load(destination);
	if (was != is && load) {
		table_count(load, was, -1);
		table_count(load, is, 1);
	}
	if (word & clear & XLVS_CONNECTION_HALF_OPEN) {
		counts = table_counts_get();
		if (counts)
			counts->half_closed++;
	}
	return true;
}

#endif
