/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one address form: 16 bytes, IPv4 mapped (RFC 4291 2.5.5.2). */
#ifndef XLVS_ADDRESS_H
#define XLVS_ADDRESS_H

#include "lib/base.h"

static __always_inline void address_from_v4(struct xlvs_addr *a, __be32 v4)
{
	a->word[0] = 0;
	a->word[1] = 0;
	a->word[2] = bpf_htonl(0xffff);
	a->word[3] = v4;
}

static __always_inline void address_from_v6(struct xlvs_addr *a, const struct in6_addr *v6)
{
	__builtin_memcpy(a, v6, sizeof(*a));
}

static __always_inline bool address_is_v4(const struct xlvs_addr *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool address_equal(const struct xlvs_addr *a, const struct xlvs_addr *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

/* Index of an address's byte in the map addresses; addresses.py does the same. */
static __always_inline __u32 address_slot_v4(__be32 v4)
{
	return (__u32)(v4 * 0x9e3779b1u) >> 16;
}

static __always_inline __u32 address_slot(const struct xlvs_addr *a)
{
	if (address_is_v4(a))
		return address_slot_v4(a->word[3]);
	return address_slot_v4(a->word[0] ^ a->word[1] ^ a->word[2] ^ a->word[3]);
}

#endif
