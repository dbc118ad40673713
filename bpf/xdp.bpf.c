// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The director at the XDP hook. */
#include "hook_xdp.h"

#include "lean.h"
#include "pipeline.h"

SEC("xdp")
int xlvs_xdp(struct xdp_md *ctx)
{
	int verdict = lean(ctx);

	return verdict == LEAN_NOT ? pipeline(ctx) : verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
