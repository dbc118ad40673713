/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lblc and lblcr, locality-based least connections: a virtual address (there are many
 * behind a firewall mark) stays with its server, for the sake of that one's cache, until
 * the server is overloaded: more active connections than its weight, while another one
 * has less than half. Then wlc chooses. lblc remembers that server instead; lblcr keeps a
 * set of them, prefers the one of it with the least overhead per weight, and lets the
 * busiest go if the set was the same for net.ipv4.vs.lblcr_expiration.
 *
 * As in IPVS lblc does not ask for a remembered server's upper threshold; wlc and
 * lblcr's set do.
 */
#ifndef XLVS_LBLC_H
#define XLVS_LBLC_H

#include "locality.h"
#include "packet.h"
#include "scratch.h"
#include "schedulers/scheduler.h"

#define LOCALITY_NONE 0xffffffffu

struct locality_walk {
	struct xlvs_locality_more_key key; /* begins with that of the entry */
	struct xlvs_locality entry;        /* the one in the map, or a new one's */
	/* a walk over the set, and its choice */
	__u32 busiest; /* 1: look for the greatest overhead per weight, 0: for the least */
	__u32 chosen;  /* index, LOCALITY_NONE: none */
	struct xlvs_locality_server server;
	__s32 weight;
	__u64 overhead;
	/* a walk over the service's servers */
	__u32 base, count, idle;
};

static __always_inline struct locality_walk *locality_walk(void)
{
	return scratch_as(struct locality_walk, SCRATCH_LOCALITY);
}

static __always_inline __u32 locality_check(const struct xlvs_destination *d)
{
	const struct xlvs_addr *a = &d->address;

	return (a->word[0] ^ a->word[1] ^ a->word[2] ^ a->word[3]) * 0x9e3779b1u + d->port;
}

/* The destination that is meant, removed or not; null if the id is another's by now. */
static __always_inline struct xlvs_destination *locality_destination(
	const struct xlvs_locality_server *s, __u32 service)
{
	__u32 id = s->destination;
	struct xlvs_destination *d = bpf_map_lookup_elem(&destinations, &id);

	return d && d->service == service && locality_check(d) == s->check ? d : NULL;
}

static long locality_idle_step(__u32 i, void *data)
{
	struct locality_walk *w = locality_walk();
	struct xlvs_destination *d;
	__u32 *entry, index;

	(void)data;
	if (!w || i >= w->count)
		return 1;
	index = w->base + i;
	entry = bpf_map_lookup_elem(&service_destinations, &index);
	if (!entry)
		return 1;
	index = *entry;
	d = bpf_map_lookup_elem(&destinations, &index);
	if (d && d->weight > 0 && (__u64)destination_active(index) * 2 < (__u32)d->weight)
		w->idle = 1;
	return w->idle ? 1 : 0;
}

/* Has the server too much to do, while another one has little? */
static __noinline bool locality_overloaded(__u32 service, __u32 id)
{
	struct xlvs_destination *d = bpf_map_lookup_elem(&destinations, &id);
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &service);
	struct locality_walk *w = locality_walk();
	const struct xlvs_server_list *list;

	if (!w || !d || !s || (__s64)destination_active(id) <= d->weight)
		return false;
	list = &s->list[WORD_GENERATION(READ_ONCE(s->word)) & 1];
	w->base = list->base;
	w->count = list->count;
	w->idle = 0;
	bpf_loop(w->count, locality_idle_step, NULL, 0);
	return w->idle;
}

/* The entry's first server, if lblc may use it. */
static __always_inline int lblc_remembered(struct xlvs_locality *l, __u32 service)
{
	struct xlvs_locality_server first = l->first;
	struct xlvs_destination *d = locality_destination(&first, service);

	if (!d || !(d->flags & XLVS_DESTINATION_AVAILABLE) || d->weight <= 0 ||
	    locality_overloaded(service, first.destination))
		return -1;
	return first.destination;
}

/* The index'th server of the set into w->server. */
static __always_inline bool lblcr_member(struct locality_walk *w, __u32 index)
{
	struct xlvs_locality_server *found;

	if (!index) {
		w->server = w->entry.first;
		return true;
	}
	w->key.index = index;
	found = bpf_map_lookup_elem(&locality_more, &w->key);
	if (!found)
		return false;
	w->server = *found;
	return true;
}

static __always_inline bool lblcr_put_member(struct locality_walk *w, __u32 index)
{
	if (!index) {
		w->entry.first = w->server;
		return true;
	}
	w->key.index = index;
	return !bpf_map_update_elem(&locality_more, &w->key, &w->server, BPF_ANY);
}

