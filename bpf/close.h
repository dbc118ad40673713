/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that an operator ends. What they held goes as it does when their time is
 * over. TCP stays for a while, unless it is to be forgotten, and what its ends send becomes
 * resets: nobody here knows before which sequence numbers they would believe.
 */
#ifndef XLVS_CLOSE_H
#define XLVS_CLOSE_H

#include "sync_tell.h"
#include "table_end.h"
#include "timeout.h"
#include "timer.h"

/* Each retry means that a packet changed its state between. */
#define CLOSE_RETRIES 8

/* p's connection is in the state RESET from now on. False: a packet came between. */
static __always_inline bool close_reset(struct packet *p, struct xlvs_entry *e)
{
	struct xlvs_settings *s = settings_get();

	if (!s || !table_set_state(e, p->c.destination, p->c.word, XLVS_STATE_RESET, 0))
		return false;
	table_touch(p, e, connection_timeout(p, s, XLVS_STATE_RESET));
	if (s->sync)
		sync_tell(p);
	return true;
}

static __noinline __u32 close_one(struct packet *p, const struct xlvs_closing *c)
{
	__u32 at, generation, word;
	struct xlvs_entry *e;
	bool v6;

	if (!p || !c)
		return XLVS_CLOSING_GONE;
	at = c->tenant.at;
	generation = c->tenant.generation;
	v6 = generation & 1;
	p->family = v6 ? AF_INET6 : AF_INET;
	for (int i = 0; i < CLOSE_RETRIES; i++) {
		e = entry_get(v6, at);
		if (!e)
			return XLVS_CLOSING_GONE;
		word = READ_ONCE(e->word);
		if (((word ^ generation) & GENERATION_MASK) || !entry_usable(word, e, p->now) ||
		    !entry_copy(e, word, at, &p->c))
			return XLVS_CLOSING_GONE;
		if (!c->reset || (word & WORD_PROTOCOL) != word_of_protocol(IPPROTO_TCP)) {
			if (table_end(v6, at, word, 0))
				return XLVS_CLOSING_ENDED;
		} else if (word_state(word) >= XLVS_STATE_RESET || close_reset(p, e)) {
			return XLVS_CLOSING_RESET;
		}
	}
	return XLVS_CLOSING_CONTENDED;
}

static long close_step(__u32 i, void *data)
{
	struct xlvs_closing *c = bpf_map_lookup_elem(&closings, &i);
	struct xlvs_geometry *g = geometry_get();
	struct packet *p = packet_asked();

	(void)data;
	if (!c || !g || !p)
		return 1;
	p->now = clock_ticks();
	p->hz = g->hz;
	c->result = close_one(p, c);
	return 0;
}

/* A timer's callback for the same reasons as sync_tick(). */
static int close_tick(void *map, __u32 *key, struct sweeper *s)
{
	__u32 zero = 0;
	struct xlvs_batch *b = bpf_map_lookup_elem(&closing_batch, &zero);

	(void)map;
	(void)key;
	(void)s;
	if (!b)
		return 0;
	bpf_loop(READ_ONCE(b->entries), close_step, NULL, 0);
	__sync_lock_test_and_set(&b->done, READ_ONCE(b->begun));
	return 0;
}

static __always_inline int close_start(void)
{
	return timer_begin(&closing_timers, close_tick, 0);
}

#endif
