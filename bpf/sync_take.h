/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connection sync, the taking side: another director's connection becomes one of ours, or
 * ours is brought up to date. The daemon has found the destination; all else is as if the
 * connection's packets had come by here.
 */
#ifndef XLVS_SYNC_TAKE_H
#define XLVS_SYNC_TAKE_H

#include "local_ports.h"
#include "template.h"
#include "timeout.h"
#include "timer.h"

static __always_inline __u32 sync_service_flags(const struct xlvs_destination *d)
{
	__u32 id = d->service;
	struct xlvs_service *s = bpf_map_lookup_elem(&services, &id);

	return s ? s->flags : 0;
}

static __always_inline __u32 sync_word(const struct xlvs_synced *r,
				       const struct xlvs_destination *d)
{
	__u32 word = r->state;
	enum xlvs_method method = d->method;

	if (r->flags & XLVS_SYNCED_TEMPLATE) {
		word |= r->flags & XLVS_SYNCED_MARK ?
				(__u32)XLVS_PROTOCOL_IP << XLVS_CONNECTION_PROTOCOL_SHIFT :
				word_of_protocol(r->protocol);
		return word | WORD_TEMPLATE | XLVS_METHOD_DR << XLVS_CONNECTION_METHOD_SHIFT;
	}
	word |= word_of_protocol(r->protocol);
	if (d->flags & XLVS_DESTINATION_LOCAL) {
		word |= XLVS_CONNECTION_ON_DIRECTOR;
		if (method == XLVS_METHOD_FULLNAT)
			method = XLVS_METHOD_NAT;
	}
	if (method == XLVS_METHOD_DR || method == XLVS_METHOD_TUN ||
	    r->flags & XLVS_SYNCED_NO_OUTPUT)
		word |= XLVS_CONNECTION_NO_OUTPUT;
	if (!state_is_active(r->state))
		word |= XLVS_CONNECTION_INACTIVE;
	if (r->flags & XLVS_SYNCED_STREAM || sync_service_flags(d) & XLVS_SERVICE_OWN_TIMEOUTS)
		word |= XLVS_CONNECTION_SPECIAL;
	return word | method << XLVS_CONNECTION_METHOD_SHIFT;
}

/*
 * Did ours have a packet since? After a fail-over two directors hold the same connections, and
 * the one that lost the address still tells of what it held: only the other one sees packets.
 * Also what two tell each other of one change may cross on its way. An eighth of a second is
 * table_touch()'s; beyond it the time-outs of the two are not the same, and nothing is known.
 */
static __noinline bool sync_older(const struct packet *p, const struct xlvs_synced *r)
{
	struct xlvs_settings *s = settings_get();
	__s32 idle;

	if (!s || !p || !r)
		return false;
	if (word_state(p->c.word) >= XLVS_STATE_RESET)
		return true; /* closed here, which is the last word */
	idle = connection_timeout(p, s, word_state(p->c.word)) - (p->c.expires - p->now);
	if (idle < -(__s32)(p->hz / 8))
		return false;
	return (__s32)r->idle > (idle < 0 ? 0 : idle);
}

/* What the record says of p->c's segments. False: there is no room. */
static __always_inline bool sync_stream(const struct packet *p, struct xlvs_synced *r)
{
	struct xlvs_tenant tenant = tenant_of(p->family != AF_INET, p->c.at, p->c.word);

	if (r->flags & XLVS_SYNCED_STREAM)
		return !bpf_map_update_elem(&streams, &tenant, &r->stream, BPF_ANY);
	/* It is left alone there from now on, or is another one of the same ports. */
	if (p->c.word & XLVS_CONNECTION_SPECIAL)
		bpf_map_delete_elem(&streams, &tenant);
	return true;
}

/* The connection p->c is known here: its state and time become the other director's. */
static __always_inline __u32 sync_update(struct packet *p, struct xlvs_synced *r)
{
	struct xlvs_entry *e = table_entry(p);
	__u32 clear = XLVS_CONNECTION_HALF_OPEN;

	if (!e)
		return XLVS_SYNCED_CONTENDED;
	if (!(r->flags & XLVS_SYNCED_TEMPLATE) && sync_older(p, r))
		return XLVS_SYNCED_OLDER;
	if (!sync_stream(p, r))
		return XLVS_SYNCED_FULL;
	if (!(r->flags & XLVS_SYNCED_NO_OUTPUT) && word_method(p->c.word) != XLVS_METHOD_DR &&
	    word_method(p->c.word) != XLVS_METHOD_TUN)
		clear |= XLVS_CONNECTION_NO_OUTPUT;
	if (!(r->flags & XLVS_SYNCED_TEMPLATE) &&
	    !table_set_state(e, p->c.destination, p->c.word, r->state, clear))
		return XLVS_SYNCED_CONTENDED;
	table_touch(p, e, r->left);
	return XLVS_SYNCED_UPDATED;
}

