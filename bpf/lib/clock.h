/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one door to the clock. */
#ifndef XLVS_CLOCK_H
#define XLVS_CLOCK_H

#include "lib/base.h"

/*
 * The kernel's jiffies modulo 2^32 (50 to 500 days): compare by difference only. The
 * verifier turns the helper into one load, where a clock costs 13 to 34 ns; IPVS's own
 * timers are no finer.
 */
static __always_inline __u32 clock_ticks(void)
{
	return bpf_jiffies64();
}

static __always_inline bool clock_over(__u32 now, __u32 expires)
{
	return (__s32)(now - expires) >= 0;
}

/* <time.h>'s, for timers. */
#define CLOCK_MONOTONIC 1

#endif
