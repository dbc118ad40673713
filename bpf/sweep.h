/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Expiry inside the kernel: one timer asks the regions, an eighth of them per tick,
 * and reads those that are due. So expiry is exact to a sixth of a second, in a table of
 * ten million connections to a fifth. It needs no daemon.
 */
#ifndef XLVS_SWEEP_H
#define XLVS_SWEEP_H

#include "locality_sweep.h"
#include "table_end.h"
#include "timer.h"

#define SWEEP_TICK_NS (20 * 1000 * 1000ULL)
/* Per tick: regions asked (64 KB of numbers), and lines read (a quarter of a ms). */
#define SWEEP_REGIONS_MIN 512
#define SWEEP_REGIONS_MAX 16384
#define SWEEP_TICKS_PER_ROUND 8
#define SWEEP_LINES_MAX 32768
#define SWEEP_CPUS_MAX 8192

struct sweep_walk {
	__u32 at; /* IPv4's regions, then IPv6's */
	__u32 end4;
	__u32 end;
	__u32 now;
	__u32 rounds;
	__u32 lines; /* read in this tick */
	bool end_removed;
	bool end_half_open; /* drop_entry: in the region being read */
	/* the region being read */
	__u32 line;
	__u32 next; /* when it has to be read again */
};

static __noinline bool sweep_template(bool v6, __u32 at, __u32 word, __u32 now,
				      struct xlvs_entry *e)
{
	struct xlvs_tenant tenant = tenant_of(v6, at, word);
	struct xlvs_template *t = bpf_map_lookup_elem(&templates, &tenant);

	return t && template_stays(t, e, now);
}

/* Ends the connection at `at` if its time is over, else says when it will be. */
static __always_inline void sweep_entry(struct sweep_walk *w, bool v6, __u32 at,
					struct xlvs_entry *e)
{
	__u32 word = READ_ONCE(e->word), expires = READ_ONCE(e->expires);

	if ((word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_ANSWER)) != XLVS_CONNECTION_LIVE)
		return;
	if (clock_over(w->now, expires) ||
	    (w->end_removed && table_removed(READ_ONCE(e->destination))) ||
	    (w->end_half_open && word & XLVS_CONNECTION_HALF_OPEN)) {
		if (unlikely(word & WORD_TEMPLATE) && sweep_template(v6, at, word, w->now, e))
			expires = READ_ONCE(e->expires);
		else if (table_end(v6, at, word, 0))
			return;
		else
			expires = w->now; /* a packet changed its state just now: look again */
	}
	expires = expires ? expires : 1;
	if (w->next == REGION_NEVER || (__s32)(w->next - expires) > 0)
		w->next = expires;
}

static long sweep_line4(__u32 i, void *data)
{
	struct sweep_walk *w = data;
	__u32 line = w->line + i, at = line * XLVS_WAYS4;
	struct xlvs_line4 *l = line4_get(line);

	if (!l)
		return 1;
	sweep_entry(w, false, at, &l->way[0].entry);
	sweep_entry(w, false, at + 1, &l->way[1].entry);
	return 0;
}

static long sweep_line6(__u32 i, void *data)
{
	struct sweep_walk *w = data;
	struct xlvs_line6 *l = line6_get(w->line + i);

	if (!l)
		return 1;
	sweep_entry(w, true, w->line + i, &l->way[0].entry);
	return 0;
}

static __always_inline void sweep_region(struct sweep_walk *w, bool v6, __u32 region)
{
	__u32 *due = region_get(v6, region);
	__u32 was;

	if (!due)
		return;
	was = READ_ONCE(*due);
	if (was == REGION_NEVER || !(w->end_removed || w->end_half_open || clock_over(w->now, was)))
		return;
	/* First forgotten, then read: what packets add meanwhile lowers it again. */
	__sync_lock_test_and_set(due, REGION_NEVER);
	w->line = region * XLVS_REGION_LINES;
	w->next = REGION_NEVER;
	bpf_loop(XLVS_REGION_LINES, v6 ? sweep_line6 : sweep_line4, w, 0);
	w->lines += XLVS_REGION_LINES;
	if (w->next != REGION_NEVER)
		region_lower(due, w->next);
}

