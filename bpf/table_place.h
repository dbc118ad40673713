/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in the table? From a packet to its line, from a place to its entry. Both
 * directions of NAT have one place, because it is found by the client's address and
 * port alone: the source of its packets, the destination of the server's answers.
 */
#ifndef XLVS_TABLE_PLACE_H
#define XLVS_TABLE_PLACE_H

#include "connection.h"
#include "lib/address.h"
#include "maps.h"

/*
 * Multiply-shift with a secret offset and a secret odd factor: who does not know them
 * cannot choose clients that share a line.
 */
static __always_inline __u64 place_mix(const struct xlvs_geometry *g, __u64 x)
{
	x = (x + g->secret[0]) * g->secret[1];
	return x ^ x >> 32;
}

static __always_inline __u32 place_index(__u64 mixed, __u32 lines)
{
	return (mixed * 0x9e3779b97f4a7c15ULL >> 32) * lines >> 32;
}

static __always_inline __u64 place_mix_client(const struct xlvs_geometry *g, bool v6,
					      const struct xlvs_addr *a, __be16 port)
{
	const __u64 *half = (const __u64 *)a;

	if (!v6)
		return place_mix(g, (__u64)a->word[3] << 16 | port);
	return place_mix(g, place_mix(g, place_mix(g, half[0]) ^ half[1]) ^ port);
}

/* The first line of a client's connections. */
static __always_inline __u32 place_of_client(const struct xlvs_geometry *g, bool v6,
					     const struct xlvs_addr *client, __be16 port)
{
	return place_index(place_mix_client(g, v6, client, port), v6 ? g->lines6 : g->lines4);
}

/*
 * The first line of an ANSWER. One local address and port serves many real servers, so
 * the server counts too.
 */
static __always_inline __u32 place_of_answer(const struct xlvs_geometry *g, bool v6,
					     const struct xlvs_addr *server, __be16 server_port,
					     const struct xlvs_addr *local, __be16 local_port)
{
	__u64 mixed = place_mix_client(g, v6, server, server_port);

	mixed ^= place_mix_client(g, v6, local, local_port) * 3;
	return place_index(place_mix(g, mixed), v6 ? g->lines6 : g->lines4);
}

static __always_inline struct xlvs_line4 *line4_get(__u32 line)
{
	return bpf_map_lookup_elem(&connections4, &line);
}

static __always_inline struct xlvs_line6 *line6_get(__u32 line)
{
	return bpf_map_lookup_elem(&connections6, &line);
}

/* A field of a line, or null. Hidden, lest the compiler adds the offset before the check,
 * which the verifier refuses. */
#define line_field(line, field)                \
	({                                     \
		typeof(line) l_ = (line);      \
		typeof(&l_->field) at_ = NULL; \
		if (l_) {                      \
			opaque(l_);            \
			at_ = &l_->field;      \
		}                              \
		at_;                           \
	})

static __always_inline struct xlvs_entry *entry_get(bool v6, __u32 at)
{
	if (v6)
		return line_field(line6_get(at), way[0].entry);
	return line_field(line4_get(at / XLVS_WAYS4), way[at % XLVS_WAYS4].entry);
}

/* The port that the client of the connection asked for. */
static __always_inline __be16 entry_vport(bool v6, const struct xlvs_entry *e)
{
	return v6 ? READ_ONCE(((const struct xlvs_entry6 *)e)->dport) :
		    READ_ONCE(((const struct xlvs_entry4 *)e)->dport);
}

static __always_inline __u32 *passed_get(bool v6, __u32 line)
{
	return v6 ? line_field(line6_get(line), passed) : line_field(line4_get(line), passed);
}

static __always_inline __u32 *lock_get(bool v6, __u32 line)
{
	return v6 ? line_field(line6_get(line), lock) : line_field(line4_get(line), lock);
}

/* Tells look-ups from `home` on that something of theirs lives (or no longer) at `line`. */
subprogram int place_pass4(__u32 home, __u32 line, __s32 by)
{
	for (__u32 i = 0; i < XLVS_CHAIN - 1 && home + i < line; i++) {
		__u32 *passed = passed_get(false, home + i);

		if (passed)
			__sync_fetch_and_add(passed, by);
	}
	return 0;
}

subprogram int place_pass6(__u32 home, __u32 line, __s32 by)
{
	for (__u32 i = 0; i < XLVS_CHAIN - 1 && home + i < line; i++) {
		__u32 *passed = passed_get(true, home + i);

		if (passed)
			__sync_fetch_and_add(passed, by);
	}
	return 0;
}

static __always_inline void place_pass(bool v6, __u32 home, __u32 line, __s32 by)
{
	if (likely(home == line))
		return;
	if (v6)
		place_pass6(home, line, by);
	else
		place_pass4(home, line, by);
}

#endif