/* Newest first: ties go to the server that came last. */
static long lblcr_step(__u32 i, void *data)
{
	struct locality_walk *w = locality_walk();
	struct xlvs_destination *d;
	__u64 overhead, mine, best;
	__u32 index;

	(void)data;
	if (!w || i >= w->entry.count)
		return 1;
	index = w->entry.count - 1 - i;
	if (!lblcr_member(w, index))
		return 0;
	d = locality_destination(&w->server, w->key.of.service);
	if (!d || d->weight <= 0)
		return 0;
	if (!w->busiest && (!(d->flags & XLVS_DESTINATION_AVAILABLE) ||
			    destination_overloaded(d, w->server.destination)))
		return 0;
	overhead = destination_overhead(w->server.destination);
	if (w->chosen != LOCALITY_NONE) {
		mine = overhead * (__u32)w->weight;
		best = w->overhead * (__u32)d->weight;
		if (w->busiest ? mine <= best : mine >= best)
			return 0;
	}
	w->chosen = index;
	w->overhead = overhead;
	w->weight = d->weight;
	return 0;
}

/* The set's server with the least or the greatest overhead per weight, into w->server. */
static __noinline bool lblcr_choose(struct locality_walk *w, __u32 busiest)
{
	if (!w)
		return false;
	w->busiest = busiest;
	w->chosen = LOCALITY_NONE;
	bpf_loop(w->entry.count, lblcr_step, NULL, 0);
	return w->chosen != LOCALITY_NONE && lblcr_member(w, w->chosen);
}

static long lblcr_close_step(__u32 i, void *data)
{
	struct locality_walk *w = locality_walk();
	__u32 index;

	(void)data;
	if (!w)
		return 1;
	index = w->chosen + 1 + i;
	if (index >= w->entry.count)
		return 1;
	if (lblcr_member(w, index))
		lblcr_put_member(w, index - 1);
	return 0;
}

/* The busiest server leaves a set that was the same for long. */
static __always_inline void lblcr_shrink(struct locality_walk *w, __u32 now)
{
	if (!w || !lblcr_choose(w, 1))
		return;
	bpf_loop(w->entry.count, lblcr_close_step, NULL, 0);
	w->entry.count--;
	w->entry.changed_at = now;
	w->key.index = w->entry.count;
	bpf_map_delete_elem(&locality_more, &w->key);
}

static long lblcr_find_step(__u32 i, void *data)
{
	struct locality_walk *w = locality_walk();
	__u32 *wanted = data;

	if (!w || i >= w->entry.count)
		return 1;
	if (lblcr_member(w, i) && w->server.destination == *wanted &&
	    locality_destination(&w->server, w->key.of.service)) {
		w->chosen = i;
		return 1;
	}
	return 0;
}

/* A server comes to the set, unless it is there. */
static __noinline void lblcr_add(struct locality_walk *w, __u32 id, __u32 now)
{
	struct xlvs_destination *d = bpf_map_lookup_elem(&destinations, &id);

	if (!w || !d)
		return;
	w->chosen = LOCALITY_NONE;
	bpf_loop(w->entry.count, lblcr_find_step, &id, 0);
	if (w->chosen != LOCALITY_NONE)
		return;
	w->server.destination = id;
	w->server.check = locality_check(d);
	if (!lblcr_put_member(w, w->entry.count))
		return; /* no room: the set stays as it was */
	w->entry.count++;
	w->entry.changed_at = now;
}

/* What is remembered of the packet's virtual address, into w->entry. The lock is held. */
static __always_inline bool locality_recall(struct locality_walk *w, __u32 service)
{
	struct xlvs_locality_table *t = locality_table(service);
	struct xlvs_locality *l = bpf_map_lookup_elem(&localities, &w->key.of);

	w->entry.count = 0;
	if (!l || !t)
		return false;
	w->entry = *l;
	if (l->epoch == t->epoch)
		return true;
	locality_end(&w->key.of, w->entry.count); /* of a service that was here before */
	w->entry.count = 0;
	return false;
}

/* Writes w->entry into the map. The lock is held. */
static __always_inline void locality_store(struct locality_walk *w, __u32 service, __u32 now,
					   bool known)
{
	__u32 zero = 0;
	struct xlvs_locality_table *t = locality_table(service);
	struct xlvs_locality_rounds *r = bpf_map_lookup_elem(&locality_rounds, &zero);

	if (!t || !r)
		return;
	w->entry.used_at = now;
	w->entry.epoch = t->epoch;
	/* Without room nothing is remembered, and the connection goes its way all the same. */
	if (bpf_map_update_elem(&localities, &w->key.of, &w->entry, BPF_ANY) || known)
		return;
	t->entries++;
	if (!READ_ONCE(r->used))
		WRITE_ONCE(r->used, 1);
}

/* lblc without the lock: -1 if the address is not known, or its server is not to be used. */
static __always_inline int lblc_usual(struct locality_walk *w, __u32 service, __u32 now)
{
	struct xlvs_locality_table *t = locality_table(service);
	struct xlvs_locality *l = bpf_map_lookup_elem(&localities, &w->key.of);

	if (!l || !t || l->epoch != READ_ONCE(t->epoch))
		return -1;
	WRITE_ONCE(l->used_at, now);
	return lblc_remembered(l, service);
}

#endif
