/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What mh and sh have in common: a hash picks a slot, the slot names the server.
 * The daemon fills the slots (src/xlvs/schedulers/) as the kernel does, so the same
 * client gets the same server as from IPVS, and a decision costs the same for one
 * server and for a thousand.
 */
#ifndef XLVS_HASHED_H
#define XLVS_HASHED_H

#include "schedulers/scheduler.h"

static __always_inline struct xlvs_hash_slot *hashed_slot(const struct xlvs_server_list *list,
							  __u32 index)
{
	__u32 at = list->hash_base + index, number = at / XLVS_SLOT_PAGE;
	void *page;

	if (index >= list->hash_size)
		return NULL;
	page = bpf_map_lookup_elem(&hash_slots, &number);
	at %= XLVS_SLOT_PAGE;
	return page ? inner_map_lookup_elem(page, &at) : NULL;
}

/* Chooses the slot's server if it is fit. */
static __always_inline bool hashed_take(struct schedule_walk *w, __u32 index)
{
	struct xlvs_hash_slot *slot = hashed_slot(&w->list, index);
	struct xlvs_destination *d;
	__u32 id;

	if (!slot)
		return false;
	id = slot->destination;
	note(SLOT, id, index, w->list.hash_size);
	d = bpf_map_lookup_elem(&destinations, &id);
	if (!d || !destination_fit(d, id))
		return false;
	walk_choose(w, index, id);
	return true;
}

#endif
