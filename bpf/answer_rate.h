/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many ICMP errors the data plane sends (RFC 1812 4.3.2.8, RFC 4443 2.4 f): a bucket
 * for each CPU, which holds what one second allows. In ticks times the rate, so nothing
 * is lost to rounding.
 */
#ifndef XLVS_ANSWER_RATE_H
#define XLVS_ANSWER_RATE_H

#include "lib/clock.h"
#include "maps.h"

static __noinline bool answer_allowed(void)
{
	struct xlvs_settings *s = settings_get();
	struct xlvs_geometry *g = geometry_get();
	__u32 zero = 0, now = clock_ticks(), elapsed;
	struct xlvs_answers *a = bpf_map_lookup_elem(&answers, &zero);
	__u64 credit;

	if (!s || !g || !a || !s->answer_rate)
		return true;
	elapsed = now - a->at;
	if (elapsed > g->hz)
		elapsed = g->hz;
	credit = a->credit + (__u64)elapsed * s->answer_rate;
	if (credit > (__u64)g->hz * s->answer_rate)
		credit = (__u64)g->hz * s->answer_rate;
	a->at = now;
	if (credit < g->hz) {
		a->credit = credit;
		return false;
	}
	a->credit = credit - g->hz;
	return true;
}

#endif
