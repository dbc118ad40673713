/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every file needs: kernel types, helpers, protocol numbers. */
#ifndef XLVS_BASE_H
#define XLVS_BASE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* From <sys/socket.h> and <linux/icmp.h>, which a BPF target cannot include. */
#define AF_INET 2
#define AF_INET6 10

/* RFC 792 and RFC 4443: the same eight bytes. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest;
};

#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_PARAMPROB 4
#define ICMPV6_PORT_UNREACH 4

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/*
 * Hides a value from the compiler, so that it does not merge or move a bounds
 * check that the verifier must see in front of the access (clang 14 to 16 do).
 */
#define opaque(x) asm volatile("" : "+r"(x))

/*
 * A table of constants, or a text. Not static: one of 16 or 32 bytes, as a text, would get a
 * section of its own, which is a map, and a program may have 64.
 */
#define constant_table const __hidden

/*
 * `n`, which is 1 to `most`, a power of two, as a length that helpers take: they want none that
 * may be 0, and kernel 6.1's verifier learns nothing from n != 0.
 */
#define length_up_to(most, n)                                                     \
	({                                                                        \
		__u32 length_ = (n)-1;                                            \
                                                                                  \
		_Static_assert(!((most) & ((most)-1)), "most: not a power of 2"); \
		opaque(length_);                                                  \
		(length_ & ((most)-1)) + 1;                                       \
	})

/*
 * A function that the verifier checks once and on its own, whoever calls it: its
 * pointers may be null as far as it knows. Without these the program is verified
 * along every path and exceeds the limit of a million instructions.
 */
#define subprogram __attribute__((noinline))

/* A decision's numbers, for `xlvs explain` (explain/notes.h); nothing where packets pass. */
#ifndef note
#define note(kind, id, a, b) ((void)0)
#endif

/* In a map that a map names. `xlvs explain` makes no copy of what is there (explain/overlay.h),
 * so only for what packets do not write. */
#ifndef inner_map_lookup_elem
#define inner_map_lookup_elem bpf_map_lookup_elem
#endif

#ifndef offsetofend
#define offsetofend(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#endif

#endif
