/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lc, least connections: the fit server with the least overhead (256 x active +
 * inactive); of equals the first of the list, which is the newest.
 */
#ifndef XLVS_LC_H
#define XLVS_LC_H

#include "schedulers/scheduler.h"

static long lc_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	__u32 id;

	if (i >= w->list.count)
		return 1;
	if (walk_fit(w, i, &id))
		walk_prefer(w, i, id, destination_overhead(id), 1);
	return 0;
}

static __always_inline void lc_choose(struct schedule_walk *w)
{
	bpf_loop(w->list.count, lc_step, &w, 0);
}

#endif
