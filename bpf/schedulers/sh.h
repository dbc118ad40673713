/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sh, source hashing, and dh, destination hashing: eight bits of a multiplied address
 * pick one of 256 slots. A slot whose server has no weight or is overloaded refuses its
 * clients; with sh-fallback they go on to the next slot with a fit one. (The search
 * begins as far behind the first slot as that is from the beginning: IPVS adds the
 * first hash to the hash.) dh's slots go to the servers in turn, whatever their weights,
 * so nobody has to write them down.
 */
#ifndef XLVS_SH_H
#define XLVS_SH_H

#include "schedulers/hashed.h"

#define SH_SLOTS 256
#define SH_FACTOR 0x61c88647u /* the golden ratio's, as the kernel multiplies for its hash tables */

static __always_inline __u32 sh_index(__u32 key)
{
	return key * SH_FACTOR >> 24;
}

static long sh_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);

	return hashed_take(w, (i + 2 * w->first) % SH_SLOTS);
}

static __always_inline void sh_choose(struct schedule_walk *w)
{
	w->first = sh_index(w->key);
	if (!hashed_take(w, w->first) && w->flags & XLVS_SERVICE_HASH_FALLBACK)
		bpf_loop(SH_SLOTS, sh_step, &w, 0);
}

static __always_inline void dh_choose(struct schedule_walk *w)
{
	__u32 at, id;

	if (!w->list.count)
		return;
	at = sh_index(w->key) % w->list.count;
	if (walk_fit(w, at, &id))
		walk_choose(w, at, id);
}

#endif
