// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The director at the TC hook, and the way out of servers on the director itself. */
#include "hook_tc.h"

#include "pipeline.h"

SEC("tc")
int xlvs_tc_ingress(struct __sk_buff *ctx)
{
	struct packet *p = packet_begin();

	return p ? pipeline(ctx, p, settings_get()) : HOOK_VERDICT_PASS;
}

SEC("tc")
int xlvs_tc_egress(struct __sk_buff *ctx)
{
	return pipeline_egress(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
