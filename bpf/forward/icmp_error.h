/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors that the data plane makes: the packet is cut to what the error
 * quotes, and an IP and an ICMP header go in front (RFC 792, RFC 1812 4.3.2.3,
 * RFC 4443 2.4). The source is the address that the client spoke to.
 */
#ifndef XLVS_ICMP_ERROR_H
#define XLVS_ICMP_ERROR_H

#include "answer_rate.h"
#include "forward/next_hop.h"
#include "forward/rewrite.h"
#include "forward/wire_sum.h"

/* The whole error may have 576 bytes (IPv4) or the minimum MTU of 1280 (IPv6). */
#define QUOTE_MAX_V4 (576 - (int)sizeof(struct iphdr) - (int)sizeof(struct icmp_header))
#define QUOTE_MAX_V6 (1280 - (int)sizeof(struct ipv6hdr) - (int)sizeof(struct icmp_header))

/* p->tuple is the quoted packet's: the error goes from its destination to its source. */
struct icmp_error {
	__u32 quote_at;     /* offset of the quoted IP header */
	__u32 quote_length; /* its IP bytes */
	__u32 routed;       /* 1: to p->next_hop; 0: back to the station that sent the frame */
	__be32 rest;
	__u8 type;
	__u8 code;
	__u8 own; /* 1: from p->to.src instead: to a real server, in our own name */
	__u8 pad;
};

/* Turns the frame into the error. Returns a reason: `done`, or why not. */
subprogram int icmp_error_make(hook_ctx *ctx, struct packet *p, struct icmp_error *e, __u32 done)
{
	struct icmp_header icmp = {};
	__u32 quoted, sum = 0, headers;
	int room;
	bool v4;

	if (!p || !e)
		return XLVS_REASON_DROP_INTERNAL;
	if (!answer_allowed())
		return XLVS_REASON_DROP_ANSWER_RATE;
	v4 = p->family == AF_INET;
	quoted = e->quote_length;
	icmp.type = e->type;
	icmp.code = e->code;
	icmp.rest = e->rest;
	if (quoted > (v4 ? QUOTE_MAX_V4 : QUOTE_MAX_V6))
		quoted = v4 ? QUOTE_MAX_V4 : QUOTE_MAX_V6;
	if (wire_sum(ctx, p, e->quote_at, quoted, &sum))
		return XLVS_REASON_DROP_HEADROOM;
	/* From here on the tuple is the answer's, reversed. */
	if (e->own)
		p->tuple.dst = p->to.src;
	if (hook_trim(ctx, e->quote_at + quoted))
		return XLVS_REASON_DROP_HEADROOM;
	if (!e->routed && hook_turn_around(ctx, p))
		return XLVS_REASON_DROP_HEADROOM;
	headers = sizeof(icmp) + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	room = (int)headers - (int)(e->quote_at - p->l3);
	if (hook_reframe(ctx, p, room, v4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return XLVS_REASON_DROP_HEADROOM;

	if (v4) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tos = 0xc0, /* RFC 1812 4.3.2.5: internetwork control */
			.tot_len = bpf_htons(headers + quoted),
			.id = bpf_get_prandom_u32(),
			.ttl = 64,
			.protocol = IPPROTO_ICMP,
			.saddr = p->tuple.dst.word[3],
			.daddr = p->tuple.src.word[3],
		};

		ip.check = checksum_of_ipv4_header(&ip);
		if (hook_store(ctx, p->l3, &ip, sizeof(ip)))
			return XLVS_REASON_DROP_HEADROOM;
		p->l4 = p->l3 + sizeof(ip);
	} else {
		struct ipv6hdr ip = {
			.version = 6,
			.payload_len = bpf_htons(sizeof(icmp) + quoted),
			.nexthdr = IPPROTO_ICMPV6,
			.hop_limit = 64,
		};

		__builtin_memcpy(&ip.saddr, &p->tuple.dst, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &p->tuple.src, sizeof(ip.daddr));
		if (hook_store(ctx, p->l3, &ip, sizeof(ip)))
			return XLVS_REASON_DROP_HEADROOM;
		p->l4 = p->l3 + sizeof(ip);
		sum = sum_fold32((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&p->tuple,
						      2 * sizeof(struct xlvs_addr), sum) +
				 (sum_t)bpf_htons(IPPROTO_ICMPV6) +
				 bpf_htonl(sizeof(icmp) + quoted));
	}
	icmp.checksum = ~sum_fold16((sum_t)sum + *(__u16 *)&icmp + (icmp.rest & 0xffff) +
				    (icmp.rest >> 16));
	if (hook_store(ctx, p->l4, &icmp, sizeof(icmp)))
		return XLVS_REASON_DROP_HEADROOM;
	return done;
}

/* The error about the packet itself, back to where it came from. */
static __always_inline int icmp_error_back(hook_ctx *ctx, struct packet *p, __u8 type, __u8 code,
					   __u32 rest, enum xlvs_reason done)
{
	struct icmp_error e = {
		.quote_at = p->l3,
		.quote_length = p->length,
		.rest = bpf_htonl(rest),
		.type = type,
		.code = code,
	};

	return icmp_error_make(ctx, p, &e, done);
}

static __always_inline int icmp_error_ttl(hook_ctx *ctx, struct packet *p)
{
	return icmp_error_back(ctx, p,
			       p->family == AF_INET ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED, 0, 0,
			       XLVS_REASON_REPLY_TTL_EXCEEDED);
}

/* RFC 1191, RFC 8201. */
static __always_inline int icmp_error_too_big(hook_ctx *ctx, struct packet *p, __u32 mtu)
{
	bool v4 = p->family == AF_INET;

	return icmp_error_back(ctx, p, v4 ? ICMP_DEST_UNREACH : ICMPV6_PKT_TOOBIG,
			       v4 ? ICMP_FRAG_NEEDED : 0, mtu, XLVS_REASON_REPLY_TOO_BIG);
}

static __always_inline int icmp_error_no_destination(hook_ctx *ctx, struct packet *p)
{
	bool v4 = p->family == AF_INET;

	return icmp_error_back(ctx, p, v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH,
			       v4 ? ICMP_PORT_UNREACH : ICMPV6_PORT_UNREACH, 0,
			       XLVS_REASON_REPLY_NO_DESTINATION);
}

#endif
