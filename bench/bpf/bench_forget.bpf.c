// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ends the connections that runs of new ones have left, so that the next run meets the same
 * table: the half-open ones, or those of all clients behind an address. It does what the sweep
 * does when their time is over.
 */
#include "sweep.h"

/* Which lines: the kernel's loop is for some millions at most. */
struct bench_forget {
	__u32 v6;
	__u32 first;
	__u32 lines;
	__u32 clients; /* host order; 0: the half-open ones. IPv4 */
};

static __always_inline void bench_end(bool v6, __u32 at, const struct xlvs_entry *e, bool all)
{
	__u32 word = READ_ONCE(e->word);

	if (word & XLVS_CONNECTION_LIVE && !(word & XLVS_CONNECTION_ANSWER) &&
	    (all || word & XLVS_CONNECTION_HALF_OPEN))
		table_end(v6, at, word, 0);
}

static __always_inline void bench_end4(__u32 at, const struct xlvs_entry4 *e, __u32 clients)
{
	if (!clients || bpf_ntohl(e->src) >= clients)
		bench_end(false, at, &e->entry, clients);
}

static long bench_forget4(__u32 i, void *data)
{
	struct bench_forget *ctx = data;
	__u32 line = ctx->first + i;
	struct xlvs_line4 *l = line4_get(line);

	if (l) {
		bench_end4(2 * line, &l->way[0], ctx->clients);
		bench_end4(2 * line + 1, &l->way[1], ctx->clients);
	}
	return 0;
}

static long bench_forget6(__u32 i, void *data)
{
	__u32 line = *(__u32 *)data + i;
	struct xlvs_line6 *l = line6_get(line);

	if (l)
		bench_end(true, line, &l->way[0].entry, false);
	return 0;
}

SEC("syscall")
int bench_forget(struct bench_forget *ctx)
{
	struct bench_forget part = *ctx;

	if (part.v6)
		bpf_loop(part.lines, bench_forget6, &part.first, 0);
	else
		bpf_loop(part.lines, bench_forget4, &part, 0);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
