/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SYN proxy (RFC 4987 3.7): the director answers a client's SYN itself, and keeps nothing. Who
 * answers that gets a connection: its acknowledgement becomes the SYN to a server, and what
 * the server answers completes the handshakes on both sides:
 *
 *	client                         director                        server
 *	SYN ->
 *	                <- SYN-ACK, cookie, window 0
 *	ACK ->                          SYN, the client's number ->
 *	                                               <- SYN-ACK, its number
 *	                <- window               ACK ->
 *
 * What tells the server its client goes with the SYN (TOA) and the ACK (TOA, the PROXY
 * protocol's header), so a server that speaks first has it too.
 *
 * The server's numbers differ from then on from those that the client was told: by a constant,
 * as its time stamps do. Window 0 keeps the client from sending what nobody could take yet;
 * its probes ask for the SYN again.
 */
#ifndef XLVS_SYN_PROXY_H
#define XLVS_SYN_PROXY_H

#include "admission.h"
#include "forward/reset.h"
#include "forward/segment.h"
#include "forward/told.h"
#include "syn_cookie.h"
#include "syn_load.h"
#include "sync_tell.h"
#include "table_end.h"

#define SYN_PROXY_FLAGS (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)
#define SYN_PROXY_ANEW (-1)

/* Numbers of TCP compared and shifted: they begin anew at 2^32. */
static __always_inline __u16 syn_proxy_window(__u32 window, __u32 from, __u32 to)
{
	__u64 bytes = (__u64)window << (from & 15), scaled = bytes >> (to & 15);

	/* Less than one unit is not nothing: a window of 0 would stop its reader. */
	if (!scaled && bytes)
		return 1;
	return scaled > 0xffff ? 0xffff : scaled;
}

/* A SYN is answered; nothing is kept. `id`: the service's. */
static __noinline int syn_proxy_answer(hook_ctx *ctx, struct packet *p,
				       const struct xlvs_service *service, __u32 id)
{
	struct xlvs_syn_cookies *c = syn_cookies_get();
	struct tcp_segment *s = segment_read(ctx, p);
	struct segment_offer offer = {};
	__u32 isn, cookie, mss, options;

	if (!s || !c)
		return XLVS_REASON_DROP_INTERNAL;
	isn = bpf_ntohl(s->was.tcp.seq);
	mss = s->mss ? s->mss : p->family == AF_INET ? 536 : 1220; /* RFC 9293 3.7.1 */
	cookie = syn_cookie_of(p, isn, syn_cookie_slot(c), syn_cookie_mss_index(mss), 0);
	options = SYN_STAMP_NO_SCALE;
	offer.mss = service->syn_mss;
	offer.scale = TCP_NO_SCALE;
	if (s->stamps_at && service->syn_offers & XLVS_SYN_STAMPS) {
		offer.stamps = 1;
		offer.echo = segment_stamp(s);
		if (s->sack_permitted && service->syn_offers & XLVS_SYN_SACK) {
			offer.sack = 1;
			options |= SYN_STAMP_SACK;
		}
		if (s->scale != TCP_NO_SCALE && service->syn_offers & XLVS_SYN_SCALE) {
			offer.scale = service->syn_scale & 15;
			options = (options & ~SYN_STAMP_SCALE) | (s->scale & 15) |
				  offer.scale << SYN_STAMP_PROMISED_SHIFT;
		}
		offer.stamp = syn_cookie_stamp(options);
	}
	segment_begin(s, p->tuple.dport, p->tuple.sport, cookie, isn + 1, 0);
	s->is.tcp.syn = 1;
	s->is.tcp.ack = 1;
	segment_offer(s, &offer);
	if (segment_back(ctx, p))
		return XLVS_REASON_DROP_HEADROOM;
	syn_load_answered(id);
	return XLVS_REASON_REPLY_SYN_COOKIE;
}

/* What a valid acknowledgement says of the connection that it opens: into p->stream. */
static __always_inline void syn_proxy_learn(struct packet *p, const struct tcp_segment *s,
					    __u32 isn, __u32 cookie)
{
	struct xlvs_stream *st = &p->stream;
	__u32 options;

	__builtin_memset(st, 0, sizeof(*st));
	st->syn = XLVS_STREAM_SYN_PROXY;
	st->client_isn = isn;
	st->cookie = cookie;
	st->mss = syn_cookie_mss_of(cookie);
	st->window = bpf_ntohs(s->was.tcp.window);
	/* Nobody sends them who was not promised them (RFC 7323 3.2). */
	if (s->stamps_at) {
		st->syn |= XLVS_STREAM_STAMPS;
		st->stamp = segment_stamp(s);
		st->promised_stamp = segment_echo(s);
		options = st->promised_stamp;
		if (options & SYN_STAMP_SACK)
			st->syn |= XLVS_STREAM_SACK;
		if ((options & SYN_STAMP_SCALE) != SYN_STAMP_NO_SCALE) {
			st->syn |= XLVS_STREAM_SCALE;
			st->client_scale = options & SYN_STAMP_SCALE;
			st->promised_scale = options >> SYN_STAMP_PROMISED_SHIFT & 15;
		}
	}
}

/*
 * Does the segment acknowledge a cookie of ours? A probe of the window that we said to be 0 has
 * the number before (RFC 9293 3.8.6.1: Linux sends none that is new).
 */
static __always_inline enum syn_cookie_verdict syn_proxy_proves(const struct packet *p,
								const struct tcphdr *tcp,
								__u32 *isn)
{
	__u32 cookie = bpf_ntohl(tcp->ack_seq) - 1;
	enum syn_cookie_verdict verdict;

	*isn = bpf_ntohl(tcp->seq) - 1;
	verdict = syn_cookie_judge(p, *isn, cookie);
	if (verdict != SYN_COOKIE_UNKNOWN)
		return verdict;
	*isn += 1;
	return syn_cookie_judge(p, *isn, cookie);
}

/* A reset for who believes to have a connection, as many as errors may be sent. */
static __always_inline int syn_proxy_refuse(hook_ctx *ctx, struct packet *p)
{
	int why = reset_back(ctx, p);

	return why == XLVS_REASON_DROP_ANSWER_RATE ? XLVS_REASON_DROP_SYN_COOKIE : why;
}

/*
 * A TCP packet of no connection, for a service with SYN proxy. XLVS_REASON_NONE: it goes the
 * usual way, and opens a connection if p->proved.
 */
subprogram int syn_proxy_open(hook_ctx *ctx, struct packet *p, const struct xlvs_service *service,
			      __u32 id)
{
	enum syn_cookie_verdict verdict;
	struct tcp_segment *s;
	__u32 isn, flags;
	bool active;
	int why;

	if (!p || !service)
		return XLVS_REASON_DROP_INTERNAL;
	if (p->icmp_type)
		return XLVS_REASON_NONE;
	flags = p->tcp_flags & SYN_PROXY_FLAGS;
	active = service->flags & XLVS_SERVICE_SYN_COOKIES;
	if (flags & TCP_RST)
		return XLVS_REASON_NONE;
	/*
	 * Who may not come gets no cookie, and is no attack. What is limited, a client takes only
	 * when it has proved to be there: or a flood of SYNs would leave nothing of it.
	 */
	if (service->flags & XLVS_SERVICE_ADMISSION && (flags & TCP_SYN || active)) {
		why = admission_listed(p, id);
		if (why)
			return why;
	}
	if (flags & TCP_SYN) {
		syn_load_asked(id);
		if (!active)
			return XLVS_REASON_NONE;
		if (flags != TCP_SYN || p->fragment) {
			syn_load_odd(id);
			return XLVS_REASON_DROP_SYN_COOKIE; /* nothing that a client sends */
		}
		return syn_proxy_answer(ctx, p, service, id);
	}
	if (!(flags & TCP_ACK) || p->fragment)
		return XLVS_REASON_NONE;
	s = segment_read(ctx, p);
	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	verdict = syn_proxy_proves(p, &s->was.tcp, &isn);
	if (verdict != SYN_COOKIE_GOOD) {
		if (!active)
			return XLVS_REASON_NONE;
		syn_load_refused(id, verdict);
		return syn_proxy_refuse(ctx, p);
	}
	syn_proxy_learn(p, s, isn, bpf_ntohl(s->was.tcp.ack_seq) - 1);
	syn_load_there(id);
	p->proved = 1;
	p->tcp_flags = TCP_SYN; /* which it becomes */
	return XLVS_REASON_NONE;
}

/*
 * A client's packet of a connection that has a stream. A SYN may be a new beginning from the
 * same port: it is answered like any, its number noted; what proves it takes the connection's
 * place. So a forged SYN ends none. Returns XLVS_REASON_NONE, the packet's end, or
 * SYN_PROXY_ANEW: the connection is to be ended, and the packet opens another one.
 */
subprogram int syn_proxy_again(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *st;
	struct xlvs_destination *d;
	struct xlvs_service *service;
	struct tcphdr *tcp;
	__u32 seq, id;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	st = stream_get(p);
	d = destination_get(p->c.destination);
	if (!st || !d || p->fragment || !(st->syn & XLVS_STREAM_SYN_PROXY))
		return XLVS_REASON_NONE;
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	seq = bpf_ntohl(tcp->seq);
	if ((p->tcp_flags & SYN_PROXY_FLAGS) == TCP_SYN) {
		id = d->service;
		service = bpf_map_lookup_elem(&services, &id);
		if (!service || !(service->flags & XLVS_SERVICE_SYN_COOKIES))
			return XLVS_REASON_NONE;
		if (seq != st->client_isn) {
			WRITE_ONCE(st->again, seq);
			__sync_fetch_and_or(&st->syn, XLVS_STREAM_AGAIN);
		}
		return syn_proxy_answer(ctx, p, service, id);
	}
	if (likely(!(READ_ONCE(st->syn) & XLVS_STREAM_AGAIN)) ||
	    (p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK ||
	    (seq != st->again && seq != st->again + 1))
		return XLVS_REASON_NONE;
	return syn_cookie_judge(p, st->again, bpf_ntohl(tcp->ack_seq) - 1) == SYN_COOKIE_GOOD ?
		       SYN_PROXY_ANEW :
		       XLVS_REASON_NONE;
}

/*
 * A client's packet of a connection that a SYN opened and whose client is not known to be there.
 * To an attack it makes no difference that its SYNs come again from the same ports: they count,
 * and are answered as others. So returns what syn_proxy_again() does.
 */
subprogram int syn_proxy_half_open(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_destination *d;
	struct xlvs_service *service;
	struct tcphdr *tcp;
	__u32 flags, id, isn;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	d = destination_get(p->c.destination);
	if (!d || p->fragment)
		return XLVS_REASON_NONE;
	id = d->service;
	service = bpf_map_lookup_elem(&services, &id);
	if (!service || !(service->flags & XLVS_SERVICE_SYN_PROXY))
		return XLVS_REASON_NONE;
	flags = p->tcp_flags & SYN_PROXY_FLAGS;
	if (flags == TCP_SYN)
		syn_load_asked(id);
	if (!(service->flags & XLVS_SERVICE_SYN_COOKIES))
		return XLVS_REASON_NONE;
	if (flags == TCP_SYN)
		return syn_proxy_answer(ctx, p, service, id);
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	if ((flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK)
		return XLVS_REASON_NONE;
	/* Or it acknowledges its server's number. */
	return syn_proxy_proves(p, tcp, &isn) == SYN_COOKIE_GOOD ? SYN_PROXY_ANEW :
								   XLVS_REASON_NONE;
}

/* Is it a server's answer to the SYN that a client's acknowledgement became? */
static __noinline bool syn_proxy_has_answer(const struct packet *p)
{
	struct xlvs_stream *st;

	if (p->protocol != IPPROTO_TCP || p->fragment || p->icmp_type ||
	    (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != (TCP_SYN | TCP_ACK))
		return false;
	st = stream_get(p);
	return st && st->syn & XLVS_STREAM_SYN_PROXY;
}

/*
 * Whatever a client sends before its server has answered is the SYN, but for a reset: so the
 * connection is not established because the client believes it.
 */
static __noinline void syn_proxy_disguise(struct packet *p)
{
	struct xlvs_stream *st;

	if (p->protocol != IPPROTO_TCP || p->fragment || p->tcp_flags & TCP_RST)
		return;
	st = stream_get(p);
	if (st &&
	    (st->syn & (XLVS_STREAM_SYN_PROXY | XLVS_STREAM_ANSWERED)) == XLVS_STREAM_SYN_PROXY)
		p->tcp_flags = TCP_SYN;
}

/* Remembered until the server has answered, for the daemon to send the SYN again. */
static __noinline void syn_proxy_wait(const struct packet *p, const struct xlvs_stream *st)
{
	struct xlvs_tenant tenant = tenant_of(p->family != AF_INET, p->c.at, p->c.word);
	struct xlvs_settings *s = settings_get();
	struct xlvs_syn_pending pending = {
		.since = p->now,
		.destination = p->c.destination,
		.client_port = p->tuple.sport,
		.client = p->tuple.src,
		.to = p->to,
	};

	if (s && told_by_toa(p, st))
		pending.toa_kind = s->toa_kind;
	pending.to.protocol = IPPROTO_TCP;
	__builtin_memset(pending.to.pad, 0, sizeof(pending.to.pad));
	/* Without room the client's probes are left, if it has something to send. */
	bpf_map_update_elem(&syn_pending, &tenant, &pending, BPF_NOEXIST);
}

/* Nothing is waited for any more. */
static __noinline void syn_proxy_waited(const struct packet *p)
{
	struct xlvs_tenant tenant = tenant_of(p->family != AF_INET, p->c.at, p->c.word);

	bpf_map_delete_elem(&syn_pending, &tenant);
}

/* The packet becomes the SYN to the server: the first time, or because none has answered. */
static __noinline int syn_proxy_syn(hook_ctx *ctx, struct packet *p, const struct xlvs_stream *st)
{
	struct segment_offer offer = {
		.mss = st->mss,
		.stamps = st->syn & XLVS_STREAM_STAMPS,
		.stamp = st->stamp,
		.sack = st->syn & XLVS_STREAM_SACK,
		.scale = st->syn & XLVS_STREAM_SCALE ? st->client_scale : TCP_NO_SCALE,
	};
	struct tcp_segment *s = segment_get();

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	segment_begin(s, p->tuple.sport, p->tuple.dport, st->client_isn, 0,
		      syn_proxy_window(st->window, st->client_scale, 0));
	s->is.tcp.syn = 1;
	segment_offer(s, &offer);
	if (p->opened)
		syn_proxy_wait(p, st);
	return segment_put(ctx, p, 0) ? XLVS_REASON_DROP_HEADROOM : XLVS_REASON_NONE;
}

/* Writes the new header, which is as long as the old one, and behind its end the same. */
static __always_inline int syn_proxy_write(hook_ctx *ctx, struct packet *p, struct tcp_segment *s)
{
	__u32 sum = bpf_csum_diff((__be32 *)&s->was, TCP_HEADER_MAX, (__be32 *)&s->is,
				  TCP_HEADER_MAX, 0);

	if (hook_overwrite(ctx, p->l4, &s->is, tcp_header_length(s->length)) ||
	    hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0, sum, false))
		return XLVS_REASON_DROP_INTERNAL;
	return XLVS_REASON_NONE;
}

static __always_inline void syn_proxy_copy(struct tcp_segment *s)
{
	__builtin_memcpy(&s->is, &s->was, TCP_HEADER_MAX);
}

/* The client gives up. What it acknowledges the server has never sent, and would not believe. */
static __noinline int syn_proxy_give_up(hook_ctx *ctx, struct packet *p)
{
	struct tcp_segment *s = segment_read(ctx, p);

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	syn_proxy_copy(s);
	s->is.tcp.ack = 0;
	s->is.tcp.ack_seq = 0;
	syn_proxy_waited(p);
	return syn_proxy_write(ctx, p, s);
}

/* A client's segment, in the server's numbers. */
static __noinline int syn_proxy_in(hook_ctx *ctx, struct packet *p, const struct xlvs_stream *st)
{
	struct tcp_segment *s = segment_read(ctx, p);
	__u32 flags = st->syn;

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	syn_proxy_copy(s);
	if (p->tcp_flags & TCP_ACK) {
		s->is.tcp.ack_seq = bpf_htonl(bpf_ntohl(s->was.tcp.ack_seq) - st->delta);
		if (s->stamps_at && flags & XLVS_STREAM_SERVER_STAMPS)
			option_set_number(&s->is, s->stamps_at - 1 + 6,
					  segment_echo(s) - st->stamp_delta);
#pragma unroll
		for (__u32 i = 0; i < TCP_SACK_BLOCKS; i++) {
			__u32 at = s->sack_at - 1 + 2 + i * TCP_OPTION_SACK_BLOCK;

			if (i >= s->sack_blocks)
				break;
			option_set_number(&s->is, at, option_number(&s->was, at) - st->delta);
			option_set_number(&s->is, at + 4,
					  option_number(&s->was, at + 4) - st->delta);
		}
	}
	/* A server without window scale takes the number as it is. */
	if (flags & XLVS_STREAM_SCALE && !(flags & XLVS_STREAM_SERVER_SCALE) &&
	    !(p->tcp_flags & TCP_SYN))
		s->is.tcp.window = bpf_htons(
			syn_proxy_window(bpf_ntohs(s->was.tcp.window), st->client_scale, 0));
	return syn_proxy_write(ctx, p, s);
}

/* A server's segment, in the numbers that the client was told. */
static __noinline int syn_proxy_out(hook_ctx *ctx, struct packet *p, const struct xlvs_stream *st)
{
	struct tcp_segment *s = segment_read(ctx, p);
	__u32 flags = st->syn;

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	syn_proxy_copy(s);
	s->is.tcp.seq = bpf_htonl(bpf_ntohl(s->was.tcp.seq) + st->delta);
	if (s->stamps_at && flags & XLVS_STREAM_SERVER_STAMPS)
		option_set_number(&s->is, s->stamps_at - 1 + 2, segment_stamp(s) + st->stamp_delta);
	s->is.tcp.window = bpf_htons(syn_proxy_window(bpf_ntohs(s->was.tcp.window),
						      st->server_scale, st->promised_scale));
	return syn_proxy_write(ctx, p, s);
}

/* The server's reset, with the number that the client waits for: RFC 5961 3.2 takes no other. */
static __noinline int syn_proxy_refused(hook_ctx *ctx, struct packet *p,
					const struct xlvs_stream *st)
{
	struct tcp_segment *s = segment_read(ctx, p);

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	syn_proxy_copy(s);
	s->is.tcp.seq = bpf_htonl(st->cookie + 1);
	syn_proxy_waited(p);
	return syn_proxy_write(ctx, p, s);
}

/*
 * A server's packet before it is counted. Of one that has not answered the SYN a reset is the
 * client's, and anything else is of a connection of these ports from before, which has to end:
 * the next SYN is new to it. XLVS_REASON_NONE: it goes on.
 */
static __noinline int syn_proxy_unanswered(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *st;

	if (p->protocol != IPPROTO_TCP || p->fragment)
		return XLVS_REASON_NONE;
	if (syn_proxy_has_answer(p)) {
#ifdef HOOK_XDP
		return XLVS_REASON_PASS_SYN_ACK;
#else
		return XLVS_REASON_NONE;
#endif
	}
	st = stream_get(p);
	if (!st || p->tcp_flags & TCP_RST ||
	    (st->syn & (XLVS_STREAM_SYN_PROXY | XLVS_STREAM_ANSWERED)) != XLVS_STREAM_SYN_PROXY)
		return XLVS_REASON_NONE;
	return reset_back(ctx, p);
}

/* An ICMP error of the client's side quotes an answer: with the number that the server sent. */
static __noinline int syn_proxy_quoted(hook_ctx *ctx, struct packet *p)
{
	__u32 at = p->quoted_l4 + offsetof(struct tcphdr, seq);
	struct xlvs_stream *st;
	__be32 was, is;

	if (p->tuple.protocol != IPPROTO_TCP || !p->quoted_l4)
		return 0;
	st = stream_get(p);
	if (!st || !(st->syn & XLVS_STREAM_ANSWERED) || hook_load(ctx, at, &was, sizeof(was)))
		return 0;
	is = bpf_htonl(bpf_ntohl(was) - st->delta);
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct icmp_header, checksum), 0,
				 sum_replace32(0, was, is), false))
		return -1;
	return hook_overwrite(ctx, at, &is, sizeof(is));
}

