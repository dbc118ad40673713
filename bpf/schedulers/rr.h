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
	struct schedule_walk *w = data;
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
	bpf_loop(w->list.count, rr_step, w, 0);
}

#endif
