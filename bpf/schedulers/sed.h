/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sed, shortest expected delay: the fit server with the least (active + 1) per weight,
 * as if the new connection were there already. nq, never queue: the first fit server
 * without an active connection, else as sed. Both count active connections only, and
 * datagrams make none.
 */
#ifndef XLVS_SED_H
#define XLVS_SED_H

#include "schedulers/scheduler.h"

static __always_inline long sed_look(struct schedule_walk *w, __u32 i, bool idle_first)
{
	struct xlvs_destination *d;
	__u32 id, active;

	if (i >= w->list.count)
		return 1;
	d = walk_fit(w, i, &id);
	if (!d)
		return 0;
	active = destination_active(id);
	if (idle_first && !active) {
		walk_choose(w, i, id);
		return 1;
	}
	walk_prefer(w, i, id, (__u64)active + 1, d->weight);
	return 0;
}

static long sed_step(__u32 i, void *data)
{
	return sed_look(walk_of(data), i, false);
}

static long nq_step(__u32 i, void *data)
{
	return sed_look(walk_of(data), i, true);
}

static __always_inline void sed_choose(struct schedule_walk *w)
{
	bpf_loop(w->list.count, sed_step, &w, 0);
}

static __always_inline void nq_choose(struct schedule_walk *w)
{
	bpf_loop(w->list.count, nq_step, &w, 0);
}

#endif
