/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rr, round robin: the next fit server after the last chosen one, going round
 * once. Weights matter only as zero or not.
 */
#ifndef XLVS_RR_H
#define XLVS_RR_H

#include "schedulers/scheduler.h"

static long rr_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	__u32 id;

	if (i >= w->list.count)
		return 1;
	if (w->at >= w->list.count)
		w->at = 0;
	if (walk_fit(w, w->at, &id)) {
		walk_choose(w, w->at, id);
		w->cursor = w->at;
		return 1;
	}
	w->at++;
	return 0;
}

static __always_inline void rr_choose(struct schedule_walk *w)
{
	walk_from_cursor(w);
	bpf_loop(w->list.count, rr_step, &w, 0);
}

/*
 * The usual decision at a fifth of the cost: the next server is fit, and no other packet
 * comes between. Its id, or -1 and nothing is decided.
 */
static __always_inline int rr_next(__u32 service)
{
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &service);
	struct schedule_walk w;
	struct xlvs_destination *d;
	__u64 word;
	__u32 id;

	if (!s)
		return -1;
	word = READ_ONCE(s->word);
	w.list = s->list[WORD_GENERATION(word) & 1];
	w.cursor = WORD_CURSOR(word);
	note(SCHEDULE, service, word, w.list.count);
	walk_from_cursor(&w);
	if (w.at >= w.list.count)
		w.at = 0;
	if (!w.list.count)
		return -1;
	d = walk_fit(&w, w.at, &id);
	if (!d ||
	    __sync_val_compare_and_swap(
		    &s->word, word, WORD(WORD_GENERATION(word), w.at, WORD_WEIGHT(word))) != word)
		return -1;
	note(CHOOSE, id, w.at, 0);
	return id;
}

#endif
