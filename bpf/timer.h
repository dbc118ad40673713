/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What runs without a packet, in softirq as packets do: the sweep, and what the daemon asks for. */
#ifndef XLVS_TIMER_H
#define XLVS_TIMER_H

#include "lib/clock.h"
#include "maps.h"

/* Starts the map's timer, or gives a running one this version's callback. */
static __always_inline int timer_begin(void *map,
				       int (*callback)(void *, __u32 *, struct sweeper *),
				       __u64 nanoseconds)
{
	__u32 zero = 0;
	struct sweeper *s = bpf_map_lookup_elem(map, &zero);

	if (!s)
		return -1;
	bpf_timer_init(&s->timer, map, CLOCK_MONOTONIC); /* EBUSY: it exists */
	if (bpf_timer_set_callback(&s->timer, callback))
		return -2;
	return bpf_timer_start(&s->timer, nanoseconds, 0);
}

#endif
