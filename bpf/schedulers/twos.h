/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * twos, the power of two choices: two fit servers drawn at random by weight, perhaps
 * the same one twice; of the two the one with less overhead (as wlc's) per weight, of
 * equals the one drawn first. As in IPVS a ticket is 0 up to and including the sum of
 * the weights, so the head of the list has one more than its weight.
 */
#ifndef XLVS_TWOS_H
#define XLVS_TWOS_H

#include "lib/random.h"
#include "schedulers/scheduler.h"

struct twos_drawn {
	__s64 ticket; /* counted down by the weights passed: at 0 or below it is drawn */
	__u64 overhead;
	__s32 weight; /* 0: not drawn yet */
	__u32 id;
};

struct twos_walk {
	struct schedule_walk *w;
	__u64 total;
	struct twos_drawn first, second;
};

static long twos_weigh(__u32 i, void *data)
{
	struct twos_walk *t = data;
	struct xlvs_destination *d;
	__u32 id;

	if (i >= t->w->list.count)
		return 1;
	d = walk_fit(t->w, i, &id);
	if (d)
		t->total += (__u32)d->weight;
	return 0;
}

static __always_inline void twos_draw(struct twos_drawn *drawn, __s32 weight, __u32 id)
{
	drawn->ticket -= weight;
	if (drawn->weight || drawn->ticket > 0)
		return;
	drawn->weight = weight;
	drawn->id = id;
	drawn->overhead = destination_overhead(id);
}

static long twos_step(__u32 i, void *data)
{
	struct twos_walk *t = data;
	struct xlvs_destination *d;
	__s32 weight;
	__u32 id;

	if (i >= t->w->list.count)
		return 1;
	d = walk_fit(t->w, i, &id);
	if (!d)
		return 0;
	weight = d->weight;
	twos_draw(&t->first, weight, id);
	twos_draw(&t->second, weight, id);
	return t->first.weight && t->second.weight;
}

static __always_inline void twos_choose(struct schedule_walk *w)
{
	struct twos_walk t = { .w = w };

	bpf_loop(w->list.count, twos_weigh, &t, 0);
	if (!t.total)
		return;
	t.first.ticket = random_below(t.total + 1);
	t.second.ticket = random_below(t.total + 1);
	bpf_loop(w->list.count, twos_step, &t, 0);
	if (!t.first.weight)
		return; /* weights fell meanwhile */
	walk_choose(w, 0, t.first.id);
	if (t.second.weight &&
	    t.first.overhead * t.second.weight > t.second.overhead * t.first.weight)
		walk_choose(w, 0, t.second.id);
}

#endif
