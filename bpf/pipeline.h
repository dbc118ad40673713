/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet's way: parse -> known connection? -> (else: our service? -> scheduler
 * -> new connection) -> forward by method -> account -> verdict. Every stage only
 * classifies; finish() acts, once.
 */
#ifndef XLVS_PIPELINE_H
#define XLVS_PIPELINE_H

#ifndef HOOK_VERDICT_PASS
#error "include a hook adapter (hook_xdp.h or hook_tc.h) first"
#endif

#include "connection_open.h"
#include "forward/icmp.h"
#include "stages/1_parse.h"
#include "stages/2_connection.h"
#include "stages/3_service.h"
#include "stages/4_schedule.h"
#include "stages/5_forward.h"
#include "stages/6_account.h"
#include "stages/icmp_tunnel.h"
#include "stages/stateless.h"

/* Counts the packet under its reason and turns the reason into the hook's verdict. */
static __always_inline int finish(hook_ctx *ctx, struct packet *p, int why)
{
	account_reason(why, p->wire_packets ? p->wire_packets : 1,
		       p->wire_packets ? p->wire_bytes : p->length);
	if (why >= XLVS_REASON_PASS_NOT_IP && why <= XLVS_REASON_PASS_TOO_BIG)
		return HOOK_VERDICT_PASS;
	if (why >= XLVS_REASON_DROP_DESTINATION_REMOVED)
		return HOOK_VERDICT_DROP;
	if (why == XLVS_REASON_FWD_LOCAL || why == XLVS_REASON_FWD_FRAGMENTED)
		return HOOK_VERDICT_PASS;
	return next_hop_send(ctx, p);
}

/*
 * No connection: is there a service, and does this packet open one? On success
 * p->c is the connection.
 */
subprogram int pipeline_open(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct xlvs_service *service;
	__u32 id;
	int destination;

	if (!p || !s)
		return XLVS_REASON_DROP_INTERNAL;
	service = service_find(p, &id);
	if (!service)
		return XLVS_REASON_PASS_NO_SERVICE;
	if (!service_source_possible(p))
		return XLVS_REASON_PASS_MARTIAN;
	if (!service_opens(p, s))
		return XLVS_REASON_PASS_NOT_SYN;
	destination = schedule(p, id, service->scheduler, service->flags);
	if (destination == SCHEDULE_NONE)
		return icmp_error_no_destination(ctx, p);
	if (destination < 0)
		return XLVS_REASON_DROP_CONTENDED;
	/* IPVS: one-packet scheduling is for datagrams only. */
	p->one_packet = service->flags & XLVS_SERVICE_ONE_PACKET && p->protocol == IPPROTO_UDP;
	return connection_open(p, destination, s);
}

/* A packet of the server's: to the client, in the virtual service's name. */
static __always_inline int pipeline_reply(hook_ctx *ctx, struct packet *p,
					  struct xlvs_destination *d, struct xlvs_settings *s)
{
	int why;

	if (p->from_director) {
		account_packet(p, d);
		connection_advance(p, s);
		if (word_method(p->c.word) == XLVS_METHOD_NAT && rewrite_transport(ctx, p, false))
			return XLVS_REASON_DROP_INTERNAL;
		return XLVS_REASON_FWD_LOCAL;
	}
	why = forward_out_ready(ctx, p);
	if (why)
		return why;
	account_packet(p, d);
	connection_advance(p, s);
	return nat_forward(ctx, p, XLVS_REASON_FWD_REPLY);
}

subprogram int pipeline_icmp(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct xlvs_destination *d;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	if (p->tuple.protocol != IPPROTO_TCP && p->tuple.protocol != IPPROTO_UDP)
		return XLVS_REASON_PASS_ICMP;
	if (!pipeline_find(p, s))
		return XLVS_REASON_PASS_ICMP_NO_CONNECTION;
	if (!pipeline_icmp_right(ctx, p))
		return XLVS_REASON_DROP_ICMP_CHECKSUM;
	d = destination_get(p->c.destination);
	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	account_packet(p, d);
	return p->reply ? icmp_forward_out(ctx, p) : icmp_forward_in(ctx, p, d);
}

/* A stateless service whose servers all have weight 0. */
static __noinline int pipeline_refuse(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	return service_opens(p, s) ? icmp_error_no_destination(ctx, p) : XLVS_REASON_PASS_NOT_SYN;
}

