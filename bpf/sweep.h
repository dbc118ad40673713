/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Expiry inside the kernel: one timer walks the slots ever used, a bounded part
 * per tick, the whole within SWEEP_TICKS_PER_ROUND ticks. It needs no daemon.
 */
#ifndef XLVS_SWEEP_H
#define XLVS_SWEEP_H

#include "table.h"

#define SWEEP_TICK_NS (20 * 1000 * 1000ULL)
#define SWEEP_TICKS_PER_ROUND 50
#define SWEEP_SLOTS_MIN 2048 /* a small table is walked whole at every tick */
#define CLOCK_MONOTONIC 1

struct sweep_walk {
	__u32 at;
	__u32 end;
	__u32 now;
	bool end_removed;
};

static long sweep_step(__u32 i, void *data)
{
	struct sweep_walk *w = data;
	struct xlvs_connection *c;

	(void)i;
	if (w->at >= w->end)
		w->at = 0;
	c = table_slot(w->at);
	if (c && READ_ONCE(c->word) & XLVS_CONNECTION_LIVE)
		table_end(c, w->at, w->now, w->end_removed);
	w->at++;
	return 0;
}

static int sweep_tick(void *map, __u32 *key, struct sweeper *s)
{
	struct xlvs_settings *settings = settings_get();
	struct xlvs_table *t = table_get();
	struct sweep_walk w = {};
	__u32 steps;

	(void)map;
	(void)key;
	if (t) {
		w.end = READ_ONCE(t->fresh);
		w.at = t->sweep_at;
		w.now = clock_ms_exact();
		w.end_removed = settings && settings->expire_nodest_conn;
		steps = w.end / SWEEP_TICKS_PER_ROUND + 1;
		if (steps < SWEEP_SLOTS_MIN)
			steps = SWEEP_SLOTS_MIN;
		if (steps > w.end)
			steps = w.end;
		bpf_loop(steps, sweep_step, &w, 0);
		t->sweep_at = w.at;
		t->sweeps++;
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
