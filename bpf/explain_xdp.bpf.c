// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What would happen to this packet at the XDP hook? (xlvs explain.) Loaded when it is
 * asked for, attached nowhere, gone a minute after.
 */
#include "explain/overlay.h"

#include "hook_xdp.h"

#include "pipeline.h"

SEC("xdp")
int xlvs_explain_xdp(hook_ctx *ctx)
{
	struct packet *p = packet_begin();

	return p ? pipeline(ctx, p, settings_get()) : HOOK_VERDICT_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