static __always_inline __u32 sync_template(struct packet *p, const struct xlvs_synced *r)
{
	struct xlvs_template *t = template_of(p, r->template_timeout, 0);

	if (!t)
		return XLVS_SYNCED_FULL;
	t->timeout = r->template_timeout;
	if (r->flags & XLVS_SYNCED_ASSURED)
		t->assured = 1;
	return XLVS_SYNCED_OPENED;
}

/* Can p->c become what the record says? Without a bit that says so nobody looks for a stream. */
static __always_inline bool sync_alike(const struct packet *p, const struct xlvs_synced *r)
{
	return !(r->flags & XLVS_SYNCED_STREAM) || p->c.word & XLVS_CONNECTION_SPECIAL;
}

static __noinline __u32 sync_open(struct packet *p, struct xlvs_synced *r)
{
	struct xlvs_destination *d;
	__u32 wanted, mine, rc;

	if (!p || !r)
		return XLVS_SYNCED_CONTENDED;
	wanted = r->destination;
	d = destination_get(wanted);
	if (!d)
		return XLVS_SYNCED_UNKNOWN;
	p->c.word = sync_word(r, d);
	p->c.destination = wanted;
	p->c.expires = p->now + r->left;
	mine = word_method(p->c.word) == XLVS_METHOD_FULLNAT ? extra_of(r->block, r->local_port) :
							       0;
	p->c.extra = mine;
	if (mine && !local_port_claim(r->block, r->local_port))
		return XLVS_SYNCED_PORT;
	rc = table_open(p, p->family != AF_INET);
	if (rc != TABLE_OPENED && mine)
		local_port_free(extra_block(mine), extra_port(mine));
	if (rc == TABLE_EXISTS)
		return p->c.destination == wanted && sync_alike(p, r) ? sync_update(p, r) :
									XLVS_SYNCED_CONTENDED;
	if (rc != TABLE_OPENED)
		return rc == TABLE_FULL ? XLVS_SYNCED_FULL : XLVS_SYNCED_CONTENDED;
	if (!sync_stream(p, r)) {
		table_end(p->family != AF_INET, p->c.at, p->c.word, 0);
		return XLVS_SYNCED_FULL;
	}
	return r->flags & XLVS_SYNCED_TEMPLATE ? sync_template(p, r) : XLVS_SYNCED_OPENED;
}

/* Is there a connection with the record's tuple? Fills p->c. */
static __always_inline bool sync_known(struct packet *p, const struct xlvs_synced *r)
{
	if (r->flags & XLVS_SYNCED_TEMPLATE)
		return false; /* table_open() finds it */
	p->roles = XLVS_ADDRESS_VIRTUAL;
	return table_find(p) && !p->reply;
}

static __always_inline void sync_describe(struct packet *p, const struct xlvs_synced *r,
					  const struct xlvs_geometry *g)
{
	p->tuple.src = r->src;
	p->tuple.dst = r->dst;
	p->tuple.sport = r->sport;
	p->tuple.dport = r->dport;
	p->tuple.protocol = p->protocol = r->protocol;
	p->family = r->family;
	p->now = clock_ticks();
	p->hz = g->hz;
}

static long sync_step(__u32 i, void *data)
{
	struct xlvs_synced *r = bpf_map_lookup_elem(&synced, &i);
	struct xlvs_geometry *g = geometry_get();
	struct packet *p = packet_asked();

	(void)data;
	if (!r || !g || !p)
		return 1;
	if (r->state >= XLVS_STATE_MAX) {
		r->result = XLVS_SYNCED_UNKNOWN;
		return 0;
	}
	sync_describe(p, r, g);
	if (sync_known(p, r)) {
		if (p->c.destination == r->destination && sync_alike(p, r)) {
			r->result = sync_update(p, r);
			return 0;
		}
		/* The end of one whose client has come again: IPVS passes it over as well. */
		if (sync_older(p, r) ||
		    (!state_is_active(r->state) && r->state != XLVS_STATE_UDP)) {
			r->result = XLVS_SYNCED_OLDER;
			return 0;
		}
		/* The client has come again, and was given another server there, or a stream. */
		table_end(p->family != AF_INET, p->c.at, p->c.word, 0);
	}
	r->result = sync_open(p, r);
	return 0;
}

/*
 * Not in the program that the daemon runs: that may be interrupted by a packet on its CPU,
 * which would wait for the line's lock in vain, and count beside it in the CPU's own
 * counters. A timer's callback is in softirq, as packets are.
 */
static int sync_tick(void *map, __u32 *key, struct sweeper *s)
{
	__u32 zero = 0;
	struct xlvs_batch *b = bpf_map_lookup_elem(&sync_batch, &zero);

	(void)map;
	(void)key;
	(void)s;
	if (!b)
		return 0;
	bpf_loop(READ_ONCE(b->entries), sync_step, NULL, 0);
	__sync_lock_test_and_set(&b->done, READ_ONCE(b->begun));
	return 0;
}

static __always_inline int sync_start(void)
{
	return timer_begin(&sync_timers, sync_tick, 0);
}

#endif
