/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SipHash-1-3 (Aumasson and Bernstein, 2012) of four bytes, as the kernel's hsiphash. */
#ifndef XLVS_SIPHASH_H
#define XLVS_SIPHASH_H

#include "lib/base.h"

#define SIP_ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))
#define SIP_ROUND(v)                                \
	do {                                        \
		v[0] += v[1];                       \
		v[2] += v[3];                       \
		v[1] = SIP_ROTATE(v[1], 13) ^ v[0]; \
		v[3] = SIP_ROTATE(v[3], 16) ^ v[2]; \
		v[0] = SIP_ROTATE(v[0], 32);        \
		v[2] += v[1];                       \
		v[0] += v[3];                       \
		v[1] = SIP_ROTATE(v[1], 17) ^ v[2]; \
		v[3] = SIP_ROTATE(v[3], 21) ^ v[0]; \
		v[2] = SIP_ROTATE(v[2], 32);        \
	} while (0)

/* Folded to 32 bits; both words of the key are `key`. */
static __always_inline __u32 siphash13_32(__u32 x, __u64 key)
{
	__u64 v[4] = { 0x736f6d6570736575ULL ^ key, 0x646f72616e646f6dULL ^ key,
		       0x6c7967656e657261ULL ^ key, 0x7465646279746573ULL ^ key };
	__u64 block = 4ULL << 56 | x; /* the length in bytes, then the bytes */

	v[3] ^= block;
	SIP_ROUND(v);
	v[0] ^= block;
	v[2] ^= 0xff;
	SIP_ROUND(v);
	SIP_ROUND(v);
	SIP_ROUND(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
