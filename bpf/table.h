/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connection table behind its interface: find, claim, publish, touch,
 * replace, end. Nothing else knows that it is an array of slots, a hash that
 * leads from a tuple to its slot, and a stack of free slots.
 *
 * Who may do what, on several CPUs at once:
 *  - A slot belongs to whoever took it from the stack until table_publish().
 *  - word changes by compare-and-swap only. Ending a connection is one such
 *    change (LIVE is cleared); whoever makes it, and nobody else, takes its
 *    counts back and frees the slot.
 *  - An index entry names a slot and its generation. A slot that was reused has
 *    another generation, so an entry seen just before cannot lead to another
 *    connection's data.
 */
#ifndef XLVS_TABLE_H
#define XLVS_TABLE_H

#include "lib/address.h"
#include "lib/clock.h"
#include "maps.h"

static __always_inline struct xlvs_connection *table_slot(__u32 slot)
{
	return bpf_map_lookup_elem(&connections, &slot);
}

static __always_inline struct xlvs_destination_load *table_load(__u32 destination)
{
	return bpf_map_lookup_elem(&destination_load, &destination);
}

/* Active or inactive? IPVS: TCP in ESTABLISHED, SYN_SENT, SYN_RECV, SYNACK is active. */
static __always_inline bool state_is_active(__u32 state)
{
	return (1u << state) & (1u << XLVS_STATE_ESTABLISHED | 1u << XLVS_STATE_SYN_SENT |
				1u << XLVS_STATE_SYN_RECV | 1u << XLVS_STATE_SYNACK);
}

static __always_inline void table_count(__u32 destination, bool active, __s32 by)
{
	struct xlvs_destination_load *load = table_load(destination);

	if (!load)
		return;
	if (active)
		__sync_fetch_and_add(&load->active, by);
	else
		__sync_fetch_and_add(&load->inactive, by);
}

/*
 * IPVS's thresholds: a destination is overloaded from the connection that reaches
 * the upper one, until one that ends leaves fewer than the lower one, or than
 * three quarters of the upper one where no lower one is given.
 */
static __always_inline void table_overload(__u32 destination, bool ended)
{
	struct xlvs_destination *d = bpf_map_lookup_elem(&destinations, &destination);
	struct xlvs_destination_load *load = table_load(destination);
	__u64 total;

	if (!d || !load || !d->upper_threshold)
		return;
	total = (__u64)READ_ONCE(load->active) + READ_ONCE(load->inactive);
	if (!ended) {
		if (total >= d->upper_threshold)
			WRITE_ONCE(load->overloaded, d->overload_epoch + 1);
	} else if (d->lower_threshold ? total < d->lower_threshold :
					total * 4 < (__u64)d->upper_threshold * 3) {
		WRITE_ONCE(load->overloaded, 0);
	}
}

/*
 * The connection of a tuple, in either direction, or null. An entry whose time is
 * over but which the sweep has not met yet is as good as gone.
 */
static __always_inline struct xlvs_connection *table_find(const struct xlvs_tuple *tuple, __u32 now,
							  __u32 *slot, __u32 *reply)
{
	struct xlvs_slot *entry = bpf_map_lookup_elem(&connection_index, tuple);
	struct xlvs_connection *c;
	__u32 generation, word;

	if (!entry)
		return NULL;
	*slot = entry->slot & ~XLVS_SLOT_REPLY;
	*reply = !!(entry->slot & XLVS_SLOT_REPLY);
	generation = entry->generation;
	c = table_slot(*slot);
	if (!c || c->generation != generation)
		return NULL;
	word = READ_ONCE(c->word);
	/* A replaced connection still translates what its old server sends. */
	if (!(word & XLVS_CONNECTION_LIVE) || (!*reply && word & XLVS_CONNECTION_REPLACED))
		return NULL;
	if (clock_over(now, READ_ONCE(c->last_seen), READ_ONCE(c->timeout)))
		return NULL;
	return c;
}

