/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What lblc and lblcr remember: which servers a virtual address's connections went to.
 * An entry changes under its service's lock; lblc's packets that find a good one only
 * write when they were there, without it. So two CPUs neither remember one address
 * twice nor lose a server of its set, and the usual packet waits for nobody.
 */
#ifndef XLVS_LOCALITY_H
#define XLVS_LOCALITY_H

#include "lib/lock.h"
#include "maps.h"

static __always_inline struct xlvs_locality_table *locality_table(__u32 service)
{
	return bpf_map_lookup_elem(&locality_tables, &service);
}

/* False: it stayed locked. It is held for a walk over the servers at most. */
static __always_inline bool locality_lock(__u32 service)
{
	struct xlvs_locality_table *t = locality_table(service);

	return t && lock_take(&t->lock);
}

static __always_inline void locality_unlock(__u32 service)
{
	struct xlvs_locality_table *t = locality_table(service);

	if (t)
		lock_release(&t->lock);
}

static long locality_end_step(__u32 i, void *data)
{
	struct xlvs_locality_more_key *key = data;

	key->index = i + 1;
	bpf_map_delete_elem(&locality_more, key);
	return 0;
}

/* Ends an entry and its set. The service's lock is held. */
static __noinline void locality_end(const struct xlvs_locality_key *key, __u32 count)
{
	struct xlvs_locality_more_key more = { .of = *key };

	if (count > 1)
		bpf_loop(count - 1, locality_end_step, &more, 0);
	bpf_map_delete_elem(&localities, &more.of);
}

/* All of the service's entries are forgotten; the sweep ends them. */
static __always_inline void locality_forget(__u32 service)
{
	bool held = locality_lock(service);
	struct xlvs_locality_table *t = locality_table(service);

	if (!t)
		return;
	t->epoch++;
	t->entries = 0;
	if (held)
		locality_unlock(service);
}

#endif
