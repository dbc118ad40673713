// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ends the half-open connections, which runs of new ones have left, so that the next
 * run meets the same table. It does what the sweep does when their time is over.
 */
#include "sweep.h"

struct bench_forget {
	__u32 lines4;
	__u32 lines6;
};

static __always_inline void bench_end(bool v6, __u32 at, const struct xlvs_entry *e)
{
	__u32 word = READ_ONCE(e->word);

	if (word & XLVS_CONNECTION_LIVE && word & XLVS_CONNECTION_HALF_OPEN)
		table_end(v6, at, word, 0);
}

static long bench_forget4(__u32 i, void *data)
{
	struct xlvs_line4 *l = line4_get(i);

	(void)data;
	if (l) {
		bench_end(false, 2 * i, &l->way[0].entry);
		bench_end(false, 2 * i + 1, &l->way[1].entry);
	}
	return 0;
}

static long bench_forget6(__u32 i, void *data)
{
	struct xlvs_line6 *l = line6_get(i);

	(void)data;
	if (l)
		bench_end(true, i, &l->way[0].entry);
	return 0;
}

SEC("syscall")
int bench_forget(struct bench_forget *ctx)
{
	bpf_loop(READ_ONCE(ctx->lines4), bench_forget4, NULL, 0);
	bpf_loop(READ_ONCE(ctx->lines6), bench_forget6, NULL, 0);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