/* A free slot for a new connection, or null when the table is full. */
static __always_inline struct xlvs_connection *table_claim(__u32 *slot)
{
	struct xlvs_table *t = table_get();
	struct xlvs_connection *c;

	if (!t)
		return NULL;
	if (bpf_map_pop_elem(&free_slots, slot)) {
		/* Checked before it is raised, so that a full table does not wind it up. */
		if (!table_slot(READ_ONCE(t->fresh))) {
			__sync_fetch_and_add(&t->full, 1);
			return NULL;
		}
		*slot = __sync_fetch_and_add(&t->fresh, 1);
	}
	c = table_slot(*slot);
	if (!c) {
		__sync_fetch_and_add(&t->fresh, -1);
		__sync_fetch_and_add(&t->full, 1);
		return NULL;
	}
	c->generation++;
	return c;
}

/* Gives a slot back that was claimed and not published. */
static __always_inline void table_unclaim(__u32 slot)
{
	bpf_map_push_elem(&free_slots, &slot, BPF_ANY);
}

static __always_inline void tuple_forward(const struct xlvs_connection *c, struct xlvs_tuple *t)
{
	t->src = c->client;
	t->dst = c->virtual_address;
	t->sport = c->client_port;
	t->dport = c->virtual_port;
	t->protocol = c->protocol;
	__builtin_memset(t->pad, 0, sizeof(t->pad));
}

/* What the server's packets look like when they arrive. */
static __always_inline void tuple_reply(const struct xlvs_connection *c, struct xlvs_tuple *t)
{
	if (c->method == XLVS_METHOD_NAT || c->method == XLVS_METHOD_FULLNAT) {
		t->src = c->server;
		t->sport = c->destination_port;
	} else {
		t->src = c->virtual_address;
		t->sport = c->virtual_port;
	}
	t->dst = c->local;
	t->dport = c->local_port;
	t->protocol = c->protocol;
	__builtin_memset(t->pad, 0, sizeof(t->pad));
}

/* Does this connection's server answer through the director? */
static __always_inline bool table_sees_replies(const struct xlvs_connection *c)
{
	return c->method == XLVS_METHOD_NAT || c->method == XLVS_METHOD_FULLNAT || c->on_director;
}

/*
 * Puts a claimed and filled connection into the table. -1: another CPU has just
 * put the same tuple in; the caller gives its own back and uses that one.
 */
static __always_inline int table_publish(struct xlvs_connection *c, __u32 slot, __u32 state,
					 __u32 flags)
{
	struct xlvs_slot entry = { .slot = slot, .generation = c->generation };
	struct xlvs_table *t = table_get();
	struct xlvs_tuple key;
	__u32 used;

	WRITE_ONCE(c->word, state | flags | XLVS_CONNECTION_LIVE);
	tuple_forward(c, &key);
	if (bpf_map_update_elem(&connection_index, &key, &entry, BPF_NOEXIST)) {
		struct xlvs_slot *old = bpf_map_lookup_elem(&connection_index, &key);
		__u32 old_slot, reply;

		/* Stale (over, replaced, another generation): ours now. */
		if (old && table_find(&key, c->last_seen, &old_slot, &reply)) {
			WRITE_ONCE(c->word, 0);
			return -1;
		}
		if (bpf_map_update_elem(&connection_index, &key, &entry, BPF_ANY)) {
			WRITE_ONCE(c->word, 0);
			return -1;
		}
	}
	if (table_sees_replies(c)) {
		/* NAT: two virtual addresses may lead one client port to one server
		 * port. The server sees one connection then, and so do we: the newest. */
		entry.slot |= XLVS_SLOT_REPLY;
		tuple_reply(c, &key);
		bpf_map_update_elem(&connection_index, &key, &entry, BPF_ANY);
	}
	table_count(c->destination, !(flags & XLVS_CONNECTION_INACTIVE), 1);
	table_overload(c->destination, false);
	if (t) {
		__sync_fetch_and_add(&t->created, 1);
		used = __sync_fetch_and_add(&t->used, 1) + 1;
		/* A lost race leaves the mark one too low for a moment. */
		if (used > READ_ONCE(t->high_water))
			WRITE_ONCE(t->high_water, used);
	}
	return 0;
}

static __always_inline void table_touch(struct xlvs_connection *c, __u32 now, __u32 timeout)
{
	if (READ_ONCE(c->last_seen) != now)
		WRITE_ONCE(c->last_seen, now);
	if (READ_ONCE(c->timeout) != timeout)
		WRITE_ONCE(c->timeout, timeout);
}

/*
 * Takes a connection out of the way of a new one on the same ports. It is swept
 * soon; until then it is listed with no time left, as IPVS does.
 */
