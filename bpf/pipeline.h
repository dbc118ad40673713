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

#include "admission.h"
#include "connection_open.h"
#include "forward/icmp.h"
#include "forward/reset.h"
#include "forward/syn_proxy.h"
#include "persistence.h"
#include "stages/1_parse.h"
#include "stages/2_connection.h"
#include "stages/3_service.h"
#include "stages/4_schedule.h"
#include "stages/5_forward.h"
#include "stages/6_account.h"
#include "stages/fragments.h"
#include "stages/icmp_tunnel.h"
#include "stages/stateless.h"

/* Counts the packet under its reason and turns the reason into the hook's verdict. */
static __always_inline int finish(const struct packet *p, int why)
{
	account_reason(why, p->wire.packets ? p->wire.packets : 1,
		       p->wire.packets ? p->wire.bytes : p->length);
	if (why >= XLVS_REASON_PASS_NOT_IP && why <= XLVS_REASON_PASS_SYN_ACK)
		return HOOK_VERDICT_PASS;
	if (why >= XLVS_REASON_DROP_DESTINATION_REMOVED && likely(!p->refused))
		return HOOK_VERDICT_DROP;
	if (why == XLVS_REASON_FWD_LOCAL || why == XLVS_REASON_FWD_FRAGMENTED)
		return HOOK_VERDICT_PASS;
	return next_hop_send(p);
}

/*
 * net.ipv4.vs.nat_icmp_send: a NAT server's packet belongs to no connection. The server is
 * told, in the name of the interface that it is behind.
 */
static __noinline int pipeline_tell_server(hook_ctx *ctx, struct packet *p)
{
	bool v4 = p->family == AF_INET;
	struct icmp_error e = {
		.quote_at = p->l3,
		.quote_length = p->length,
		.type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH,
		.code = v4 ? ICMP_PORT_UNREACH : ICMPV6_PORT_UNREACH,
		.own = 1,
	};
	__u32 ifindex = hook_ingress(ctx);
	struct xlvs_interface *i = bpf_map_lookup_elem(&interfaces, &ifindex);

	if (!i || p->tcp_flags & TCP_RST || p->ttl <= 1)
		return XLVS_REASON_PASS_NO_SERVICE;
	p->to.src = v4 ? i->address4 : i->address6;
	/* To the server, not to the station that the frame came from; else back to that. */
	e.routed = next_hop_route(ctx, p, &p->to.src, &p->tuple.src, 0) == NEXT_HOP_OK;
	/* IPVS stands behind the stack's forwarding here. */
	if (rewrite_ttl(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	return icmp_error_make(ctx, p, &e, XLVS_REASON_REPLY_NO_CONNECTION);
}

/*
 * A SIP server begins a call: its datagram opens the connection, and the template, that the
 * other side's answers will need. On success p is an answer of that connection.
 */
static __always_inline int pipeline_call_out(hook_ctx *ctx, struct packet *p,
					     struct xlvs_settings *s, struct xlvs_destination *d,
					     __u32 destination)
{
	__u32 id = d->service;
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &id);
	int why;

	if (!service || !(service->flags & XLVS_SERVICE_SIP) || service->key.fwmark)
		return XLVS_REASON_PASS_NO_SERVICE;
	p->to = p->tuple;
	p->tuple.src = p->to.dst;
	p->tuple.sport = p->to.dport;
	p->tuple.dst = service->key.address;
	p->tuple.dport = service->key.port;
	why = persistence_schedule(ctx, p, s, id, destination);
	why = why < 0 ? XLVS_REASON_PASS_NO_SERVICE : connection_open(p, destination, s);
	if (!why) {
		p->reply = 1;
		p->c.way_back_at = p->c.at;
		p->c.way_back = 0;
	}
	/* The packet is the server's again, and becomes the virtual service's. */
	p->tuple = p->to;
	p->to.src = service->key.address;
	p->to.sport = service->key.port;
	return why;
}

/* A server's packet of no connection and to no service. */
static __noinline int pipeline_stray(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct xlvs_service_key key = {
		.address = p->tuple.src,
		.port = p->tuple.sport,
		.protocol = p->tuple.protocol,
		.family = p->family,
	};
	__u32 *found = bpf_map_lookup_elem(&real_servers, &key), destination;
	struct xlvs_destination *d;
	int why;

	if (!found)
		return XLVS_REASON_PASS_NO_SERVICE;
	destination = *found;
	d = destination_get(destination);
	if (s->sip_services && d && p->protocol == IPPROTO_UDP) {
		why = pipeline_call_out(ctx, p, s, d, destination);
		if (why != XLVS_REASON_PASS_NO_SERVICE)
			return why;
	}
	return s->nat_icmp_send ? pipeline_tell_server(ctx, p) : XLVS_REASON_PASS_NO_SERVICE;
}

/* net.ipv4.vs.drop_packet: the first new connection is dropped, then every so many'th. */
static __noinline bool pipeline_overloaded(const struct xlvs_settings *s)
{
	__u32 zero = 0, rate = s->drop_rate;
	struct xlvs_load *l = bpf_map_lookup_elem(&load, &zero);

	return l && rate && !(__sync_fetch_and_add(&l->offered, 1) % rate);
}

/* Was a server of the service passed over, or may have been, for want of local ports? */
static __noinline bool pipeline_portless(__u32 service)
{
	struct xlvs_schedule *s = bpf_map_lookup_elem(&schedules, &service);

	return s && portless(READ_ONCE(s->portless_until));
}

/* No destination for a packet that would open a connection. `why`: SCHEDULE_*, PERSISTENCE_*. */
static __noinline int pipeline_unscheduled(hook_ctx *ctx, struct packet *p,
					   const struct xlvs_settings *s, __u32 id, int why)
{
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &id);

	if (!service)
		return XLVS_REASON_DROP_INTERNAL;
	if (why == PERSISTENCE_NO_CALL_ID)
		return XLVS_REASON_DROP_NO_CALL_ID;
	if (why == PERSISTENCE_FULL)
		return XLVS_REASON_DROP_TABLE_FULL;
	if (why == SCHEDULE_CONTENDED)
		return XLVS_REASON_DROP_CONTENDED;
	/* There are servers, and soon ports: the client is to ask again. */
	if (pipeline_portless(id))
		return XLVS_REASON_DROP_LOCAL_PORTS;
	/* An error would not end what its client believes to be a connection. */
	if (p->proved)
		return XLVS_REASON_REPLY_NO_DESTINATION;
	/* A destination that is not the director's own: transparent proxies. */
	if (s->cache_bypass && service->key.fwmark && p->ttl > 1 && !p->icmp_type &&
	    next_hop_route(ctx, p, &p->tuple.src, &p->tuple.dst, 0) == NEXT_HOP_OK)
		return XLVS_REASON_PASS_CACHE_BYPASS;
	/* An FTP service claims ports that are perhaps another program's. */
	if (service->key.port == bpf_htons(FTP_PORT) && p->tuple.dport != service->key.port)
		return XLVS_REASON_PASS_NO_SERVICE;
	/* RFC 1122 3.2.2: no error about an error. */
	if (p->icmp_type)
		return XLVS_REASON_DROP_ICMP_NOT_FORWARDED;
	return icmp_error_no_destination(ctx, p);
}

