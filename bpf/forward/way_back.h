/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way to a client, remembered in its connection: a FIB look-up costs more than all
 * the rest of an answer. What was found is a row of next_hops, shared by all clients
 * behind one router and never changed; the connection has the row's number and when it
 * was found. After one to two ages the FIB is asked again, so a changed route or
 * neighbour counts within some two seconds.
 */
#ifndef XLVS_WAY_BACK_H
#define XLVS_WAY_BACK_H

#include "forward/next_hop.h"
#include "table.h"

/* Ticks: 0.13 s with 1000 per second, 0.5 s with 250, 1.3 s with 100. */
#define WAY_BACK_AGE_SHIFT 7
#define WAY_BACK_ROWS 1024
#define WAY_BACK_TRIES 8

#define ROW_FREE 0
#define ROW_CLAIMED 1
#define ROW_VALID 2

static __always_inline struct xlvs_next_hop_row *way_back_row(__u32 index)
{
	return bpf_map_lookup_elem(&next_hops, &index);
}

static __always_inline bool next_hop_equal(const struct xlvs_next_hop *a,
					   const struct xlvs_next_hop *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4];
}

/* The number of the row that says p->next_hop, plus 1; 0: no row is left for it. */
static __noinline __u32 way_back_store(const struct packet *p)
{
	const __u32 *n = (const __u32 *)&p->next_hop;
	__u32 first = (n[0] ^ n[1] ^ n[2] ^ n[3] ^ n[4]) * 0x9e3779b1u >> 16;

	for (__u32 i = 0; i < WAY_BACK_TRIES; i++) {
		__u32 index = (first + i) % WAY_BACK_ROWS;
		struct xlvs_next_hop_row *row = way_back_row(index);

		if (!row)
			return 0;
		if (READ_ONCE(row->state) == ROW_VALID) {
			if (next_hop_equal(&row->next_hop, &p->next_hop))
				return index + 1;
		} else if (!__sync_val_compare_and_swap(&row->state, ROW_FREE, ROW_CLAIMED)) {
			row->next_hop = p->next_hop;
			__sync_lock_test_and_set(&row->state, ROW_VALID);
			return index + 1;
		}
	}
	return 0;
}

/*
 * Mixed into the time with the client's address: should the place change hands just as
 * it is written, the next tenant does not take it for its own.
 */
static __always_inline __u32 way_back_mark(__be32 client)
{
	return client * 0x9e3779b1u & 0xffff0000;
}

/* What the connection remembers of the way to its client, or null. */
static __always_inline struct xlvs_next_hop_row *way_back_known(__u32 remembered, __be32 client,
								__u32 now)
{
	__u32 hint = remembered ^ way_back_mark(client), number = hint & 0xffff;
	struct xlvs_next_hop_row *row;

	if (!number || (__u16)((now >> WAY_BACK_AGE_SHIFT) - (hint >> 16)) > 1)
		return NULL;
	row = way_back_row(number - 1);
	return row && READ_ONCE(row->state) == ROW_VALID ? row : NULL;
}

/*
 * Whose packet is it to the routes? net.ipv4.vs.snat_reroute: the virtual address's, which
 * is what it will be; else the real server's, as for any packet that passes a router.
 */
static __always_inline const struct xlvs_addr *way_back_source(const struct packet *p)
{
	const struct xlvs_settings *s = settings_get();
	bool routed = s && !s->snat_reroute && word_method(p->c.word) == XLVS_METHOD_NAT;

	return routed ? &p->tuple.src : &p->to.src;
}

/* The way to the client for an answer of the connection. enum next_hop_result. */
static __always_inline int way_back(hook_ctx *ctx, struct packet *p)
{
	__be32 client = p->to.dst.word[3];
	struct xlvs_next_hop_row *row = way_back_known(p->c.way_back, client, p->now);
	__u32 row_number, hint;
	struct xlvs_entry *e;
	int rc;

	if (row && p->wire.segment <= row->next_hop.mtu) {
		p->next_hop = row->next_hop;
		return NEXT_HOP_OK;
	}
	rc = next_hop_route(ctx, p, way_back_source(p), &p->to.dst, p->wire.segment);
	if (rc || p->unresolved)
		return rc;
	row_number = way_back_store(p);
	e = entry_get(p->family != AF_INET, p->c.way_back_at);
	hint = (row_number | p->now >> WAY_BACK_AGE_SHIFT << 16) ^ way_back_mark(client);
	if (e && row_number)
		__sync_val_compare_and_swap((__u32 *)&e->block, p->c.way_back, hint);
	return rc;
}

#endif