static __always_inline void table_replace(struct xlvs_connection *c)
{
	__u32 word = READ_ONCE(c->word);

	if (word & XLVS_CONNECTION_LIVE)
		__sync_val_compare_and_swap(&c->word, word, word | XLVS_CONNECTION_REPLACED);
	WRITE_ONCE(c->timeout, 0);
}

/*
 * Changes the state; only the CPU whose change succeeds moves the counters. False:
 * the other CPU's packet came first, and the state is to be looked at again.
 */
static __always_inline bool table_set_state(struct xlvs_connection *c, __u32 word, __u32 state,
					    __u32 clear)
{
	__u32 next = (word & ~(XLVS_CONNECTION_STATE | clear)) | state;
	bool was = !(word & XLVS_CONNECTION_INACTIVE);
	bool is = state_is_active(state);

	if (state == XLVS_STATE_UDP)
		is = was;
	next = is ? next & ~XLVS_CONNECTION_INACTIVE : next | XLVS_CONNECTION_INACTIVE;
	if (next == word)
		return true;
	if (__sync_val_compare_and_swap(&c->word, word, next) != word)
		return false;
	if (was != is) {
		table_count(c->destination, was, -1);
		table_count(c->destination, is, 1);
	}
	return true;
}

static __always_inline void local_port_free(__u32 block, __be16 port)
{
	struct xlvs_local_ports *ports = bpf_map_lookup_elem(&local_ports, &block);
	__u32 bit = bpf_ntohs(port) - XLVS_LOCAL_PORT_FIRST;
	__u32 at = bit / 64;
	__u64 mask = 1ULL << (bit % 64);

	opaque(at);
	if (!ports || at >= XLVS_LOCAL_PORT_WORDS)
		return;
	if (__sync_fetch_and_and(&ports->taken[at], ~mask) & mask)
		__sync_fetch_and_add(&ports->used, -1);
	__sync_fetch_and_and(&ports->full[(at / 64) & (XLVS_LOCAL_PORT_SUMMARY - 1)],
			     ~(1ULL << (at % 64)));
}

/* Removes an index entry if it still is this slot's. */
static __always_inline void table_unindex(const struct xlvs_tuple *key, __u32 slot,
					  __u32 generation)
{
	struct xlvs_slot *entry = bpf_map_lookup_elem(&connection_index, key);

	if (entry && (entry->slot & ~XLVS_SLOT_REPLY) == slot && entry->generation == generation)
		bpf_map_delete_elem(&connection_index, key);
}

static __always_inline bool table_removed(const struct xlvs_connection *c)
{
	__u32 id = c->destination;
	struct xlvs_destination *d = bpf_map_lookup_elem(&destinations, &id);

	return d && !(d->flags & XLVS_DESTINATION_AVAILABLE);
}

/*
 * Ends a connection whose time is over, or whose server was removed if those are
 * not to be kept (net.ipv4.vs.expire_nodest_conn). Called by the sweep only.
 */
static __always_inline void table_end(struct xlvs_connection *c, __u32 slot, __u32 now,
				      bool end_removed)
{
	struct xlvs_table *t = table_get();
	__u32 word = READ_ONCE(c->word);
	struct xlvs_tuple key;

	if (!(word & XLVS_CONNECTION_LIVE))
		return;
	if (!clock_over(now, READ_ONCE(c->last_seen), READ_ONCE(c->timeout)) &&
	    !(end_removed && table_removed(c)))
		return;
	/* First dead, then out of the index: a packet that meets the dead slot in
	 * between opens a new connection over its entry, which then is not ours. */
	if (__sync_val_compare_and_swap(&c->word, word, 0) != word)
		return; /* a packet changed its state meanwhile: the next tick decides */
	tuple_forward(c, &key);
	table_unindex(&key, slot, c->generation);
	if (table_sees_replies(c)) {
		tuple_reply(c, &key);
		table_unindex(&key, slot, c->generation);
	}
	table_count(c->destination, !(word & XLVS_CONNECTION_INACTIVE), -1);
	table_overload(c->destination, true);
	if (c->method == XLVS_METHOD_FULLNAT)
		local_port_free(c->port_block, c->local_port);
	if (t) {
		__sync_fetch_and_add(&t->used, -1);
		__sync_fetch_and_add(&t->expired, 1);
	}
	bpf_map_push_elem(&free_slots, &slot, BPF_ANY);
}

#endif
