// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The director at the XDP hook. */
#include "hook_xdp.h"

#include "director.h"

SEC("xdp")
int xlvs_xdp(struct xdp_md *ctx)
{
	return director(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
