/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 4: which real server gets a new connection? */
#ifndef XLVS_SCHEDULE_H
#define XLVS_SCHEDULE_H

#include "schedulers/lc.h"
#include "schedulers/rr.h"
#include "schedulers/wlc.h"
#include "schedulers/wrr.h"

#define SCHEDULE_RETRIES 32

#define SCHEDULE_NONE (-1)      /* no server is fit */
#define SCHEDULE_CONTENDED (-2) /* other packets kept coming between */

/*
 * Chooses a destination of the service: its id, or SCHEDULE_*. Decisions are in
 * one order per service: each takes the cursor that the one before left, whatever
 * CPU it ran on.
 */
subprogram int schedule(__u32 service, __u32 scheduler)
{
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &service);

	if (!s)
		return SCHEDULE_NONE;
	for (int i = 0; i < SCHEDULE_RETRIES; i++) {
		__u64 word = READ_ONCE(s->word);
		struct schedule_walk w = {
			.list = s->list[WORD_GENERATION(word) & 1],
			.cursor = WORD_CURSOR(word),
			.weight = WORD_WEIGHT(word),
			.chosen = -1,
		};
		__u64 next;

		switch (scheduler) {
		case XLVS_SCHED_RR:
			rr_choose(&w);
			break;
		case XLVS_SCHED_WRR:
			wrr_choose(&w);
			break;
		case XLVS_SCHED_LC:
			lc_choose(&w);
			break;
		case XLVS_SCHED_WLC:
			wlc_choose(&w);
			break;
		}
		if (w.chosen < 0)
			return SCHEDULE_NONE;
		next = WORD(WORD_GENERATION(word), w.cursor, w.weight);
		/* lc and wlc keep nothing, but a new list must not be overtaken either. */
		if (__sync_val_compare_and_swap(&s->word, word, next) == word)
			return w.destination;
	}
	return SCHEDULE_CONTENDED;
}

#endif
