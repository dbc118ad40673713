// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What one tick of the sweep does, run from outside: nobody accounts for the timer's time. */
#include "sweep.h"

struct bench_sweep {
	__u32 lines4;
	__u32 lines6;
	__u32 at;    /* in: the first region; out: the next one */
	__u32 lines; /* out: lines read */
};

SEC("syscall")
int bench_sweep(struct bench_sweep *ctx)
{
	struct sweep_walk w = {};
	__u32 steps, zero = 0;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);

	if (!t)
		return -1;
	w.end4 = READ_ONCE(ctx->lines4) / XLVS_REGION_LINES + 1;
	w.end = w.end4 + READ_ONCE(ctx->lines6) / XLVS_REGION_LINES + 1;
	w.at = READ_ONCE(ctx->at);
	w.now = clock_ticks();
	steps = w.end > SWEEP_REGIONS_MAX ? SWEEP_REGIONS_MAX : w.end;
	sweep_publish(t);
	bpf_loop(steps, sweep_step, &w, 0);
	sweep_publish(t);
	ctx->at = w.at;
	ctx->lines = w.lines;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
