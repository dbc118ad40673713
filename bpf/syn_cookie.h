/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SYN cookies (RFC 4987 3.6): the number in a SYN-ACK says all that has to be known when
 * the client answers, so that nothing is kept before. It is
 *
 *	27 bits of SipHash-2-4 | index of the client's MSS (3) | time slot (2)
 *
 * over the addresses, the ports, the client's number, the slot and the MSS. Directors that
 * have one secret and one clock take one another's cookies. What the client can do besides
 * (window scale, SACK), and the scale that it was promised, is in the low bits of the time
 * stamp, which it sends back: promises may change before it does.
 */
#ifndef XLVS_SYN_COOKIE_H
#define XLVS_SYN_COOKIE_H

#include "lib/siphash.h"
#include "maps.h"
#include "packet.h"

#define SYN_COOKIE_SLOT_MASK 3
#define SYN_COOKIE_MSS_SHIFT 2
#define SYN_COOKIE_MSS_MASK 7
#define SYN_COOKIE_BITS 5

/*
 * How old a cookie is, in slots, as far as its two bits tell. It is good for one to two slots;
 * one that is of the next slot is another director's, whose clock is a little ahead.
 */
enum syn_cookie_age {
	SYN_COOKIE_AGE_OLD = 2,
	SYN_COOKIE_AGE_AHEAD = 3,
};

enum syn_cookie_verdict {
	SYN_COOKIE_UNKNOWN, /* none of ours */
	SYN_COOKIE_EXPIRED,
	SYN_COOKIE_GOOD,
};

/* What clients have: RFC 9293's 536 and RFC 8200's 1280, tunnels, DSL, Ethernet, jumbo frames. */
constant_table __u16 syn_cookie_mss[SYN_COOKIE_MSS_MASK + 1] = {
	536, 1220, 1300, 1360, 1400, 1440, 1460, 8940,
};

/* The greatest of them that is not above. Of less than the least the least. */
static __always_inline __u32 syn_cookie_mss_index(__u32 mss)
{
	__u32 index = 0;

#pragma unroll
	for (__u32 i = 1; i <= SYN_COOKIE_MSS_MASK; i++)
		index += mss >= syn_cookie_mss[i];
	return index;
}

static __always_inline struct xlvs_syn_cookies *syn_cookies_get(void)
{
	struct xlvs_settings *s = settings_get();

	return s && s->syn_cookies.slot_ticks ? &s->syn_cookies : NULL;
}

/* The time slot of now; 64 bits, so that it never begins anew. */
static __always_inline __u64 syn_cookie_slot(const struct xlvs_syn_cookies *c)
{
	return (bpf_jiffies64() + c->offset) / c->slot_ticks;
}

/*
 * The cookie for the client of p->tuple whose number is `isn`. `other`: 1: as whoever has the
 * other secret makes it.
 */
subprogram __u32 syn_cookie_of(const struct packet *p, __u32 isn, __u64 slot, __u32 mss_index,
			       __u32 other)
{
	struct xlvs_syn_cookies *c = syn_cookies_get();
	const struct xlvs_tuple *t;
	__u64 v[4], words = 3, low;

	if (!p || !c)
		return 0;
	t = &p->tuple;
	siphash24_begin(v, c->key + 4 * (other & 1) + 2 * (slot / XLVS_SYN_COOKIE_EPOCH & 1));
	if (p->family != AF_INET) {
		siphash24_word(v, (__u64)t->src.word[0] << 32 | t->src.word[1]);
		siphash24_word(v, (__u64)t->src.word[2] << 32 | t->dst.word[0]);
		siphash24_word(v, (__u64)t->dst.word[1] << 32 | t->dst.word[2]);
		words = 6;
	}
	siphash24_word(v, (__u64)t->src.word[3] << 32 | t->dst.word[3]);
	siphash24_word(v, (__u64)t->sport << 48 | (__u64)t->dport << 32 | isn);
	siphash24_word(v, slot << 3 | mss_index);
	low = mss_index << SYN_COOKIE_MSS_SHIFT | (slot & SYN_COOKIE_SLOT_MASK);
	return (__u32)siphash24_end(v, words) << SYN_COOKIE_BITS | low;
}

/* Is it the cookie that this client got a short while ago? */
static __noinline enum syn_cookie_verdict syn_cookie_judge(const struct packet *p, __u32 isn,
							   __u32 cookie)
{
	__u32 mss_index = cookie >> SYN_COOKIE_MSS_SHIFT & SYN_COOKIE_MSS_MASK, age;
	struct xlvs_syn_cookies *c = syn_cookies_get();
	__u64 slot;

	if (!c)
		return SYN_COOKIE_UNKNOWN;
	slot = syn_cookie_slot(c);
	age = (slot - cookie) & SYN_COOKIE_SLOT_MASK;
	slot = age == SYN_COOKIE_AGE_AHEAD ? slot + 1 : slot - age;
	if (syn_cookie_of(p, isn, slot, mss_index, 0) != cookie &&
	    (likely(!c->others) || syn_cookie_of(p, isn, slot, mss_index, 1) != cookie))
		return SYN_COOKIE_UNKNOWN;
	return age == SYN_COOKIE_AGE_OLD ? SYN_COOKIE_EXPIRED : SYN_COOKIE_GOOD;
}

static __always_inline __u32 syn_cookie_mss_of(__u32 cookie)
{
	return syn_cookie_mss[cookie >> SYN_COOKIE_MSS_SHIFT & SYN_COOKIE_MSS_MASK];
}

/*
 * The time stamp that carries the client's options: milliseconds, whose low bits are taken.
 * Window scales are 0 to 14 (RFC 7323 2.3): 15 says that there is none.
 */
#define SYN_STAMP_SCALE 0xf
#define SYN_STAMP_NO_SCALE 0xf
#define SYN_STAMP_SACK 0x10
#define SYN_STAMP_PROMISED_SHIFT 5
#define SYN_STAMP_BITS 9

static __always_inline __u32 syn_cookie_stamp(__u32 options)
{
	__u32 now = bpf_ktime_get_ns() / 1000000;

	return (now & ~0u << SYN_STAMP_BITS) | options;
}

#endif
