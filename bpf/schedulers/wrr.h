/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wrr, weighted round robin: servers whose weight reaches the current weight take
 * turns; at the end of the list the current weight falls by the weights' greatest
 * common divisor, and below 1 it starts again at the top.
 */
#ifndef XLVS_WRR_H
#define XLVS_WRR_H

#include "schedulers/scheduler.h"

/* From the cursor to the end, then whole passes. The top weight is reached in the
 * first whole pass unless its server is overloaded: then lower ones follow. */
#define WRR_STEPS_MAX (1 << 20)

static long wrr_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	struct xlvs_destination *d;
	__u32 id;

	(void)i;
	if (w->at >= w->list.count) {
		w->at = 0;
		if (w->weight > w->list.gcd) {
			w->weight -= w->list.gcd;
		} else {
			/* The second time round nothing was fit at any weight. */
			if (w->passes++)
				return 1;
			w->weight = w->list.max_weight;
		}
	}
	d = walk_at(w, w->at, &id);
	if (d && d->weight >= (__s32)w->weight && !destination_overloaded(d, id)) {
		walk_choose(w, w->at, id);
		w->cursor = w->at;
		return 1;
	}
	w->at++;
	return 0;
}

static __always_inline void wrr_choose(struct schedule_walk *w)
{
	if (!w->list.max_weight || !w->list.count || !w->weight)
		return;
	walk_from_cursor(w);
	bpf_loop(WRR_STEPS_MAX, wrr_step, &w, 0);
}

/* The servers or their weights changed: the cursor goes to the head, and the
 * current weight to a value that the new weights can have. */
static __always_inline __u32 wrr_weight_after_change(__u32 weight,
						     const struct xlvs_server_list *list)
{
	if (!weight || weight > list->max_weight)
		return list->max_weight;
	if (list->gcd > 1)
		return weight / list->gcd * list->gcd + 1;
	return weight;
}

#endif
