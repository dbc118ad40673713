/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SipHash (Aumasson and Bernstein, 2012): 1-3 of four bytes, as the kernel's hsiphash, and 2-4. */
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

/* SipHash-2-4, of whole words: begin, each word, end with their number. */
static __always_inline void siphash24_begin(__u64 *v, const __u64 *key)
{
	v[0] = 0x736f6d6570736575ULL ^ key[0];
	v[1] = 0x646f72616e646f6dULL ^ key[1];
	v[2] = 0x6c7967656e657261ULL ^ key[0];
	v[3] = 0x7465646279746573ULL ^ key[1];
}

static __always_inline void siphash24_word(__u64 *v, __u64 word)
{
	v[3] ^= word;
	SIP_ROUND(v);
	SIP_ROUND(v);
	v[0] ^= word;
}

static __always_inline __u64 siphash24_end(__u64 *v, __u32 words)
{
	siphash24_word(v, (__u64)words * 8 << 56);
	v[2] ^= 0xff;
	SIP_ROUND(v);
	SIP_ROUND(v);
	SIP_ROUND(v);
	SIP_ROUND(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
