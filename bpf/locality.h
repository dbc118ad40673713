/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What lblc and lblcr remember: which servers a virtual address's connections went to.
 * An entry changes under its service's lock; lblc's packets that find a good one only
 * write when they were there, without it. So two CPUs neither remember one address
 * twice nor lose a server of its set, and the usual packet waits for nobody.
 */
#ifndef XLVS_LOCALITY_H
#define XLVS_LOCALITY_H

#include "maps.h"

/* Held for a walk over the servers at most: some ten microseconds for a thousand. */
#define LOCALITY_LOCK_SPINS (1 << 16)

struct locality_lock {
	__u32 service, held;
};

static __always_inline struct xlvs_locality_table *locality_table(__u32 service)
{
	return bpf_map_lookup_elem(&locality_tables, &service);
}

static __always_inline bool locality_try_lock(struct xlvs_locality_table *t)
{
	return !__sync_val_compare_and_swap(&t->lock, 0, 1);
}

static long locality_lock_step(__u32 i, void *data)
{
	struct locality_lock *lock = data;
	struct xlvs_locality_table *t = locality_table(lock->service);

	(void)i;
	if (!t)
		return 1;
	lock->held = locality_try_lock(t);
	return lock->held;
}

/* False: it stayed locked. */
static __noinline bool locality_take_lock(__u32 service)
{
	struct locality_lock lock = { .service = service };

	bpf_loop(LOCALITY_LOCK_SPINS, locality_lock_step, &lock, 0);
	return lock.held;
}

static __always_inline void locality_unlock(__u32 service)
{
	struct xlvs_locality_table *t = locality_table(service);

	if (t)
		__sync_lock_test_and_set(&t->lock, 0);
}

struct locality_ending {
	struct xlvs_locality_more_key key;
};

static long locality_end_step(__u32 i, void *data)
{
	struct locality_ending *e = data;

	e->key.index = i + 1;
	bpf_map_delete_elem(&locality_more, &e->key);
	return 0;
}

/* Ends an entry and its set. The service's lock is held. */
static __noinline void locality_end(const struct xlvs_locality_key *key, __u32 count)
{
	struct locality_ending e = { .key = { .of = *key } };

	if (count > 1)
		bpf_loop(count - 1, locality_end_step, &e, 0);
	bpf_map_delete_elem(&localities, &e.key.of);
}

/* All of the service's entries are forgotten; the sweep ends them. */
static __always_inline void locality_forget(__u32 service)
{
	bool held = locality_take_lock(service);
	struct xlvs_locality_table *t = locality_table(service);

	if (!t)
		return;
	t->epoch++;
	t->entries = 0;
	if (held)
		locality_unlock(service);
}

#endif
