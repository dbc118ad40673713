// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The benchmark's programs at the XDP hook. */
#include "hook_xdp.h"

#define BENCH_SECTION "xdp"

/* Takes off what the program under test put in front of the frame, or at its tail, before. */
static __always_inline int bench_restore(hook_ctx *ctx, __u32 length, __u32 tail)
{
	int grown = (int)hook_frame_length(ctx) - (int)length;

	if (!grown)
		return 0;
	return tail ? bpf_xdp_adjust_tail(ctx, -grown) : bpf_xdp_adjust_head(ctx, grown);
}

static __always_inline int bench_send_back(hook_ctx *ctx)
{
	(void)ctx;
	return XDP_TX;
}

#include "bench.h"
