// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What one tick of the sweep does, run from outside: nobody accounts for the timer's time. */
#include "sweep.h"

struct bench_sweep {
	__u32 at;    /* in: the first region; out: the next one */
	__u32 asked; /* out: regions asked */
	__u32 lines; /* out: lines read */
};

SEC("syscall")
int bench_sweep(struct bench_sweep *ctx)
{
	struct xlvs_geometry *g = geometry_get();
	struct sweep_walk w = {};
	__u32 steps, zero = 0;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);

	if (!t || !g)
		return -1;
	w.end4 = (g->lines4 + XLVS_CHAIN - 1) / XLVS_REGION_LINES + 1;
	w.end = w.end4 + (g->lines6 + XLVS_CHAIN - 1) / XLVS_REGION_LINES + 1;
	w.at = READ_ONCE(ctx->at);
	w.now = clock_ticks();
	steps = w.end / SWEEP_TICKS_PER_ROUND + 1;
	if (steps < SWEEP_REGIONS_MIN)
		steps = SWEEP_REGIONS_MIN;
	if (steps > SWEEP_REGIONS_MAX)
		steps = SWEEP_REGIONS_MAX;
	if (steps > w.end)
		steps = w.end;
	sweep_publish(t);
	steps = bpf_loop(steps, sweep_step, &w, 0);
	sweep_publish(t);
	ctx->at = w.at;
	ctx->asked = steps;
	ctx->lines = w.lines;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
