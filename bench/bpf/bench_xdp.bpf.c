// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The benchmark's programs at the XDP hook. */
#include "hook_xdp.h"

#define BENCH_SECTION "xdp"

/* Takes off what the program under test put in front of the frame in the repetition before. */
static __always_inline int bench_restore(hook_ctx *ctx, __u32 length)
{
	int grown = (int)hook_frame_length(ctx) - (int)length;

	return grown ? bpf_xdp_adjust_head(ctx, grown) : 0;
}

static __always_inline int bench_send_back(hook_ctx *ctx)
{
	(void)ctx;
	return XDP_TX;
}

#include "bench.h"