/*
 * The usual way to a connection: a known one, or a new one. XLVS_REASON_NONE and p->c;
 * an answer's p->reply is set.
 */
static __always_inline int pipeline_connection(hook_ctx *ctx, struct packet *p,
					       struct xlvs_settings *s)
{
	struct xlvs_destination *d;

	if (!table_find(p))
		return pipeline_open(ctx, p, s);
	if (p->reply)
		return XLVS_REASON_NONE;
	d = destination_get(p->c.destination);
	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	if (likely(!connection_starts_anew(p, d, s))) {
		if (likely(d->flags & XLVS_DESTINATION_AVAILABLE))
			return XLVS_REASON_NONE;
		if (!s->expire_nodest_conn)
			return XLVS_REASON_DROP_DESTINATION_REMOVED;
	}
	/* Gone at once, also if nothing takes its place: IPVS lets it expire now. */
	table_end(p->family != AF_INET, p->c.at, p->c.word, 0);
	return pipeline_open(ctx, p, s);
}

/* What connection is the packet of? XLVS_REASON_NONE and p->c, or its end. */
static __always_inline int pipeline_classify(hook_ctx *ctx, struct packet *p,
					     struct xlvs_settings *s)
{
	int why, stateless = STATELESS_NOT;

	if (!s || !s->services)
		return XLVS_REASON_PASS_DISABLED;
	why = parse(ctx, p);
	if (why)
		return why;
	/* A promiscuous interface sees frames for others: forwarding them would double them. */
	if (unlikely(!hook_for_host(ctx)))
		return XLVS_REASON_PASS_NOT_FOR_HOST;
	p->now = clock_ticks();
	p->pmtu_disc = s->pmtu_disc;
	if (unlikely(p->icmp_type)) {
		why = pipeline_icmp_tunnel(ctx, p, s);
		return why ? why : pipeline_icmp(ctx, p, s);
	}

	if (unlikely(p->roles & XLVS_ADDRESS_STATELESS)) {
		stateless = stateless_choose(p, s, 0);
		if (stateless == STATELESS_ASK)
			stateless = table_find(p) ? STATELESS_NOT : stateless_choose(p, s, 1);
		if (stateless == STATELESS_NONE)
			return pipeline_refuse(ctx, p, s);
	}
	if (stateless == STATELESS_NOT)
		return pipeline_connection(ctx, p, s);
	if (stateless == STATELESS_OPEN)
		return connection_open(p, p->c.destination, s);
	p->stateless = 1;
	return XLVS_REASON_NONE;
}

/* A packet of the connection p->c. */
static __always_inline int pipeline_forward(hook_ctx *ctx, struct packet *p,
					    struct xlvs_settings *s)
{
	struct xlvs_destination *d = destination_get(p->c.destination);
	int why;

	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	if (p->reply)
		return pipeline_reply(ctx, p, d, s);
	account_packet(p, d);
	if (unlikely(p->one_packet)) {
		why = forward_in(ctx, p, d);
		connection_forget(p);
		return why;
	}
	if (!p->stateless && !p->opened)
		connection_advance(p, s);
	return forward_in(ctx, p, d);
}

static __always_inline int pipeline(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	int why = pipeline_classify(ctx, p, s);

	return finish(ctx, p, why ? why : pipeline_forward(ctx, p, s));
}

/*
 * On the way out of the director: only answers of servers that run on the director
 * itself are looked at. Everything else goes on untouched and uncounted.
 */
static __always_inline int pipeline_egress(hook_ctx *ctx)
{
	struct xlvs_settings *s = settings_get();
	struct xlvs_destination *d;
	struct packet *p;

	if (!s || !s->local_destinations)
		return HOOK_VERDICT_PASS;
	p = packet_begin();
	if (!p || parse(ctx, p) || p->icmp_type)
		return HOOK_VERDICT_PASS;
	p->now = clock_ticks();
	if (!table_find(p) || !p->reply || !(p->c.word & XLVS_CONNECTION_ON_DIRECTOR))
		return HOOK_VERDICT_PASS;
	d = destination_get(p->c.destination);
	if (!d)
		return HOOK_VERDICT_PASS;
	p->from_director = 1;
	return finish(ctx, p, pipeline_reply(ctx, p, d, s));
}

#endif
