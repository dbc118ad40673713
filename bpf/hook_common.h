/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both hooks have alike. Included by the adapters, behind their hook_ctx. */
#ifndef XLVS_HOOK_COMMON_H
#define XLVS_HOOK_COMMON_H

#include "packet.h"
#include "scratch.h"

/*
 * Loads a packet pointer from the context. In C the compiler may take the 32-bit
 * field for a number and zero-extend it, and the verifier then refuses to see a
 * pointer (clang 16, -mcpu=v3, kernel 6.18).
 */
#define hook_pointer(ctx, field)                                          \
	({                                                                \
		void *p_;                                                 \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                     \
			     : "=r"(p_)                                   \
			     : "r"(ctx), "i"(offsetof(hook_ctx, field))); \
		p_;                                                       \
	})

static __always_inline void *hook_data(hook_ctx *ctx)
{
	return hook_pointer(ctx, data);
}

static __always_inline void *hook_data_end(hook_ctx *ctx)
{
	return hook_pointer(ctx, data_end);
}

/*
 * The device lo has this number in every network namespace. What we deliver there comes by
 * our own program again; it is known by its source MAC, for frames on lo have none.
 */
#define LOOPBACK_IFINDEX 1
#define LOOPBACK_DELIVERED 0x02 /* first byte: locally administered */

enum hook_gap {
	HOOK_GAP_MADE = 0,
	HOOK_GAP_REFUSED = 1, /* the packet is as it was */
	HOOK_GAP_BROKEN = -1, /* it is not, and has to be dropped */
};

/* What hook_reframe() makes room for: nothing, or a tunnel of one family and one kind. */
enum hook_room {
	HOOK_ROOM_PLAIN = 0,
	HOOK_ROOM_TUNNEL_V4 = 1,
	HOOK_ROOM_TUNNEL_V6 = 2,
	HOOK_ROOM_UDP = 4, /* besides one of the two */
	HOOK_ROOM_GRE = 8,
};

#endif
