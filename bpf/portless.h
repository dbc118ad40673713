/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * FULLNAT: a server to which no local address has a free port is overloaded for a moment,
 * as one is that has reached its upper threshold: schedulers pass it over by IPVS's rules,
 * and it is asked again when the moment is over. Connections that it has are left alone.
 */
#ifndef XLVS_PORTLESS_H
#define XLVS_PORTLESS_H

#include "lib/clock.h"

/*
 * Of a second. The end of a connection of the server's ends it at once; but those of other
 * services may have the same ports.
 */
#define PORTLESS_SHARE 2

/* In ticks, where there are most of them in a second (1000). */
#define PORTLESS_TICKS_MAX (1000 / PORTLESS_SHARE)

/*
 * Is the moment `until` still to come? One that was noted so long ago that the ticks have
 * gone round is over: it is not believed to be further away than any moment is.
 */
static __always_inline bool portless(__u32 until)
{
	return until && until - clock_ticks() <= PORTLESS_TICKS_MAX;
}

#endif