/* IPv4's regions, then IPv6's. */
static __always_inline void sweep_region_at(struct sweep_walk *w, __u32 at)
{
	if (at < w->end4)
		sweep_region(w, false, at);
	else
		sweep_region(w, true, at - w->end4);
}

static long sweep_step(__u32 i, void *data)
{
	struct sweep_walk *w = data;

	(void)i;
	if (w->at >= w->end) {
		w->at = 0;
		w->rounds++;
	}
	sweep_region_at(w, w->at);
	w->at++;
	return w->lines >= SWEEP_LINES_MAX;
}

/*
 * net.ipv4.vs.drop_entry: while memory is short, half-open connections of a thirty-second
 * part of the table end every second, at random places. (IPVS's rate; it also ends idle
 * established ones of few packets, which here keep their place: they were paid for.)
 */
#define SWEEP_DROP_ROUND (32 * (1000000000ULL / SWEEP_TICK_NS))

static long sweep_drop_region(__u32 i, void *data)
{
	struct sweep_walk *w = data;
	__u32 region = bpf_get_prandom_u32() % w->end;

	(void)i;
	sweep_region_at(w, region);
	return 0;
}

static __noinline void sweep_drop(struct sweep_walk *w)
{
	w->end_half_open = true;
	if (w->end)
		bpf_loop(w->end / SWEEP_DROP_ROUND + 1, sweep_drop_region, w, 0);
}

struct sweep_sum {
	__u64 used;
	__u64 half_open;
};

static long sweep_add(__u32 cpu, void *data)
{
	struct sweep_sum *sum = data;
	__u32 zero = 0;
	struct xlvs_table_counts *c = bpf_map_lookup_percpu_elem(&table_counts, &zero, cpu);

	if (!c)
		return 1;
	sum->used += READ_ONCE(c->created) - READ_ONCE(c->ended);
	sum->half_open += READ_ONCE(c->half_opened) - READ_ONCE(c->half_closed);
	return 0;
}

/* How full the table is, once per tick: packets on all CPUs need it only roughly. */
static __always_inline void sweep_publish(struct xlvs_table *t)
{
	struct sweep_sum sum = {};

	bpf_loop(SWEEP_CPUS_MAX, sweep_add, &sum, 0);
	t->used = sum.used;
	t->half_open = sum.half_open;
	if (sum.used > t->high_water)
		t->high_water = sum.used;
}

/* What is due in one tick, from w->at on. Returns how many regions were asked. */
static __always_inline long sweep_regions(struct sweep_walk *w, struct xlvs_table *t,
					  const struct xlvs_geometry *g)
{
	__u32 steps;
	long asked;

	w->end4 = (g->lines4 + XLVS_CHAIN - 1) / XLVS_REGION_LINES + 1;
	w->end = w->end4 + (g->lines6 + XLVS_CHAIN - 1) / XLVS_REGION_LINES + 1;
	w->now = clock_ticks();
	steps = w->end / SWEEP_TICKS_PER_ROUND + 1;
	if (steps < SWEEP_REGIONS_MIN)
		steps = SWEEP_REGIONS_MIN;
	if (steps > SWEEP_REGIONS_MAX)
		steps = SWEEP_REGIONS_MAX;
	if (steps > w->end)
		steps = w->end;
	sweep_publish(t); /* before the walk: a peak that ends with it is still seen */
	asked = bpf_loop(steps, sweep_step, w, 0);
	sweep_publish(t);
	return asked;
}

static int sweep_tick(void *map, __u32 *key, struct sweeper *s)
{
	struct xlvs_settings *settings = settings_get();
	struct xlvs_geometry *g = geometry_get();
	struct sweep_walk w = {};
	__u32 zero = 0;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);

	(void)map;
	(void)key;
	if (t && g) {
		w.at = t->sweep_at;
		w.end_removed = settings && settings->expire_nodest_conn;
		sweep_regions(&w, t, g);
		if (settings && settings->drop_entry)
			sweep_drop(&w);
		t->sweep_at = w.at;
		t->sweeps++;
		t->rounds += w.rounds;
		locality_tick(w.now);
	}
	bpf_timer_start(&s->timer, SWEEP_TICK_NS, 0);
	return 0;
}

/* Starts the timer, or gives a running one this version's callback. */
static __always_inline int sweep_start(void)
{
	return timer_begin(&sweepers, sweep_tick, SWEEP_TICK_NS);
}

#endif
