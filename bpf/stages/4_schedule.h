/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 4: which real server gets a new connection? */
#ifndef XLVS_SCHEDULE_H
#define XLVS_SCHEDULE_H

#include "lib/clock.h"
#include "packet.h"
#include "schedulers/fo.h"
#include "schedulers/lblc.h"
#include "schedulers/lc.h"
#include "schedulers/mh.h"
#include "schedulers/rr.h"
#include "schedulers/sed.h"
#include "schedulers/sh.h"
#include "schedulers/twos.h"
#include "schedulers/wlc.h"
#include "schedulers/wrr.h"

/* Each retry means that another CPU's decision came between: progress was made. */
#define SCHEDULE_RETRIES 4096

#define SCHEDULE_NONE (-1)      /* no server is fit */
#define SCHEDULE_CONTENDED (-2) /* other packets kept coming between */

struct schedule_attempt {
	__u32 service;
	__u32 scheduler;
	__u32 key;
	__u32 flags;
	__s32 result;
};

static __always_inline __u32 schedule_fold(const struct xlvs_addr *a, __u32 family)
{
	return family == AF_INET ? bpf_ntohl(a->word[3]) :
				   bpf_ntohl(a->word[0] ^ a->word[1] ^ a->word[2] ^ a->word[3]);
}

/* What hash schedulers know of a client: its address folded, and its port if asked for. */
static __always_inline __u32 schedule_key(const struct packet *p, __u32 flags)
{
	__u32 key = schedule_fold(&p->tuple.src, p->family);

	return flags & XLVS_SERVICE_HASH_PORT ? key + bpf_ntohs(p->tuple.sport) : key;
}

static long schedule_try(__u32 i, void *data)
{
	struct schedule_attempt *a = data;
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &a->service);
	struct schedule_walk *w = schedule_walk();
	__u64 word, next;
	bool keeps;

	(void)i;
	if (!s || !w)
		return 1;
	w->chosen = -1;
	w->overhead = 0;
	w->chosen_weight = 0;
	w->passes = w->best = 0;
	word = READ_ONCE(s->word);
	w->list = s->list[WORD_GENERATION(word) & 1];
	note(SCHEDULE, a->service, word, w->list.count);
	keeps = a->scheduler == XLVS_SCHED_RR || a->scheduler == XLVS_SCHED_WRR;
	if (keeps) {
		w->cursor = WORD_CURSOR(word);
		w->weight = WORD_WEIGHT(word);
	} else {
		w->key = a->key;
		w->flags = a->flags;
	}
	switch (a->scheduler) {
	case XLVS_SCHED_RR:
		rr_choose(w);
		break;
	case XLVS_SCHED_WRR:
		wrr_choose(w);
		break;
	case XLVS_SCHED_LC:
		lc_choose(w);
		break;
	case XLVS_SCHED_WLC:
		wlc_choose(w);
		break;
	case XLVS_SCHED_SED:
		sed_choose(w);
		break;
	case XLVS_SCHED_NQ:
		nq_choose(w);
		break;
	case XLVS_SCHED_FO:
		fo_choose(w);
		break;
	case XLVS_SCHED_OVF:
		ovf_choose(w);
		break;
	case XLVS_SCHED_MH:
		mh_choose(w);
		break;
	case XLVS_SCHED_SH:
		sh_choose(w);
		break;
	case XLVS_SCHED_DH:
		dh_choose(w);
		break;
	case XLVS_SCHED_TWOS:
		twos_choose(w);
		break;
	}
	/* Of nobody's being fit rr keeps nothing, but wrr has a new current weight. */
	if (w->chosen < 0 && a->scheduler != XLVS_SCHED_WRR) {
		a->result = SCHEDULE_NONE;
		return 1;
	}
	next = keeps ? WORD(WORD_GENERATION(word), w->cursor, w->weight) : word;
	/* Others keep nothing, but a new list must not be overtaken either. */
	if (next == word ? READ_ONCE(s->word) != word :
			   __sync_val_compare_and_swap(&s->word, word, next) != word)
		return 0;
	a->result = w->chosen < 0 ? SCHEDULE_NONE : (__s32)w->destination;
	return 1;
}

/* lblcr's server of the set, if one is to be used; the set may lose its busiest. */
static __always_inline int schedule_replicated(struct locality_walk *w, __u32 service, __u32 now)
{
	struct xlvs_settings *s = settings_get();
	int id = lblcr_choose(w, 0) ? (int)w->server.destination : SCHEDULE_NONE;

	if (s && w->entry.count > 1 &&
	    (__s32)(now - w->entry.changed_at) > (__s32)s->lblcr_expiration)
		lblcr_shrink(w, now);
	return id >= 0 && locality_overloaded(service, id) ? SCHEDULE_NONE : id;
}

/* lblc and lblcr: what is remembered, else wlc's choice, which is remembered then. */
static __noinline int schedule_locality(const struct packet *p, struct schedule_attempt *a)
{
	struct locality_walk *w = locality_walk();
	__u32 now = clock_ticks(), service = a->service;
	bool replicated = a->scheduler == XLVS_SCHED_LBLCR, known;
	int id = SCHEDULE_NONE;

	if (!w)
		return SCHEDULE_NONE;
	w->key.of.address = p->tuple.dst;
	w->key.of.service = service;
	if (!replicated) {
		id = lblc_usual(w, service, now);
		note(LOCALITY, id, id >= 0, 1);
		if (id >= 0)
			return id;
	}
	if (!locality_lock(service))
		return SCHEDULE_CONTENDED;
	known = locality_recall(w, service);
	note(LOCALITY, w->entry.first.destination, known, w->entry.count);
	if (known)
		id = replicated ? schedule_replicated(w, service, now) :
				  lblc_remembered(&w->entry, service);
	if (id < 0) {
		a->scheduler = XLVS_SCHED_WLC;
		bpf_loop(SCHEDULE_RETRIES, schedule_try, a, 0);
		id = a->result;
		if (!replicated && id >= 0)
			w->entry.count = 0;
		if (id >= 0)
			lblcr_add(w, id, now);
	}
	if (known || id >= 0)
		locality_store(w, service, now, known);
	locality_unlock(service);
	return id;
}

/*
 * Chooses a destination of the service: its id, or SCHEDULE_*. Decisions are in
 * one order per service: each takes the cursor that the one before left, whatever
 * CPU it ran on.
 */
subprogram int schedule(const struct packet *p, __u32 service, __u32 scheduler, __u32 flags)
{
	struct schedule_attempt a;

	if (!p)
		return SCHEDULE_NONE;
	if (scheduler == XLVS_SCHED_RR) {
		a.result = rr_next(service);
		if (likely(a.result >= 0))
			return a.result;
	}
	a.service = service;
	a.scheduler = scheduler;
	a.key = scheduler == XLVS_SCHED_DH ? schedule_fold(&p->tuple.dst, p->family) :
					     schedule_key(p, flags);
	a.flags = flags;
	a.result = SCHEDULE_CONTENDED;
	if (scheduler == XLVS_SCHED_LBLC || scheduler == XLVS_SCHED_LBLCR)
		return schedule_locality(p, &a);
	bpf_loop(SCHEDULE_RETRIES, schedule_try, &a, 0);
	return a.result;
}

#endif
