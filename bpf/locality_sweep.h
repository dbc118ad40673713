/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How lblc and lblcr forget. Every minute there is a round. Every thirtieth ends what was
 * not used for net.ipv4.vs.lblc_expiration (lblcr_expiration); the others only look at
 * services with more than 16384 entries, and end some of those not used for six minutes.
 * (IPVS's rules and numbers; it has a timer for each service, here one goes for all.)
 * A tick of the sweep ends so many entries at most; the next one goes on.
 */
#ifndef XLVS_LOCALITY_SWEEP_H
#define XLVS_LOCALITY_SWEEP_H

#include "lib/clock.h"
#include "locality.h"

#define LOCALITY_ROUND 60 /* seconds */
#define LOCALITY_FULL_ROUND 30
#define LOCALITY_ENTRIES 16384
#define LOCALITY_UNUSED (6 * 60) /* seconds */
#define LOCALITY_ENDED_MAX 2048

struct locality_sweep {
	__u32 now;
	__u32 hz;
	__u32 round;
	__u32 lblc_expiration;
	__u32 lblcr_expiration;
};

/* How many entries of the service are to go although their time is not over. */
static __always_inline __u32 locality_surplus(struct xlvs_locality_table *t, __u32 round)
{
	__u32 surplus = 0;

	if (t->round == round)
		return t->surplus;
	if (t->entries > LOCALITY_ENTRIES)
		surplus = (t->entries - LOCALITY_ENTRIES) * 4 / 3;
	if (surplus > LOCALITY_ENTRIES / 2)
		surplus = LOCALITY_ENTRIES / 2;
	t->round = round;
	t->surplus = surplus;
	return surplus;
}

static __always_inline bool locality_over(const struct locality_sweep *s,
					  const struct xlvs_service *service,
					  struct xlvs_locality_table *t,
					  const struct xlvs_locality *l)
{
	__u32 unused = s->now - READ_ONCE(l->used_at);

	if ((__s32)unused < 0)
		return false; /* used just now, on a CPU whose clock is a tick ahead */
	if (l->epoch != t->epoch || !(service->flags & XLVS_SERVICE_USED))
		return true;
	if (!(s->round % LOCALITY_FULL_ROUND))
		return unused >= (service->scheduler == XLVS_SCHED_LBLCR ? s->lblcr_expiration :
									   s->lblc_expiration);
	if (unused < LOCALITY_UNUSED * s->hz || !locality_surplus(t, s->round))
		return false;
	t->surplus--;
	return true;
}

static long locality_sweep_entry(void *map, const void *key, void *value, void *data)
{
	struct locality_sweep *s = data;
	__u32 zero = 0;
	struct xlvs_locality_rounds *r = bpf_map_lookup_elem(&locality_rounds, &zero);
	struct xlvs_locality_key at = *(const struct xlvs_locality_key *)key;
	const struct xlvs_locality *l = value;
	struct xlvs_locality_table *t = locality_table(at.service);
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &at.service);

	(void)map;
	/* Who holds the lock uses the entry, or another one: there will be more rounds. */
	if (!r || !t || !service || !locality_over(s, service, t, l) || !lock_try(&t->lock)) {
		if (r)
			r->used = 1;
		return 0;
	}
	if (l->epoch == t->epoch)
		t->entries--;
	locality_end(&at, l->count);
	locality_unlock(at.service);
	/* The count is in a map: on the stack the verifier would follow each number. */
	return ++r->ended >= LOCALITY_ENDED_MAX;
}

/* A tick of the sweep's timer. */
static __noinline int locality_tick(__u32 now)
{
	__u32 zero = 0;
	struct xlvs_locality_rounds *r = bpf_map_lookup_elem(&locality_rounds, &zero);
	struct xlvs_settings *settings = settings_get();
	struct xlvs_geometry *g = geometry_get();
	struct locality_sweep s = { .now = now };

	if (!r || !settings || !g)
		return 0;
	if (!r->used) {
		r->due = 0;
		return 0;
	}
	s.hz = g->hz;
	if (!r->due)
		r->due = (now + LOCALITY_ROUND * s.hz) | 1;
	if (!clock_over(now, r->due))
		return 0;
	s.round = r->number + 1;
	s.lblc_expiration = settings->lblc_expiration;
	s.lblcr_expiration = settings->lblcr_expiration;
	r->used = 0; /* whoever comes, or stays, says it again */
	r->ended = 0;
	bpf_for_each_map_elem(&localities, locality_sweep_entry, &s, 0);
	if (r->ended >= LOCALITY_ENDED_MAX) {
		r->used = 1;
		return 0; /* the same round goes on in the next tick */
	}
	r->number = s.round;
	r->due = (now + LOCALITY_ROUND * s.hz) | 1;
	return 0;
}

#endif
