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
	__u32 zero = 0;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);

	if (!t || !g)
		return -1;
	w.at = READ_ONCE(ctx->at);
	ctx->asked = sweep_regions(&w, t, g);
	ctx->at = w.at;
	ctx->lines = w.lines;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
