/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * FULLNAT: a free port of a local address towards one real server. Each (local
 * address, real server address, port, protocol) has a bitmap of its own, so one
 * local port serves many real servers. A search looks at the word of the cursor,
 * then at 16 words of the summary: its cost does not grow with use, and a block that is
 * used up costs its counter. The cursor goes round, so a port rests as long as possible
 * before it is used again.
 */
#ifndef XLVS_LOCAL_PORTS_H
#define XLVS_LOCAL_PORTS_H

#include "maps.h"

#define LOCAL_PORT_RETRIES 8

/*
 * Index of the lowest clear bit of w, which is not all ones: by a de Bruijn
 * sequence, without branches. (clang 16's __builtin_ctzll does not end here.)
 */
constant_table __u8 bit_index[64] = {
	0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,  62, 55, 59, 36, 53, 51,
	43, 22, 45, 39, 33, 30, 24, 18, 12, 5,  63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21,
	44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
};

static __always_inline __u32 lowest_clear(__u64 w)
{
	__u64 bit = ~w & (w + 1);

	return bit_index[(bit * 0x03f79d71b4cb0a89ULL) >> 58];
}

/* A word of ports with a free one, at or after `from`, going round; -1: none. */
static __always_inline int local_port_word(struct xlvs_local_ports *ports, __u32 from)
{
	__u32 first = from / 64;

#pragma unroll
	for (__u32 i = 0; i <= XLVS_LOCAL_PORT_SUMMARY; i++) {
		__u32 at = first + i;
		__u64 full;

		opaque(at);
		at &= XLVS_LOCAL_PORT_SUMMARY - 1;
		full = READ_ONCE(ports->full[at]);

		if (i == 0)
			full |= (1ULL << (from % 64)) - 1; /* only after the cursor */
		/* 1008 words are 15 summary words and 48 bits */
		if (at == XLVS_LOCAL_PORT_SUMMARY - 1)
			full |= ~0ULL << (XLVS_LOCAL_PORT_WORDS % 64);
		if (~full)
			return at * 64 + lowest_clear(full);
	}
	return -1;
}

struct local_port_search {
	__u32 block;
	__u32 port; /* host order, 0: none yet */
};

static __noinline long local_port_try(__u32 i, void *data)
{
	struct local_port_search *search = data;
	struct xlvs_local_ports *ports = bpf_map_lookup_elem(&local_ports, &search->block);
	__u32 cursor, from, start, at, bit;
	__u64 taken, free, mask, full_bit;
	int word;

	(void)i;
	if (!ports || READ_ONCE(ports->used) >= XLVS_LOCAL_PORT_WORDS * 64)
		return 1;
	/* A director that begins anew must not meet the ports that its last life left
	 * open at the real servers: each block begins somewhere else. */
	if (!READ_ONCE(ports->cursor))
		__sync_fetch_and_add(&ports->cursor, bpf_get_prandom_u32());
	cursor = __sync_fetch_and_add(&ports->cursor, 1) % (XLVS_LOCAL_PORT_WORDS * 64);
	from = cursor / 64;
	start = cursor % 64;
	word = local_port_word(ports, from);
	if (word < 0)
		return 1;
	at = word;
	opaque(at);
	if (at >= XLVS_LOCAL_PORT_WORDS)
		return 1;
	taken = READ_ONCE(ports->taken[at]);
	full_bit = 1ULL << (at % 64);
	/* first free bit at or after the cursor, else any */
	free = at == from ? taken | ((1ULL << start) - 1) : taken;
	if (!~free)
		free = taken;
	bit = lowest_clear(free) & 63;
	mask = 1ULL << bit;
	if (~free && !(__sync_fetch_and_or(&ports->taken[at], mask) & mask)) {
		__sync_fetch_and_add(&ports->used, 1);
		search->port = XLVS_LOCAL_PORT_FIRST + at * 64 + bit;
	}
	if (!~READ_ONCE(ports->taken[at])) {
		__u64 *full = &ports->full[(at / 64) & (XLVS_LOCAL_PORT_SUMMARY - 1)];

		__sync_fetch_and_or(full, full_bit);
		/* A port freed between our two looks must not stay hidden. */
		if (~READ_ONCE(ports->taken[at]))
			__sync_fetch_and_and(full, ~full_bit);
	}
	return !!search->port;
}

/* Takes a free port of the block. Returns it (host order), or 0 if there is none. */
static __always_inline __u32 local_port_take(__u32 block)
{
	struct local_port_search search = { .block = block };

	if (!local_port_try(0, &search))
		bpf_loop(LOCAL_PORT_RETRIES, local_port_try, &search, 0);
	return search.port;
}

/* No block of the row has a free port: counted where the search began. */
static __always_inline void local_port_refuse(__u32 block)
{
	struct xlvs_local_ports *ports = bpf_map_lookup_elem(&local_ports, &block);

	if (ports)
		__sync_fetch_and_add(&ports->exhausted, 1);
}

/* Takes this port of the block, as another director did. False: it is taken. */
static __always_inline bool local_port_claim(__u32 block, __be16 port)
{
	struct xlvs_local_ports *ports = bpf_map_lookup_elem(&local_ports, &block);
	__u32 bit = bpf_ntohs(port) - XLVS_LOCAL_PORT_FIRST;
	__u32 at = bit / 64;
	__u64 mask = 1ULL << (bit % 64);

	opaque(at);
	if (!ports || at >= XLVS_LOCAL_PORT_WORDS ||
	    __sync_fetch_and_or(&ports->taken[at], mask) & mask)
		return false;
	__sync_fetch_and_add(&ports->used, 1);
	if (!~READ_ONCE(ports->taken[at]))
		__sync_fetch_and_or(&ports->full[(at / 64) & (XLVS_LOCAL_PORT_SUMMARY - 1)],
				    1ULL << (at % 64));
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

#endif
