/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fo, weighted fail-over: the fit server with the greatest weight. ovf, weighted
 * overflow: the same among those with no more active connections than their weight, so
 * a server gets weight + 1 of them. Of equals the first of the list.
 */
#ifndef XLVS_FO_H
#define XLVS_FO_H

#include "schedulers/scheduler.h"

static __always_inline long fo_look(struct schedule_walk *w, __u32 i, bool overflows)
{
	struct xlvs_destination *d;
	__u32 id;

	if (i >= w->list.count)
		return 1;
	d = walk_fit(w, i, &id);
	if (!d || (w->chosen >= 0 && d->weight <= w->chosen_weight))
		return 0;
	if (overflows && destination_active(id) > (__u32)d->weight)
		return 0;
	walk_choose(w, i, id);
	w->chosen_weight = d->weight;
	return 0;
}

static long fo_step(__u32 i, void *data)
{
	return fo_look(walk_of(data), i, false);
}

static long ovf_step(__u32 i, void *data)
{
	return fo_look(walk_of(data), i, true);
}

static __always_inline void fo_choose(struct schedule_walk *w)
{
	bpf_loop(w->list.count, fo_step, &w, 0);
}

static __always_inline void ovf_choose(struct schedule_walk *w)
{
	bpf_loop(w->list.count, ovf_step, &w, 0);
}

#endif
