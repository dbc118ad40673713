/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A lock word of a map's value: held for some microseconds, by one CPU at a time. */
#ifndef XLVS_LOCK_H
#define XLVS_LOCK_H

#include "lib/base.h"

#define LOCK_SPINS (1 << 16)

struct lock_attempt {
	__u32 *word;
	bool held;
};

static __always_inline bool lock_try(__u32 *word)
{
	return !__sync_val_compare_and_swap(word, 0, 1);
}

static long lock_step(__u32 i, void *data)
{
	struct lock_attempt *attempt = data;

	(void)i;
	attempt->held = lock_try(attempt->word);
	return attempt->held;
}

/* False: it stayed locked. */
static __noinline bool lock_take(__u32 *word)
{
	struct lock_attempt attempt = { .word = word };

	bpf_loop(LOCK_SPINS, lock_step, &attempt, 0);
	return attempt.held;
}

static __always_inline void lock_release(__u32 *word)
{
	__sync_lock_test_and_set(word, 0);
}

#endif
