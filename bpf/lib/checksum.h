/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624, eqn. 3). */
#ifndef XLVS_CHECKSUM_H
#define XLVS_CHECKSUM_H

#include "lib/base.h"

/* A one's complement sum in progress; 32-bit words are added without folding. */
typedef __u64 sum_t;

static __always_inline __u32 sum_fold32(sum_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	return s;
}

static __always_inline __u16 sum_fold16(sum_t s)
{
	__u32 f = sum_fold32(s);

	f = (f & 0xffff) + (f >> 16);
	f = (f & 0xffff) + (f >> 16);
	return f;
}

static __always_inline sum_t sum_replace32(sum_t s, __be32 from, __be32 to)
{
	return s + (__u32)~from + to;
}

static __always_inline sum_t sum_replace16(sum_t s, __be16 from, __be16 to)
{
	return s + (__u16)~from + to;
}

static __always_inline sum_t sum_address(sum_t s, const struct xlvs_addr *a)
{
	return s + a->word[0] + a->word[1] + a->word[2] + a->word[3];
}

/* Applies a difference to a checksum field: HC' = ~(~HC + diff). */
static __always_inline __u16 checksum_update(__u16 checksum, sum_t diff)
{
	return ~sum_fold16((__u16)~checksum + diff);
}

static __always_inline __u16 checksum_of_ipv4_header(const struct iphdr *ip)
{
	const __u32 *w = (const __u32 *)ip;

	return ~sum_fold16((sum_t)w[0] + w[1] + w[2] + w[3] + w[4]);
}

#endif
