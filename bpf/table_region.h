/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When must the sweep look where? 64 lines, one page, have one number: a tick by which
 * the first of their connections is over, or an earlier one. A packet lowers it when a
 * connection begins or its time-out shrinks; only the sweep raises it. So the sweep
 * reads a page when something there is over, and not the whole table all the time.
 */
#ifndef XLVS_TABLE_REGION_H
#define XLVS_TABLE_REGION_H

#include "lib/clock.h"
#include "maps.h"

#define REGION_NEVER 0 /* no connection; the tick 0 itself becomes 1 */
#define REGION_RETRIES 16

static __always_inline __u32 *region_get(bool v6, __u32 region)
{
	return v6 ? bpf_map_lookup_elem(&regions6, &region) :
		    bpf_map_lookup_elem(&regions4, &region);
}

/* Not later than `expires`. Others may lower it meanwhile: then theirs may be enough. */
static __always_inline void region_lower(__u32 *due, __u32 expires)
{
	expires = expires ? expires : 1;
	for (int i = 0; i < REGION_RETRIES; i++) {
		__u32 was = READ_ONCE(*due);

		if (was != REGION_NEVER && (__s32)(was - expires) <= 0)
			return;
		if (__sync_val_compare_and_swap(due, was, expires) == was)
			return;
	}
	/* Lost sixteen times: at once is never wrong. */
	expires = clock_ticks();
	__sync_lock_test_and_set(due, expires ? expires : 1);
}

static __always_inline void region_expires(bool v6, __u32 line, __u32 expires)
{
	__u32 *due = region_get(v6, line / XLVS_REGION_LINES);

	if (due)
		region_lower(due, expires);
}

#endif
