// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ends the connections that a run has opened, so that the next one meets the same
 * table. It does what the sweep does when their time is over, but in an order of no
 * pattern: the slots are handed out again as after a long time of traffic.
 */
#include "sweep.h"

struct bench_forget {
	__u32 first; /* slot */
	__u32 mask;  /* number of slots - 1, a power of two less one */
};

struct bench_walk {
	__u32 first, mask, now;
};

static long bench_forget_step(__u32 i, void *data)
{
	struct bench_walk *b = data;
	__u32 slot = b->first + (i * 0x9e3779b1 & b->mask);
	struct sweep_walk w = { .at = slot, .end = ~0u, .now = b->now };
	struct xlvs_connection *c = table_slot(slot);

	if (c) {
		c->last_seen = b->now;
		c->timeout = 0;
		sweep_step(0, &w);
	}
	return 0;
}

SEC("syscall")
int bench_forget(struct bench_forget *ctx)
{
	struct bench_walk b = { .first = ctx->first, .mask = ctx->mask, .now = clock_ms_exact() };

	bpf_loop(b.mask + 1, bench_forget_step, &b, 0);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
