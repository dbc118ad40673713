/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wrr, weighted round robin: servers whose weight reaches the current weight take
 * turns; at the end of the list the current weight falls by the weights' greatest
 * common divisor, and below 1 it starts again at the top.
 */
#ifndef XLVS_WRR_H
#define XLVS_WRR_H

#include "schedulers/scheduler.h"

/* A decision takes fewer passes; see wrr_pass_over(). */
#define WRR_PASSES_MAX 16

enum wrr_passes {
	WRR_WHOLE = 1 << 0,     /* this pass began at the head */
	WRR_LAST = 1 << 1,      /* any weight is enough in this pass */
	WRR_RESTARTED = 1 << 2, /* the current weight was at the top again */
	WRR_STOPS = 1 << 3,     /* this pass ends at the cursor: everybody was asked then */
};

/*
 * The end of the list: which weight is next? True: nobody was fit at any. IPVS takes one
 * step down and asks everybody again; here the weights that nobody has are passed over.
 * Nobody being fit leaves its traces as in IPVS, and so it matters how that is found out.
 */
static __always_inline bool wrr_pass_over(struct schedule_walk *w)
{
	__u32 gcd = w->list.gcd ? w->list.gcd : 1, down = gcd, most;

	if (w->weight > gcd) {
		most = (w->weight - 1) / gcd * gcd;
		if (w->passes & WRR_WHOLE && w->best < w->weight)
			down = (w->weight - w->best + gcd - 1) / gcd * gcd;
		w->weight -= down < most ? down : most;
	} else {
		w->weight = w->list.max_weight;
		if (w->passes & WRR_LAST || w->cursor == XLVS_CURSOR_HEAD) {
			w->cursor = XLVS_CURSOR_HEAD;
			return true;
		}
		w->passes |= WRR_RESTARTED;
	}
	w->passes = (w->passes & WRR_RESTARTED) | WRR_WHOLE;
	if (w->weight <= gcd) {
		w->passes |= WRR_LAST;
		if (w->passes & WRR_RESTARTED && w->cursor != XLVS_CURSOR_HEAD)
			w->passes |= WRR_STOPS;
	}
	w->best = 0;
	w->at = 0;
	return false;
}

static long wrr_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	struct xlvs_destination *d;
	__u32 id;

	(void)i;
	if (w->at >= w->list.count && wrr_pass_over(w))
		return 1;
	d = walk_at(w, w->at, &id);
	if (d && d->weight > 0 && !destination_overloaded(d, id)) {
		if ((__u32)d->weight >= w->weight) {
			walk_choose(w, w->at, id);
			w->cursor = w->at;
			return 1;
		}
		if ((__u32)d->weight > w->best)
			w->best = d->weight;
	}
	if (w->passes & WRR_STOPS && w->at == w->cursor)
		return 1;
	w->at++;
	return 0;
}

static __always_inline void wrr_choose(struct schedule_walk *w)
{
	if (!w->list.max_weight || !w->list.count || !w->weight)
		return;
	walk_from_cursor(w);
	bpf_loop((__u64)w->list.count * WRR_PASSES_MAX, wrr_step, &w, 0);
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