/* A client's packet on its way to the server; p->to is filled. */
static __always_inline int syn_proxy_to_server(hook_ctx *ctx, struct packet *p,
					       const struct xlvs_stream *st)
{
	if (likely(READ_ONCE(st->syn) & XLVS_STREAM_ANSWERED))
		return syn_proxy_in(ctx, p, st);
	return p->tcp_flags & TCP_RST ? syn_proxy_give_up(ctx, p) : syn_proxy_syn(ctx, p, st);
}

#ifdef HOOK_TC
/* What the server's SYN-ACK says to what it was asked for, for the daemon. */
static __noinline void syn_proxy_note(const struct packet *p, const struct xlvs_stream *st,
				      const struct tcp_segment *s)
{
	__u32 destination = p->c.destination, was, is, asked = 0xffff, says = s->mss;
	struct xlvs_destination_load *load = bpf_map_lookup_elem(&destination_load, &destination);

	if (!load)
		return;
	if (st->syn & XLVS_STREAM_STAMPS) {
		asked |= XLVS_SYN_SAYS_NO_STAMPS;
		says |= s->stamps_at ? 0 : XLVS_SYN_SAYS_NO_STAMPS;
	}
	if (st->syn & XLVS_STREAM_SACK) {
		asked |= XLVS_SYN_SAYS_NO_SACK;
		says |= s->sack_permitted ? 0 : XLVS_SYN_SAYS_NO_SACK;
	}
	if (st->syn & XLVS_STREAM_SCALE) {
		asked |= XLVS_SYN_SAYS_NO_SCALE | XLVS_SYN_SAYS_SCALE | XLVS_SYN_SAYS_SCALE_BITS;
		says |= s->scale == TCP_NO_SCALE ?
				XLVS_SYN_SAYS_NO_SCALE :
				XLVS_SYN_SAYS_SCALE | (s->scale & 15) << XLVS_SYN_SAYS_SCALE_SHIFT;
	}
	was = READ_ONCE(load->syn_says);
	is = (was & ~asked) | says;
	if (says & XLVS_SYN_SAYS_NO)
		WRITE_ONCE(load->syn_refused_at, p->now);
	/* Not again and again: other CPUs count connections in the same line. */
	if (was != is)
		WRITE_ONCE(load->syn_says, is);
}

