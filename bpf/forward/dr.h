/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* DR: the packet as it is, one hop less, to the real server's MAC. */
#ifndef XLVS_DR_H
#define XLVS_DR_H

#include "forward/rewrite.h"

static __always_inline int dr_forward(hook_ctx *ctx, struct packet *p)
{
	if (rewrite_ttl(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	if (hook_reframe(ctx, p, 0,
			 p->family == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return XLVS_REASON_DROP_HEADROOM;
	return XLVS_REASON_FWD_DR;
}

#endif
