/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one door to the clock. */
#ifndef XLVS_CLOCK_H
#define XLVS_CLOCK_H

#include "lib/base.h"

/*
 * Milliseconds of CLOCK_MONOTONIC as of the last tick, modulo 2^32 (49 days):
 * compare by difference only. The coarse clock costs a third of the exact one,
 * and a tick (1 to 10 ms) is as fine as IPVS's own timers.
 */
static __always_inline __u32 clock_ms(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000;
}

/* The same clock for programs that may not read the coarse one (syscall type). */
static __always_inline __u32 clock_ms_exact(void)
{
	return bpf_ktime_get_ns() / 1000000;
}

static __always_inline bool clock_over(__u32 now, __u32 since, __u32 timeout)
{
	/* A packet on another CPU may have stored a newer tick than ours. */
	__s32 age = now - since;

	return age >= 0 && (__u32)age >= timeout;
}

#endif