/* What the server's SYN-ACK says, into the stream: the numbers first, then that they are there. */
static __always_inline void syn_proxy_adopt(const struct packet *p, struct xlvs_stream *st,
					    const struct tcp_segment *s)
{
	__u32 flags = XLVS_STREAM_ANSWERED;

	WRITE_ONCE(st->delta, st->cookie - bpf_ntohl(s->was.tcp.seq));
	if (s->stamps_at && st->syn & XLVS_STREAM_STAMPS) {
		WRITE_ONCE(st->stamp_delta, st->promised_stamp - segment_stamp(s));
		flags |= XLVS_STREAM_SERVER_STAMPS;
	}
	if (s->scale != TCP_NO_SCALE && st->syn & XLVS_STREAM_SCALE) {
		WRITE_ONCE(st->server_scale, s->scale);
		flags |= XLVS_STREAM_SERVER_SCALE;
	}
	__sync_fetch_and_or(&st->syn, flags);
	sync_tell_stream(p);
}

/* A server's packet is described as the client's that answers it would be; twice: as it was. */
static __always_inline void syn_proxy_turn(struct packet *p)
{
	const struct xlvs_tuple was = p->tuple;

	p->tuple.src = p->to.dst;
	p->tuple.dst = p->to.src;
	p->tuple.sport = p->to.dport;
	p->tuple.dport = p->to.sport;
	p->to.src = was.dst;
	p->to.dst = was.src;
	p->to.sport = was.dport;
	p->to.dport = was.sport;
}

