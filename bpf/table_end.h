/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a connection leaves the table, and everything that it held with it. */
#ifndef XLVS_TABLE_END_H
#define XLVS_TABLE_END_H

#include "counted.h"
#include "local_ports.h"
#include "stream.h"
#include "table.h"

/*
 * IPVS's thresholds: a destination is overloaded from the connection that reaches
 * the upper one, until one that ends leaves fewer than the lower one, or than
 * three quarters of the upper one where no lower one is given.
 */
static __always_inline void table_overload(const struct xlvs_destination *d,
					   struct xlvs_destination_load *load, bool ended)
{
	__u64 total;

	if (!d->upper_threshold)
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
 * A connection of the destination begins, or has ended: its counts, and what follows.
 * Returns the destination's flags.
 */
static __always_inline __u32 table_count_connection(__u32 destination, __u32 word, bool ended)
{
	struct xlvs_destination *d = destination_get(destination);
	struct xlvs_destination_load *load = table_load(destination);

	if (!d || !load)
		return 0;
	if (unlikely(word & WORD_TEMPLATE))
		__sync_fetch_and_add(&load->persistent, ended ? -1 : 1);
	else
		table_count(load, !(word & XLVS_CONNECTION_INACTIVE), ended ? -1 : 1);
	if (ended && unlikely(READ_ONCE(load->portless_until)))
		WRITE_ONCE(load->portless_until, 0); /* there is a port */
	table_overload(d, load, ended);
	return d->flags;
}

/*
 * Does the template stay, whatever its time says? It does while connections live under it:
 * when the time is over for another minute, which is its time-out from then on.
 */
static __always_inline bool template_stays(struct xlvs_template *t, struct xlvs_entry *e, __u32 now)
{
	struct xlvs_geometry *g = geometry_get();

	if (!g || !READ_ONCE(t->controlled))
		return false;
	if (clock_over(now, READ_ONCE(e->expires))) {
		t->timeout = TEMPLATE_RENEWED_SECONDS * g->hz;
		WRITE_ONCE(e->expires, now + t->timeout);
	}
	return true;
}

/*
 * A template has ended, or a connection that one counts. A template that ended first is
 * not found, and nothing is left to do.
 */
subprogram int template_end(__u32 v6, __u32 at, __u32 word)
{
	struct xlvs_tenant tenant = tenant_of(v6, at, word), key, *found;
	struct xlvs_template *t;

	if (word & WORD_TEMPLATE) {
		bpf_map_delete_elem(&templates, &tenant);
		bpf_map_delete_elem(&call_ids, &tenant);
		return 0;
	}
	found = bpf_map_lookup_elem(&controlled, &tenant);
	if (!found)
		return 0;
	key = *found;
	t = bpf_map_lookup_elem(&templates, &key);
	if (t)
		__sync_fetch_and_add(&t->controlled, -1);
	bpf_map_delete_elem(&controlled, &tenant);
	return 0;
}

struct answer_walk {
	__u32 home;
	__u32 line;       /* out: where it was found, or put */
	__u32 connection; /* the place of the one that it leads to */
	__u32 destination;
	struct xlvs_addr local;
	__be16 local_port;
};

/*
 * The connection's place alone is not enough: another CPU may already have taken it for
 * a new one, whose ANSWER is not ours. The local port is ours until it is given back.
 */
static __always_inline long answer_end_at(struct answer_walk *w, bool v6, __u32 i)
{
	const __u32 ways = v6 ? XLVS_WAYS6 : XLVS_WAYS4;
	__u32 at = w->home * ways + i, word;
	struct xlvs_entry *e = entry_get(v6, at);
	bool same;

	if (!e)
		return 1;
	word = READ_ONCE(e->word);
	if (!(word & XLVS_CONNECTION_LIVE) || !(word & XLVS_CONNECTION_ANSWER) ||
	    READ_ONCE(e->expires) != w->connection || READ_ONCE(e->destination) != w->destination)
		return 0;
	if (v6) {
		struct xlvs_entry6 *key = (struct xlvs_entry6 *)e;

		same = key->dport == w->local_port && address_equal(&key->dst, &w->local);
	} else {
		struct xlvs_entry4 *key = (struct xlvs_entry4 *)e;

		same = READ_ONCE(key->dport) == w->local_port &&
		       READ_ONCE(key->dst) == w->local.word[3];
	}
	if (!same)
		return 0;
	if (__sync_val_compare_and_swap(&e->word, word, word & GENERATION_MASK) == word)
		w->line = at / ways;
	return 1;
}

static long answer_end_step4(__u32 i, void *data)
{
	return answer_end_at(data, false, i);
}

static long answer_end_step6(__u32 i, void *data)
{
	return answer_end_at(data, true, i);
}

/* Frees the place of the ANSWER that leads to the connection at `at`. */
static __always_inline int answer_end(bool v6, __u32 at, __u32 destination, __u32 extra,
				      __be16 vport)
{
	struct answer_walk w = { .connection = at,
				 .destination = destination,
				 .local_port = extra_port(extra) };
	struct xlvs_destination *d = destination_get(destination);
	struct xlvs_geometry *g = geometry_get();
	__u32 block = extra_block(extra);
	struct xlvs_port_block *b = bpf_map_lookup_elem(&port_blocks, &block);
	__be16 port;

	if (!d || !b || !g)
		return 0;
	w.local = b->local;
	port = destination_port(d, vport);
	w.home = v6 ? place_of_answer(g, true, &d->address, port, &w.local, w.local_port) :
		      place_of_answer(g, false, &d->address, port, &w.local, w.local_port);
	w.line = w.home;
	if (v6)
		bpf_loop(XLVS_CHAIN * XLVS_WAYS6, answer_end_step6, &w, 0);
	else
		bpf_loop(XLVS_CHAIN * XLVS_WAYS4, answer_end_step4, &w, 0);
	place_pass(v6, w.home, w.line, -1);
	return 0;
}

static __always_inline __u32 entry_home(const struct xlvs_geometry *g, bool v6,
					const struct xlvs_entry *e)
{
	if (v6) {
		const struct xlvs_entry6 *key = (const struct xlvs_entry6 *)e;

		return place_of_client(g, true, &key->src, key->sport);
	} else {
		const struct xlvs_entry4 *key = (const struct xlvs_entry4 *)e;
		struct xlvs_addr client;

		address_from_v4(&client, READ_ONCE(key->src));
		return place_of_client(g, false, &client, READ_ONCE(key->sport));
	}
}

static __always_inline int end_in(bool v6, __u32 at, __u32 word, __u32 claim)
{
	__u32 destination, extra, home, next = word & GENERATION_MASK;
	struct xlvs_table_counts *counts = table_counts_get();
	struct xlvs_geometry *g = geometry_get();
	struct xlvs_entry *e = entry_get(v6, at);
	__be16 vport;

	if (!g || !e || !counts)
		return 0;
	if (claim)
		next = (next + GENERATION_ONE) | XLVS_CONNECTION_CLAIMED;
	/* Read before the place is somebody else's; right if the word was the same then. */
	destination = READ_ONCE(e->destination);
	extra = READ_ONCE(*(const __u32 *)&e->block);
	vport = entry_vport(v6, e);
	home = entry_home(g, v6, e);
	if (__sync_val_compare_and_swap(&e->word, word, next) != word)
		return 0;
	place_pass(v6, home, v6 ? at : at / XLVS_WAYS4, -1);
	if (word_method(word) == XLVS_METHOD_FULLNAT) {
		answer_end(v6, at, destination, extra, vport);
		/* After its ANSWER: who takes the port next finds no old one. */
		local_port_free(extra_block(extra), extra_port(extra));
	}
	if (unlikely(word & (WORD_TEMPLATE | XLVS_CONNECTION_CONTROLLED)))
		template_end(v6, at, word);
	if (unlikely(word & XLVS_CONNECTION_SPECIAL))
		stream_end(v6, at, word);
	if (unlikely(table_count_connection(destination, word, true) & XLVS_DESTINATION_COUNTED))
		counted_end(v6, at, word);
	counts->ended++;
	if (word & XLVS_CONNECTION_HALF_OPEN)
		counts->half_closed++;
	return 1;
}

/*
 * Ends the connection at `at` if its word still is `word`; its place is free then, or
 * the caller's if `claim`. Returns 1 if it did.
 */
subprogram int table_end4(__u32 at, __u32 word, __u32 claim)
{
	return end_in(false, at, word, claim);
}

subprogram int table_end6(__u32 at, __u32 word, __u32 claim)
{
	return end_in(true, at, word, claim);
}

static __always_inline int table_end(bool v6, __u32 at, __u32 word, __u32 claim)
{
	return v6 ? table_end6(at, word, claim) : table_end4(at, word, claim);
}

/* net.ipv4.vs.expire_nodest_conn: connections of a removed server are not kept. */
static __always_inline bool table_removed(__u32 destination)
{
	struct xlvs_destination *d = destination_get(destination);

	return d && !(d->flags & XLVS_DESTINATION_AVAILABLE);
}

#endif
