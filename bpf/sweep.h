/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Expiry inside the kernel: one timer walks the lines, a bounded part per tick, a
 * table of up to three million lines within a second. It needs no daemon.
 */
#ifndef XLVS_SWEEP_H
#define XLVS_SWEEP_H

#include "table_end.h"

#define SWEEP_TICK_NS (20 * 1000 * 1000ULL)
#define SWEEP_TICKS_PER_ROUND 50
#define SWEEP_LINES_MIN 2048 /* a small table is walked whole at every tick */
/* 4 MB of lines, some 0.4 ms: beyond 3 million lines a round takes longer than a second. */
#define SWEEP_LINES_MAX 65536
#define SWEEP_CPUS_MAX 8192
#define CLOCK_MONOTONIC 1

struct sweep_walk {
	__u32 at; /* IPv4's lines, then IPv6's */
	__u32 end4;
	__u32 end;
	__u32 now;
	__u32 rounds;
	bool end_removed;
};

static long sweep_line(__u32 i, void *data)
{
	struct sweep_walk *w = data;

	(void)i;
	if (w->at >= w->end) {
		w->at = 0;
		w->rounds++;
	}
	if (w->at < w->end4) {
		struct xlvs_line4 *l = line4_get(w->at);

		if (l) {
			__u32 at = w->at * XLVS_WAYS4;

			table_expire(false, at, &l->way[0].entry, w->now, w->end_removed);
			table_expire(false, at + 1, &l->way[1].entry, w->now, w->end_removed);
		}
	} else {
		struct xlvs_line6 *l = line6_get(w->at - w->end4);

		if (l)
			table_expire(true, w->at - w->end4, &l->way[0].entry, w->now,
				     w->end_removed);
	}
	w->at++;
	return 0;
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

static int sweep_tick(void *map, __u32 *key, struct sweeper *s)
{
	struct xlvs_settings *settings = settings_get();
	struct xlvs_geometry *g = geometry_get();
	struct sweep_walk w = {};
	__u32 steps, zero = 0;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);

	(void)map;
	(void)key;
	if (t && g) {
		w.end4 = g->lines4 + XLVS_CHAIN - 1;
		w.end = w.end4 + g->lines6 + XLVS_CHAIN - 1;
		w.at = t->sweep_at;
		w.now = clock_ticks();
		w.end_removed = settings && settings->expire_nodest_conn;
		steps = w.end / SWEEP_TICKS_PER_ROUND + 1;
		if (steps < SWEEP_LINES_MIN)
			steps = SWEEP_LINES_MIN;
		if (steps > SWEEP_LINES_MAX)
			steps = SWEEP_LINES_MAX;
		if (steps > w.end)
			steps = w.end;
		sweep_publish(t); /* before the walk: a peak that ends with it is still seen */
		bpf_loop(steps, sweep_line, &w, 0);
		sweep_publish(t);
		t->sweep_at = w.at;
		t->sweeps++;
		t->rounds += w.rounds;
	}
	bpf_timer_start(&s->timer, SWEEP_TICK_NS, 0);
	return 0;
}

/* Starts the timer, or gives a running one this version's callback. */
static __always_inline int sweep_start(void)
{
	__u32 zero = 0;
	struct sweeper *s = bpf_map_lookup_elem(&sweepers, &zero);

	if (!s)
		return -1;
	bpf_timer_init(&s->timer, &sweepers, CLOCK_MONOTONIC); /* EBUSY: it exists */
	if (bpf_timer_set_callback(&s->timer, sweep_tick))
		return -2;
	return bpf_timer_start(&s->timer, SWEEP_TICK_NS, 0);
}

#endif