/* Other servers that a packet is offered to. */
#define PIPELINE_OTHERS 8

/* FULLNAT: the server that was chosen has no local port, but another one may have. */
subprogram int pipeline_other_ports(struct packet *p, struct xlvs_settings *s, __u32 id)
{
	struct xlvs_service *service = bpf_map_lookup_elem(&services, &id);
	int destination, why = XLVS_REASON_DROP_LOCAL_PORTS;

	if (!p || !s || !service)
		return XLVS_REASON_DROP_INTERNAL;
	for (int i = 0; i < PIPELINE_OTHERS && why == XLVS_REASON_DROP_LOCAL_PORTS; i++) {
		destination = schedule(p, id, service->scheduler, service->flags);
		/* lblc comes back to the one that it remembers */
		if (destination < 0 || (__u32)destination == p->c.destination)
			return XLVS_REASON_DROP_LOCAL_PORTS;
		why = connection_open(p, destination, s);
	}
	return why;
}

/*
 * No connection: is there a service, and does this packet open one? On success
 * p->c is the connection. An ICMP error comes here by net.ipv4.vs.schedule_icmp: it opens
 * what the quoted packet's answer would, but for a state of its own and three seconds.
 */
subprogram int pipeline_open(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct xlvs_service *service;
	__u32 id;
	int destination, why;

	if (!p || !s)
		return XLVS_REASON_DROP_INTERNAL;
	if (unlikely(parse_follows(p->protocol)))
		return XLVS_REASON_PASS_PROTOCOL;
	service = service_find(ctx, p, s, &id);
	if (!service)
		return XLVS_REASON_PASS_NO_SERVICE;
	note(SERVICE, id, 0, 0);
	if (!service_source_possible(ctx, p))
		return XLVS_REASON_PASS_MARTIAN;
	if (unlikely(service->flags & XLVS_SERVICE_SYN_PROXY) && p->protocol == IPPROTO_TCP) {
		why = syn_proxy_open(ctx, p, service, id);
		if (why)
			return why;
	}
	if (!service_opens(p, s))
		return XLVS_REASON_PASS_NOT_SYN;
	if (unlikely(s->drop_rate) && pipeline_overloaded(s))
		return XLVS_REASON_DROP_LOADED;
	/* IPVS: active FTP's data connections are the server's to open. */
	if (unlikely(p->tuple.sport == bpf_htons(FTP_DATA_PORT)))
		return XLVS_REASON_PASS_NOT_SYN;
	if (unlikely(service->flags & XLVS_SERVICE_ADMISSION)) {
		why = admission(p, id);
		if (why)
			return why;
	}
	if (unlikely(service->persistence))
		destination = persistence_schedule(ctx, p, s, id, -1);
	else if (unlikely(service->key.port != p->tuple.dport && !service->key.fwmark))
		destination = SCHEDULE_NONE; /* IPVS: all ports only with persistence */
	else
		destination = schedule(p, id, service->scheduler, service->flags);
	if (unlikely(destination < 0)) {
		if (unlikely(p->admitted))
			admission_settle(p, XLVS_REASON_DROP_INTERNAL);
		return pipeline_unscheduled(ctx, p, s, id, destination);
	}
	/* IPVS: one-packet scheduling is for datagrams only. */
	p->one_packet = service->flags & XLVS_SERVICE_ONE_PACKET &&
			p->tuple.protocol == IPPROTO_UDP;
	p->special = service->flags & SERVICE_SPECIAL;
	if (!p->proved)
		p->special &= ~XLVS_SERVICE_SYN_PROXY;
	why = connection_open(p, destination, s);
	if (unlikely(why == XLVS_REASON_DROP_LOCAL_PORTS) && !service->persistence)
		why = pipeline_other_ports(p, s, id);
	if (unlikely(p->admitted))
		admission_settle(p, why);
	return why;
}