/* The acknowledgement that the director sends to the server in its client's name. */
static __always_inline int syn_proxy_tell(hook_ctx *ctx, struct packet *p, struct xlvs_stream *st)
{
	int why;

	if (!(st->flags & (XLVS_SERVICE_TOA | SERVICE_PROXY)))
		return XLVS_REASON_NONE;
	p->tcp_flags = TCP_ACK;
	syn_proxy_turn(p);
	why = told_to_server(ctx, p, st);
	syn_proxy_turn(p);
	p->tcp_flags = TCP_SYN | TCP_ACK;
	return why;
}

/*
 * The server's SYN-ACK: the acknowledgement goes back to the server, and the packet becomes
 * what opens the window that was told to the client as 0. One that comes again, for one of
 * the two was lost, does both again.
 */
static __noinline int syn_proxy_answered(hook_ctx *ctx, struct packet *p, struct xlvs_stream *st)
{
	struct tcp_segment *s = segment_read(ctx, p);
	struct xlvs_next_hop to_client = p->next_hop;
	struct packet_wire wire = p->wire;
	__u32 isn, window, stamp, echo;
	int why;

	if (!s)
		return XLVS_REASON_DROP_INTERNAL;
	isn = bpf_ntohl(s->was.tcp.seq);
	if (!(st->syn & XLVS_STREAM_ANSWERED) || word_state(p->c.word) == XLVS_STATE_SYN_RECV) {
		syn_proxy_adopt(p, st, s);
		syn_proxy_note(p, st, s);
	} else if (st->delta != st->cookie - isn) {
		return XLVS_REASON_DROP_SYN_COOKIE; /* another handshake's */
	}
	syn_proxy_waited(p);
	window = bpf_ntohs(s->was.tcp.window);
	stamp = segment_stamp(s);
	echo = segment_echo(s);
	segment_begin(s, p->tuple.dport, p->tuple.sport, st->client_isn + 1, isn + 1, st->window);
	s->is.tcp.ack = 1;
	if (st->syn & XLVS_STREAM_SCALE && !(st->syn & XLVS_STREAM_SERVER_SCALE))
		s->is.tcp.window = bpf_htons(syn_proxy_window(st->window, st->client_scale, 0));
	if (st->syn & XLVS_STREAM_SERVER_STAMPS)
		segment_stamps(s, st->stamp, stamp);
	if (segment_back(ctx, p))
		return XLVS_REASON_DROP_HEADROOM;
	why = syn_proxy_tell(ctx, p, st);
	if (why)
		return why;
	/* Lost on its way out: the server sends its SYN-ACK again. */
	hook_send_copy(ctx, p->next_hop.ifindex, p->from_director);

	segment_begin(s, p->tuple.sport, p->tuple.dport, st->cookie + 1, st->client_isn + 1,
		      syn_proxy_window(window, 0, st->promised_scale));
	s->is.tcp.ack = 1;
	if (st->syn & XLVS_STREAM_SERVER_STAMPS)
		segment_stamps(s, stamp + st->stamp_delta, echo);
	if (segment_put(ctx, p, 0))
		return XLVS_REASON_DROP_HEADROOM;
	/* The stack that sent it has written where it goes. */
	if (p->from_director && segment_reverse(ctx, p))
		return XLVS_REASON_DROP_HEADROOM;
	p->next_hop = to_client;
	p->wire = wire;
	return XLVS_REASON_NONE;
}
#endif

/* A server's packet on its way to the client. */
static __always_inline int syn_proxy_to_client(hook_ctx *ctx, struct packet *p,
					       struct xlvs_stream *st)
{
#ifdef HOOK_TC
	if ((p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK))
		return syn_proxy_answered(ctx, p, st);
#endif
	if (likely(READ_ONCE(st->syn) & XLVS_STREAM_ANSWERED))
		return syn_proxy_out(ctx, p, st);
	return syn_proxy_refused(ctx, p, st);
}

#endif
