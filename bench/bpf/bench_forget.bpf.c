// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ends the half-open connections, which runs of new ones have left, so that the next
 * run meets the same table. It does what the sweep does when their time is over.
 */
#include "sweep.h"

/* Which lines: the kernel's loop is for some millions at most. */
struct bench_forget {
	__u32 v6;
	__u32 first;
	__u32 lines;
};

static __always_inline void bench_end(bool v6, __u32 at, const struct xlvs_entry *e)
{
	__u32 word = READ_ONCE(e->word);

	if (word & XLVS_CONNECTION_LIVE && word & XLVS_CONNECTION_HALF_OPEN)
		table_end(v6, at, word, 0);
}

static long bench_forget4(__u32 i, void *data)
{
	__u32 line = *(__u32 *)data + i;
	struct xlvs_line4 *l = line4_get(line);

	if (l) {
		bench_end(false, 2 * line, &l->way[0].entry);
		bench_end(false, 2 * line + 1, &l->way[1].entry);
	}
	return 0;
}

static long bench_forget6(__u32 i, void *data)
{
	__u32 line = *(__u32 *)data + i;
	struct xlvs_line6 *l = line6_get(line);

	if (l)
		bench_end(true, line, &l->way[0].entry);
	return 0;
}

SEC("syscall")
int bench_forget(struct bench_forget *ctx)
{
	__u32 first = READ_ONCE(ctx->first), lines = READ_ONCE(ctx->lines);

	if (READ_ONCE(ctx->v6))
		bpf_loop(lines, bench_forget6, &first, 0);
	else
		bpf_loop(lines, bench_forget4, &first, 0);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
