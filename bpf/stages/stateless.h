/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stateless services (mh by DR or TUN): the client's slot decides, for every packet
 * anew, and no connection is kept. Only where a slot has changed owners, connections
 * may be older than the change: their packets go on to the previous owner and are
 * remembered in the table from then on; so are connections that begin in such a slot.
 * The daemon forgets the previous owner when its time is over and none is left.
 */
#ifndef XLVS_STATELESS_H
#define XLVS_STATELESS_H

#include "schedulers/mh.h"
#include "stages/3_service.h"
#include "stages/4_schedule.h"
#include "table.h"

enum stateless {
	STATELESS_NOT,  /* the packet's service keeps connections */
	STATELESS_SENT, /* p->c.destination, and nothing to remember */
	STATELESS_OPEN, /* p->c.destination, to be remembered */
	STATELESS_NONE, /* no server has a weight */
	STATELESS_ASK,  /* first ask the table, then again with `asked` */
};

static __always_inline bool stateless_opens(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_RST)) == TCP_SYN;
}

/* May there still be connections that are older than the change? */
static __always_inline bool stateless_recent(const struct packet *p, const struct xlvs_settings *s,
					     const struct xlvs_hash_slot *slot)
{
	__u32 kept = s->timeout[p->tuple.protocol == IPPROTO_TCP ? XLVS_STATE_ESTABLISHED :
								   XLVS_STATE_UDP];

	return !clock_over(p->now, slot->changed_at + kept);
}

static __always_inline bool stateless_usable(__u32 destination)
{
	struct xlvs_destination *d = destination_get(destination);

	return d && d->flags & XLVS_DESTINATION_AVAILABLE;
}

/*
 * The destination of a packet whose tuple is from a client to a stateless service.
 * `asked`: the table does not know the connection. enum stateless. (It does not look
 * itself: kernel 6.1 counts 32 bytes of stack at least for every call.)
 */
subprogram int stateless_choose(struct packet *p, struct xlvs_settings *s, __u32 asked)
{
	struct xlvs_schedule *schedule;
	struct xlvs_hash_slot *slot;
	struct xlvs_server_list list;
	struct xlvs_destination *d;
	struct xlvs_service *service;
	__u32 id;
	int result = STATELESS_SENT;

	if (!p || !s)
		return STATELESS_NOT;
	service = service_find_exact(p, &id);
	if (!service || !(service->flags & XLVS_SERVICE_STATELESS))
		return STATELESS_NOT;
	schedule = bpf_map_lookup_elem(&schedules, &id);
	if (!schedule)
		return STATELESS_NOT;
	list = schedule->list[WORD_GENERATION(READ_ONCE(schedule->word)) & 1];
	if (!list.hash_size)
		return STATELESS_NONE;
	slot = hashed_slot(&list, mh_index(&list, schedule_key(p, service->flags)));
	if (!slot)
		return STATELESS_NONE;
	note(SERVICE, id, 0, 0);
	note(STATELESS, slot->destination, slot->previous, slot->changed_at);
	p->reply = 0;
	p->c.destination = slot->destination;
	if (unlikely(slot->previous != XLVS_NO_DESTINATION)) {
		if (!asked)
			return STATELESS_ASK;
		if (stateless_recent(p, s, slot)) {
			/* What begins now is remembered too, to tell it from what is older. */
			if (stateless_opens(p)) {
				result = STATELESS_OPEN;
			} else if (stateless_usable(slot->previous)) {
				p->c.destination = slot->previous;
				result = STATELESS_OPEN;
			}
		}
	}
	d = destination_get(p->c.destination);
	if (!d)
		return STATELESS_NONE;
	p->c.word = (__u32)d->method << XLVS_CONNECTION_METHOD_SHIFT;
	if (d->flags & XLVS_DESTINATION_LOCAL)
		p->c.word |= XLVS_CONNECTION_ON_DIRECTOR;
	return result;
}

#endif
