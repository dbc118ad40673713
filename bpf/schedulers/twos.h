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

/* The ticket of the second one is in ticket2, and so on. */
static long twos_weigh(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	struct xlvs_destination *d;
	__u32 id;

	if (i >= w->list.count)
		return 1;
	d = walk_fit(w, i, &id);
	if (d)
		w->ticket += d->weight;
	return 0;
}

/* Each server takes as many tickets as its weight: whoever takes the last one is drawn. */
static long twos_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	struct xlvs_destination *d;
	__s32 weight;
	__u32 id;

	if (i >= w->list.count)
		return 1;
	d = walk_fit(w, i, &id);
	if (!d)
		return 0;
	weight = d->weight;
	w->ticket -= weight;
	if (w->ticket <= 0 && w->chosen < 0) {
		walk_choose(w, i, id);
		w->overhead = destination_overhead(id);
		w->chosen_weight = weight;
	}
	w->ticket2 -= weight;
	if (w->ticket2 <= 0 && !w->weight2) {
		w->destination2 = id;
		w->overhead2 = destination_overhead(id);
		w->weight2 = weight;
	}
	return w->chosen >= 0 && w->weight2;
}

static __always_inline void twos_choose(struct schedule_walk *w)
{
	__u64 tickets;

	w->ticket = 0;
	bpf_loop(w->list.count, twos_weigh, &w, 0);
	if (!w->ticket)
		return;
	tickets = w->ticket + 1;
	w->ticket = random_below(tickets);
	w->ticket2 = random_below(tickets);
	note(TICKETS, 0, w->ticket, w->ticket2);
	w->overhead2 = 0;
	w->weight2 = 0;
	bpf_loop(w->list.count, twos_step, &w, 0);
	if (w->chosen >= 0 && w->weight2 &&
	    w->overhead * (__u32)w->weight2 > w->overhead2 * (__u32)w->chosen_weight)
		w->destination = w->destination2;
}

#endif
