/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mh, Maglev hashing: the client's hash picks a slot, the slot names the server
 * (src/xlvs/schedulers/maglev.py fills them). With mh-fallback an unfit server's clients
 * are hashed again until one is fit.
 */
#ifndef XLVS_MH_H
#define XLVS_MH_H

#include "lib/siphash.h"
#include "schedulers/hashed.h"

#define MH_KEY 2654435761ULL /* both words of the look-up's SipHash key */

static __always_inline __u32 mh_index(const struct xlvs_server_list *list, __u32 key)
{
	return siphash13_32(key, MH_KEY) % list->hash_size;
}

static long mh_step(__u32 i, void *data)
{
	struct schedule_walk *w = walk_of(data);
	__u32 again = (i + w->first) % w->list.hash_size;

	return hashed_take(w, mh_index(&w->list, w->key + again));
}

static __always_inline void mh_choose(struct schedule_walk *w)
{
	if (!w->list.hash_size)
		return;
	w->first = mh_index(&w->list, w->key);
	if (!hashed_take(w, w->first) && w->flags & XLVS_SERVICE_HASH_FALLBACK)
		bpf_loop(w->list.hash_size, mh_step, &w, 0);
}

#endif