/* A packet of the server's: to the client, in the virtual service's name. */
static __always_inline int pipeline_reply(hook_ctx *ctx, struct packet *p,
					  struct xlvs_destination *d, struct xlvs_settings *s)
{
	int why;

	if (p->from_director) {
		account_packet(p, d);
		connection_advance(p, s);
		if (word_method(p->c.word) != XLVS_METHOD_NAT)
			return XLVS_REASON_FWD_LOCAL;
		if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL)) {
			why = stream_to_client(ctx, p);
			if (why)
				return why;
		}
		return rewrite_transport(ctx, p, false) ? XLVS_REASON_DROP_INTERNAL :
							  XLVS_REASON_FWD_LOCAL;
	}
	if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL)) {
		why = syn_proxy_unanswered(ctx, p);
		if (why)
			return why;
	}
	why = forward_out_ready(ctx, p);
	if (why)
		return why;
	account_packet(p, d);
	connection_advance(p, s);
	if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL)) {
		why = stream_to_client(ctx, p);
		if (why)
			return why;
	}
	return nat_forward(ctx, p, XLVS_REASON_FWD_REPLY);
}

subprogram int pipeline_icmp(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct xlvs_destination *d;
	int why;

	if (!p || !s)
		return XLVS_REASON_DROP_INTERNAL;
	if (p->tuple.protocol != IPPROTO_TCP && p->tuple.protocol != IPPROTO_UDP &&
	    p->tuple.protocol != IPPROTO_SCTP)
		return XLVS_REASON_PASS_ICMP;
	if (!pipeline_find(p, s)) {
		why = s->schedule_icmp ? pipeline_open(ctx, p, s) : XLVS_REASON_PASS_NO_SERVICE;
		if (why >= XLVS_REASON_PASS_NOT_IP && why < XLVS_REASON_DROP_DESTINATION_REMOVED)
			return XLVS_REASON_PASS_ICMP_NO_CONNECTION;
		if (why)
			return why;
	}
	if (!pipeline_icmp_right(ctx, p))
		return XLVS_REASON_DROP_ICMP_CHECKSUM;
	note(KNOWN, p->c.destination, p->c.word, p->c.expires);
	d = destination_get(p->c.destination);
	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	why = p->reply ? icmp_forward_out(ctx, p) : icmp_forward_in(ctx, p, d);
	if (likely(why != XLVS_REASON_PASS_LOCAL_CLIENT))
		account_packet(p, d);
	if (unlikely(p->one_packet))
		connection_forget(p);
	return why;
}

