/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mh, Maglev hashing: the client's hash picks a slot, the slot names the server. The
 * daemon fills the slots (src/xlvs/schedulers/maglev.py) as the kernel does, so the
 * same client gets the same server as from IPVS. With mh-fallback an unfit server's
 * clients are hashed again until one is fit.
 */
#ifndef XLVS_MH_H
#define XLVS_MH_H

#include "lib/siphash.h"
#include "schedulers/scheduler.h"

#define MH_KEY 2654435761ULL /* both words of the look-up's SipHash key */

static __always_inline __u32 mh_index(const struct xlvs_server_list *list, __u32 key)
{
	return siphash13_32(key, MH_KEY) % list->hash_size;
}

static __always_inline struct xlvs_hash_slot *mh_slot(const struct xlvs_server_list *list,
						      __u32 index)
{
	__u32 at = list->hash_base + index;

	return bpf_map_lookup_elem(&hash_slots, &at);
}

/* Chooses the slot's server if it is fit. */
static __always_inline bool mh_take(struct schedule_walk *w, __u32 index)
{
	struct xlvs_hash_slot *slot = mh_slot(&w->list, index);
	struct xlvs_destination *d;
	__u32 id;

	if (!slot)
		return false;
	id = slot->destination;
	d = bpf_map_lookup_elem(&destinations, &id);
	if (!d || !destination_fit(d, id))
		return false;
	walk_choose(w, index, id);
	return true;
}

static long mh_step(__u32 i, void *data)
{
	struct schedule_walk *w = data;
	__u32 again = (i + w->at) % w->list.hash_size;

	return mh_take(w, mh_index(&w->list, w->key + again));
}

static __always_inline void mh_choose(struct schedule_walk *w)
{
	if (!w->list.hash_size)
		return;
	w->at = mh_index(&w->list, w->key);
	if (!mh_take(w, w->at) && w->flags & XLVS_SERVICE_HASH_FALLBACK)
		bpf_loop(w->list.hash_size, mh_step, w, 0);
}

#endif
