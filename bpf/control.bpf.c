// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What user space must do in one step against running packets: change a service's
 * server list together with its cursor, and start the sweep. Run by
 * BPF_PROG_TEST_RUN; they see no packets.
 */
#include "close.h"
#include "locality.h"
#include "schedulers/wrr.h"
#include "sweep.h"
#include "sync_take.h"

/* Each retry means that a packet was scheduled between. */
#define COMMIT_RETRIES 4096

#define COMMIT_UNKNOWN (-1)
#define COMMIT_CONTENDED (-2)

struct commit_attempt {
	struct xlvs_commit c;
	__s32 result;
};

/* Where the cursor and the current weight go; the words are schedulers/scheduler.h's. */
static __always_inline __u64 commit_word(const struct xlvs_commit *c, __u64 word)
{
	__u32 cursor = WORD_CURSOR(word), weight = WORD_WEIGHT(word);

	if (c->reset) {
		cursor = XLVS_CURSOR_HEAD;
		weight = c->list.max_weight;
	} else if (c->scheduler == XLVS_SCHED_WRR) {
		cursor = XLVS_CURSOR_HEAD;
		weight = wrr_weight_after_change(weight, &c->list);
	} else if (cursor != XLVS_CURSOR_HEAD) {
		__u32 index = c->remap_base + cursor;
		__u32 *to = bpf_map_lookup_elem(&remap, &index);

		cursor = to && cursor < c->remap_count ? *to : XLVS_CURSOR_HEAD;
	}
	return WORD(WORD_GENERATION(word) + 1, cursor, weight);
}

static long commit_try(__u32 i, void *data)
{
	struct commit_attempt *a = data;
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &a->c.service);
	__u64 word, next;

	(void)i;
	if (!s) {
		a->result = COMMIT_UNKNOWN;
		return 1;
	}
	word = READ_ONCE(s->word);
	next = commit_word(&a->c, word);
	/* The list that no packet reads; they change over with the word. */
	s->list[WORD_GENERATION(next) & 1] = a->c.list;
	if (__sync_val_compare_and_swap(&s->word, word, next) != word)
		return 0;
	a->c.generation = WORD_GENERATION(next);
	a->result = 0;
	return 1;
}

SEC("syscall")
int xlvs_commit(struct xlvs_commit *ctx)
{
	/* Read from fixed offsets only: what the verifier allows of a context. */
	struct commit_attempt a = {
		.c = { .service = READ_ONCE(ctx->service),
		       .scheduler = READ_ONCE(ctx->scheduler),
		       .reset = READ_ONCE(ctx->reset),
		       .list = { .base = READ_ONCE(ctx->list.base),
				 .count = READ_ONCE(ctx->list.count),
				 .gcd = READ_ONCE(ctx->list.gcd),
				 .max_weight = READ_ONCE(ctx->list.max_weight),
				 .hash_base = READ_ONCE(ctx->list.hash_base),
				 .hash_size = READ_ONCE(ctx->list.hash_size) },
		       .remap_base = READ_ONCE(ctx->remap_base),
		       .remap_count = READ_ONCE(ctx->remap_count) },
		.result = COMMIT_CONTENDED,
	};

	/* What lblc and lblcr remember belongs to the scheduler that the service had. */
	if (a.c.reset)
		locality_forget(a.c.service);
	bpf_loop(COMMIT_RETRIES, commit_try, &a, 0);
	ctx->generation = a.c.generation;
	return a.result;
}

/* The present tick, to compare with the maps' times. */
SEC("syscall")
int xlvs_now(struct xlvs_now *ctx)
{
	ctx->ticks = bpf_jiffies64();
	return 0;
}

/* Takes sync_batch, in a moment. */
SEC("syscall")
int xlvs_sync(void *unused)
{
	(void)unused;
	return sync_start();
}

/* Works on closing_batch, in a moment. */
SEC("syscall")
int xlvs_close(void *unused)
{
	(void)unused;
	return close_start();
}

SEC("syscall")
int xlvs_start_sweep(void *unused)
{
	(void)unused;
	return sweep_start();
}

char _license[] SEC("license") = "Dual BSD/GPL";
