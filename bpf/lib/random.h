/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one door to chance. */
#ifndef XLVS_RANDOM_H
#define XLVS_RANDOM_H

#include "lib/base.h"

/* 0 up to, not including, `end`, which is above 0 and far below 2^64: so the remainder is fair. */
static __always_inline __u64 random_below(__u64 end)
{
	return ((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) % end;
}

#endif
