/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wlc, weighted least connections: the fit server with the least overhead per
 * weight, compared by multiplication; of equals the first of the list.
 */
#ifndef XLVS_WLC_H
#define XLVS_WLC_H

#include "schedulers/scheduler.h"

static long wlc_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	struct xlvs_destination *d;
	__u32 id;

	if (i >= w->list.count)
		return 1;
	d = walk_fit(w, i, &id);
	if (d)
		walk_prefer(w, i, id, destination_overhead(id), d->weight);
	return 0;
}

static __always_inline void wlc_choose(struct schedule_walk *w)
{
	bpf_loop(w->list.count, wlc_step, &w, 0);
}

#endif
