// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The benchmark's programs at the TC hook. */
#include "hook_tc.h"

#define BENCH_SECTION "tc"

/* Takes off what the program under test put in front of the frame, or at its tail, before. */
static __always_inline int bench_restore(hook_ctx *ctx, __u32 length, __u32 tail)
{
	int grown = (int)ctx->len - (int)length;

	if (!grown)
		return 0;
	return tail ? bpf_skb_change_tail(ctx, length, 0) :
		      bpf_skb_adjust_room(ctx, -grown, BPF_ADJ_ROOM_MAC, 0);
}

static __always_inline int bench_send_back(hook_ctx *ctx)
{
	return bpf_redirect(ctx->ifindex, 0);
}

#include "bench.h"
