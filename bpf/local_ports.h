/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * FULLNAT: a free port of a local address towards one real server. Each (local
 * address, real server address, port, protocol) has a bitmap of its own, so one
 * local port serves many real servers. A search looks at the word of the cursor,
 * then at 16 words of the summary: its cost does not grow with use. The cursor
 * goes round, so a port rests as long as possible before it is used again.
 */
#ifndef XLVS_LOCAL_PORTS_H
#define XLVS_LOCAL_PORTS_H

#include "maps.h"

#define LOCAL_PORT_RETRIES 8

/* Index of the lowest clear bit of w, which is not all ones. */
static __always_inline __u32 lowest_clear(__u64 w)
{
	__u64 x = ~w & (w + 1); /* that bit alone */
	__u32 n = 0;

	if (!(x & 0xffffffffULL)) {
		n += 32;
		x >>= 32;
	}
	if (!(x & 0xffff)) {
		n += 16;
		x >>= 16;
	}
	if (!(x & 0xff)) {
		n += 8;
		x >>= 8;
	}
	if (!(x & 0xf)) {
		n += 4;
		x >>= 4;
	}
	if (!(x & 0x3)) {
		n += 2;
		x >>= 2;
	}
	return n + !(x & 1);
}

/* A word of ports with a free one, at or after `from`, going round; -1: none. */
static __always_inline int local_port_word(struct xlvs_local_ports *ports, __u32 from)
{
	__u32 first = from / 64;

#pragma unroll
	for (__u32 i = 0; i <= XLVS_LOCAL_PORT_SUMMARY; i++) {
		__u32 at = (first + i) & (XLVS_LOCAL_PORT_SUMMARY - 1);
		__u64 full = READ_ONCE(ports->full[at]);

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

/* Takes a free port of the block. Returns it (host order), or 0 if there is none. */
static __noinline __u32 local_port_take(__u32 block)
{
	struct xlvs_local_ports *ports = bpf_map_lookup_elem(&local_ports, &block);

	if (!ports)
		return 0;
	for (int i = 0; i < LOCAL_PORT_RETRIES; i++) {
		__u32 cursor = __sync_fetch_and_add(&ports->cursor, 1);
		__u32 from = (cursor % (XLVS_LOCAL_PORT_WORDS * 64)) / 64;
		__u32 start = cursor % 64;
		int word = local_port_word(ports, from);
		__u64 taken, free, mask;
		__u32 at, bit;

		if (word < 0)
			break;
		at = word;
		opaque(at);
		if (at >= XLVS_LOCAL_PORT_WORDS)
			break;
		taken = READ_ONCE(ports->taken[at]);
		if (at != from)
			start = 0;
		/* first free bit at or after the cursor, else any */
		free = taken | ((1ULL << start) - 1);
		if (!~free)
			free = taken;
		if (!~free) {
			__sync_fetch_and_or(&ports->full[(at / 64) & (XLVS_LOCAL_PORT_SUMMARY - 1)],
					    1ULL << (at % 64));
			/* A port freed between our two looks must not stay hidden. */
			if (~READ_ONCE(ports->taken[at]))
				__sync_fetch_and_and(
					&ports->full[(at / 64) & (XLVS_LOCAL_PORT_SUMMARY - 1)],
					~(1ULL << (at % 64)));
			continue;
		}
		bit = lowest_clear(free) & 63;
		mask = 1ULL << bit;
		if (__sync_fetch_and_or(&ports->taken[at], mask) & mask)
			continue; /* another CPU was quicker */
		if (!~(taken | mask))
			__sync_fetch_and_or(&ports->full[(at / 64) & (XLVS_LOCAL_PORT_SUMMARY - 1)],
					    1ULL << (at % 64));
		__sync_fetch_and_add(&ports->used, 1);
		return XLVS_LOCAL_PORT_FIRST + at * 64 + bit;
	}
	__sync_fetch_and_add(&ports->exhausted, 1);
	return 0;
}

#endif