/* A stateless service whose servers all have weight 0. */
static __noinline int pipeline_refuse(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	return service_opens(p, s) ? icmp_error_no_destination(ctx, p) : XLVS_REASON_PASS_NOT_SYN;
}

/*
 * Profile modern: the connection's server is gone. A datagram, or a SYN, goes to another
 * one; the rest of TCP is told so at once, for nobody else would tell it.
 */
static __always_inline int pipeline_orphan(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	table_end(p->family != AF_INET, p->c.at, p->c.word, 0);
	if (p->protocol != IPPROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_RST)) == TCP_SYN)
		return pipeline_open(ctx, p, s);
	return p->tcp_flags & TCP_RST ? XLVS_REASON_DROP_DESTINATION_REMOVED : reset_back(ctx, p);
}

/*
 * An operator has closed the connection. What one end sends tells the other, for it carries
 * the number that that one waits for; nobody acknowledges it, so it comes again, and is
 * answered then. What would not come again is answered at once: the other end is told when
 * it sends something. XLVS_REASON_NONE: on to the other end, as a reset.
 */
static __noinline int pipeline_closed(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_entry *e = table_entry(p);
	struct tcphdr *tcp = view(ctx, p->l4, struct tcphdr);
	__u32 other = p->reply ? XLVS_STATE_RESET_CLIENT : XLVS_STATE_RESET_SERVER;
	__u32 sender = p->reply ? XLVS_STATE_RESET_SERVER : XLVS_STATE_RESET_CLIENT;
	bool again;

	if (p->tcp_flags & TCP_RST)
		return XLVS_REASON_NONE;
	if (!e || !tcp)
		return XLVS_REASON_DROP_INTERNAL;
	again = reset_sequence(p, tcp) != 0;
	if (word_state(p->c.word) == other)
		return reset_back(ctx, p);
	if (table_set_state(e, p->c.destination, p->c.word, again ? other : sender, 0))
		p->c.word = (p->c.word & ~XLVS_CONNECTION_STATE) | (again ? other : sender);
	return again ? reset_on(ctx, p) : reset_back(ctx, p);
}

/*
 * The usual way to a connection: a known one, or a new one. XLVS_REASON_NONE and p->c;
 * an answer's p->reply is set.
 */
static __always_inline int pipeline_connection(hook_ctx *ctx, struct packet *p,
					       struct xlvs_settings *s)
{
	struct xlvs_destination *d;
	bool closed;
	int why;

	if (!table_find(p)) {
		why = pipeline_open(ctx, p, s);
		return unlikely(s->nat_icmp_send | s->sip_services) &&
				       why == XLVS_REASON_PASS_NO_SERVICE &&
				       p->roles & XLVS_ADDRESS_SERVER ?
			       pipeline_stray(ctx, p, s) :
			       why;
	}
	note(KNOWN, p->c.destination, p->c.word, p->c.expires);
	if (unlikely(p->c.word & (XLVS_CONNECTION_SPECIAL | XLVS_CONNECTION_HALF_OPEN)) &&
	    !p->reply && p->protocol == IPPROTO_TCP) {
		if (!(p->c.word & XLVS_CONNECTION_HALF_OPEN))
			why = syn_proxy_again(ctx, p);
		else
			why = s->syn_proxies ? syn_proxy_half_open(ctx, p) : XLVS_REASON_NONE;
		if (why == SYN_PROXY_ANEW) {
			table_end(p->family != AF_INET, p->c.at, p->c.word, 0);
			return pipeline_open(ctx, p, s);
		}
		if (why)
			return why;
	}
	closed = word_state(p->c.word) >= XLVS_STATE_RESET;
	if (unlikely(closed) && (p->reply || !(p->tcp_flags & TCP_SYN)))
		return pipeline_closed(ctx, p);
	if (p->reply)
		return XLVS_REASON_NONE;
	d = destination_get(p->c.destination);
	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	if (likely(!closed && !connection_starts_anew(p, d, s))) {
		if (likely(d->flags & XLVS_DESTINATION_AVAILABLE))
			return XLVS_REASON_NONE;
		if (p->protocol == IPPROTO_TCP ? s->reset : s->reschedule)
			return pipeline_orphan(ctx, p, s);
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
	if (unlikely(p->fragment == FRAGMENT_LATER))
		return fragments_follow(p);

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
	if (unlikely(p->fragment == FRAGMENT_FIRST)) {
		why = fragments_remember(p, d);
		if (why)
			return why;
	}
	if (p->reply)
		return pipeline_reply(ctx, p, d, s);
	account_packet(p, d);
	if (unlikely(p->one_packet)) {
		why = forward_in(ctx, p, d);
		connection_forget(p);
		return why;
	}
	if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL))
		syn_proxy_disguise(p);
	if (!p->stateless && !p->opened)
		connection_advance(p, s);
	return forward_in(ctx, p, d);
}

