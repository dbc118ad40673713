// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What user space must do in one step against running packets: change a service's
 * server list together with its cursor, and start the sweep. Run by
 * BPF_PROG_TEST_RUN; they see no packets.
 */
#include "schedulers/wrr.h"
#include "table.h"

#include "sweep.h"

#define COMMIT_RETRIES 64

SEC("syscall")
int xlvs_commit(struct xlvs_commit *ctx)
{
	/* Read from fixed offsets only: what the verifier allows of a context. */
	struct xlvs_commit c = {
		.service = READ_ONCE(ctx->service),
		.scheduler = READ_ONCE(ctx->scheduler),
		.reset = READ_ONCE(ctx->reset),
		.list = { .base = READ_ONCE(ctx->list.base),
			  .count = READ_ONCE(ctx->list.count),
			  .gcd = READ_ONCE(ctx->list.gcd),
			  .max_weight = READ_ONCE(ctx->list.max_weight) },
		.remap_base = READ_ONCE(ctx->remap_base),
		.remap_count = READ_ONCE(ctx->remap_count),
	}, *commit = &c;
	struct xlvs_schedule *s;
	__u32 service = c.service;

	s = bpf_map_lookup_elem(&schedules, &service);
	if (!s)
		return -1;
	for (int i = 0; i < COMMIT_RETRIES; i++) {
		__u64 word = READ_ONCE(s->word);
		__u32 generation = WORD_GENERATION(word) + 1;
		__u32 cursor = WORD_CURSOR(word), weight = WORD_WEIGHT(word);

		/* The list that no packet reads; they change over with the word. */
		s->list[generation & 1] = commit->list;
		if (commit->reset) {
			cursor = XLVS_CURSOR_HEAD;
			weight = commit->list.max_weight;
		} else if (commit->scheduler == XLVS_SCHED_WRR) {
			cursor = XLVS_CURSOR_HEAD;
			weight = wrr_weight_after_change(weight, &commit->list);
		} else if (cursor != XLVS_CURSOR_HEAD) {
			__u32 index = commit->remap_base + cursor;
			__u32 *to = bpf_map_lookup_elem(&remap, &index);

			cursor = to && cursor < commit->remap_count ? *to : XLVS_CURSOR_HEAD;
		}
		if (__sync_val_compare_and_swap(&s->word, word, WORD(generation, cursor, weight)) ==
		    word) {
			ctx->generation_in = generation & 0xffff;
			return 0;
		}
	}
	return -2;
}

SEC("syscall")
int xlvs_start_sweep(void *unused)
{
	(void)unused;
	return sweep_start();
}

char _license[] SEC("license") = "Dual BSD/GPL";
