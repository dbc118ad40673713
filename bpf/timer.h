/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What runs without a packet, in softirq as packets do: the sweep, and what the daemon asks for. */
#ifndef XLVS_TIMER_H
#define XLVS_TIMER_H

#include <asm-generic/errno-base.h>

#include "lib/clock.h"
#include "maps.h"

/* Starts the map's timer, or gives a running one this version's callback; 0 or a negative errno.
 * ENOMEM passes: the kernel takes a timer's memory without waiting for any (and, since
 * 6.18, without waiting for a lock of the allocator). */
static __always_inline int timer_begin(void *map,
				       int (*callback)(void *, __u32 *, struct sweeper *),
				       __u64 nanoseconds)
{
	__u32 zero = 0;
	struct sweeper *s = bpf_map_lookup_elem(map, &zero);
	long failed;

	if (!s)
		return -ENOENT;
	failed = bpf_timer_init(&s->timer, map, CLOCK_MONOTONIC);
	if (failed && failed != -EBUSY) /* EBUSY: it exists */
		return failed;
	failed = bpf_timer_set_callback(&s->timer, callback);
	if (failed)
		return failed;
	return bpf_timer_start(&s->timer, nanoseconds, 0);
}

#endif