/*
 * A client that has acknowledged a cookie, and so believes to have a connection, gets none:
 * it is reset, as many as errors may be sent. The packet counts under what refused it.
 */
static __noinline int pipeline_refuse_proved(hook_ctx *ctx, struct packet *p, int why)
{
	int reset;

	if (why < XLVS_REASON_DROP_DESTINATION_REMOVED && why != XLVS_REASON_REPLY_NO_DESTINATION)
		return why;
	p->tcp_flags = TCP_ACK; /* which it was */
	reset = reset_back(ctx, p);
	p->refused = reset == XLVS_REASON_REPLY_RESET;
	if (why == XLVS_REASON_REPLY_NO_DESTINATION && !p->refused)
		return reset;
	return why;
}

static __always_inline int pipeline(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	int why = pipeline_classify(ctx, p, s);

	if (unlikely(why && p->proved))
		why = pipeline_refuse_proved(ctx, p, why);
	return finish(p, why ? why : pipeline_forward(ctx, p, s));
}

#ifdef HOOK_TC
/*
 * On the way out of the director: only answers of servers that run on the director
 * itself are looked at. Everything else goes on untouched and uncounted.
 */
static __always_inline int pipeline_egress(hook_ctx *ctx)
{
	struct xlvs_settings *s = settings_get();
	struct xlvs_destination *d;
	struct packet *p;
	int verdict;

	if (!s || !s->local_destinations)
		return HOOK_VERDICT_PASS;
	p = packet_begin();
	if (!p || parse(ctx, p) || p->icmp_type)
		return HOOK_VERDICT_PASS;
	p->now = clock_ticks();
	if (p->fragment == FRAGMENT_LATER ? fragments_follow(p) : !table_find(p))
		return HOOK_VERDICT_PASS;
	if (!p->reply || !(p->c.word & XLVS_CONNECTION_ON_DIRECTOR))
		return HOOK_VERDICT_PASS;
	d = destination_get(p->c.destination);
	if (!d || (p->fragment == FRAGMENT_FIRST && fragments_remember(p, d)))
		return HOOK_VERDICT_PASS;
	p->from_director = 1;
	verdict = finish(p, pipeline_reply(ctx, p, d, s));
	/* To a client on the director as well: it comes in by lo, and has been seen. */
	if (unlikely(hook_ingress(ctx) == LOOPBACK_IFINDEX))
		hook_set_delivered(ctx);
	return verdict;
}

/*
 * Behind XDP, which has counted the packet as passed: answers to clients on the director
 * itself, and what completes a handshake of SYN proxy. Everything else goes on untouched.
 */
static __always_inline int pipeline_answers(hook_ctx *ctx)
{
	struct xlvs_settings *s = settings_get();
	struct xlvs_destination *d;
	struct packet *p;
	bool handshake;
	int why;

	if (!s || !s->services || !(s->local_clients | s->syn_proxies))
		return HOOK_VERDICT_PASS;
	p = packet_begin();
	if (!p || parse(ctx, p) || !hook_for_host(ctx))
		return HOOK_VERDICT_PASS;
	p->now = clock_ticks();
	if (!table_find(p) || !p->reply)
		return HOOK_VERDICT_PASS;
	d = destination_get(p->c.destination);
	handshake = p->c.word & XLVS_CONNECTION_SPECIAL && syn_proxy_has_answer(p);
	if (!d || !(s->local_clients || handshake))
		return HOOK_VERDICT_PASS;
	why = p->icmp_type ? pipeline_icmp(ctx, p, s) : pipeline_reply(ctx, p, d, s);
	if (why != XLVS_REASON_FWD_REPLY && why != XLVS_REASON_FWD_ICMP_OUT)
		return handshake ? HOOK_VERDICT_DROP : HOOK_VERDICT_PASS;
	return next_hop_send(p);
}
#endif

#endif
