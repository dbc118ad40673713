// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The director at the TC hook, the way out of servers on the
 * director itself, and the way to clients on it from XDP's interfaces.
 */
#include "hook_tc.h"

#include "director.h"

SEC("tc")
int xlvs_tc_ingress(struct __sk_buff *ctx)
{
	if (unlikely(ctx->ifindex == LOOPBACK_IFINDEX && hook_delivered(ctx)))
		return HOOK_VERDICT_PASS;
	return director(ctx);
}

SEC("tc")
int xlvs_tc_egress(struct __sk_buff *ctx)
{
	return pipeline_egress(ctx);
}

SEC("tc")
int xlvs_tc_answers(struct __sk_buff *ctx)
{
	return pipeline_answers(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
