// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sweep's walk over a whole small table, when a test asks for it. */
#include "sweep.h"

struct table_sweep {
	__u32 lines4;
	__u32 lines6;
};

SEC("syscall")
int table_sweep(struct table_sweep *ctx)
{
	struct sweep_walk w = {};

	w.end4 = READ_ONCE(ctx->lines4) / XLVS_REGION_LINES + 1;
	w.end = w.end4 + READ_ONCE(ctx->lines6) / XLVS_REGION_LINES + 1;
	w.now = clock_ticks();
	bpf_loop(w.end, sweep_step, &w, 0);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
