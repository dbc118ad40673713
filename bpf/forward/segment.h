/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet becomes another TCP segment of its connection: without payload, made by us. */
#ifndef XLVS_SEGMENT_H
#define XLVS_SEGMENT_H

#include "forward/wire_sum.h"
#include "lib/tcp_segment.h"

/* As hosts send them: Linux's net.ipv4.ip_default_ttl. */
#define SEGMENT_TTL 64

/* The options of a SYN. */
struct segment_offer {
	__u32 mss;
	__u32 stamps; /* 0: neither these nor what follows */
	__u32 stamp;
	__u32 echo;
	__u32 sack;
	__u32 scale; /* TCP_NO_SCALE: none */
};

static __always_inline void segment_begin(struct tcp_segment *s, __be16 source, __be16 dest,
					  __u32 seq, __u32 ack, __u16 window)
{
	s->is.tcp = (struct tcphdr){
		.source = source,
		.dest = dest,
		.seq = bpf_htonl(seq),
		.ack_seq = bpf_htonl(ack),
		.doff = sizeof(struct tcphdr) / 4,
		.window = bpf_htons(window),
	};
	__builtin_memset(s->is.options, 0, TCP_HEADER_MAX - sizeof(struct tcphdr));
}

/* The options of a SYN into the new header, as Linux orders them. */
static __always_inline void segment_offer(struct tcp_segment *s, const struct segment_offer *o)
{
	__be32 *word = (__be32 *)s->is.options;

	word[0] = bpf_htonl(TCP_OPTION_MSS << 24 | TCP_OPTION_MSS_LENGTH << 16 | o->mss);
	s->is.tcp.doff += 1;
	if (!o->stamps)
		return;
	word[1] = o->sack ? TCP_STAMPS_SACK : TCP_STAMPS_ALIGNED;
	word[2] = bpf_htonl(o->stamp);
	word[3] = bpf_htonl(o->echo);
	s->is.tcp.doff += 3;
	if (o->scale == TCP_NO_SCALE)
		return;
	word[4] = bpf_htonl(TCP_OPTION_NOP << 24 | TCP_OPTION_SCALE << 16 |
			    TCP_OPTION_SCALE_LENGTH << 8 | o->scale);
	s->is.tcp.doff += 1;
}

/* Time stamps alone, of any segment but a SYN. */
static __always_inline void segment_stamps(struct tcp_segment *s, __u32 stamp, __u32 echo)
{
	__be32 *word = (__be32 *)s->is.options;

	word[0] = TCP_STAMPS_ALIGNED;
	word[1] = bpf_htonl(stamp);
	word[2] = bpf_htonl(echo);
	s->is.tcp.doff += TCP_STAMPS_ALIGNED_LENGTH / 4;
}

/*
 * Gives the packet the new header and nothing behind it. `back`: it goes from its destination
 * to its source, with a TTL of its own. Its own addresses must be in the IP header or exchanged.
 */
subprogram int segment_put(hook_ctx *ctx, struct packet *p, __u32 back)
{
	struct tcp_segment *s = segment_get();
	struct tcphdr *was;
	__u32 headers, length, ttl;
	__u16 seed, sum;
	bool partial;

	if (!p || !s)
		return -1;
	was = view(ctx, p->l4, struct tcphdr);
	if (!was)
		return -1;
	headers = p->l4 - p->l3;
	length = s->is.tcp.doff * 4;
	opaque(length);
	if (length < sizeof(struct tcphdr) || length > TCP_HEADER_MAX)
		return -1;
	/* As in wire_sum(): what the device completes needs the seed only. */
	seed = sum_fold16(wire_pseudo(p, p->length - headers));
	partial = hook_checksum_partial(ctx, seed, was->check);
	sum = sum_fold16(wire_pseudo(p, length));
	/* What is behind its end is 0, and adds nothing. */
	s->is.tcp.check = partial ?
				  sum :
				  (__u16)~sum_fold16((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&s->is,
									  TCP_HEADER_MAX, sum));
	if (hook_resize(ctx, p->l4 + length))
		return -1;
	ttl = back ? SEGMENT_TTL : p->ttl;
	if (p->family == AF_INET) {
		struct iphdr *ip = view(ctx, p->l3, struct iphdr);
		__be16 total = bpf_htons(headers + length);
		sum_t diff = 0;

		if (!ip)
			return -1;
		diff = sum_replace16(diff, ip->tot_len, total);
		diff = sum_replace16(diff, bpf_htons(ip->ttl << 8), bpf_htons(ttl << 8));
		ip->tot_len = total;
		ip->ttl = ttl;
		ip->saddr = back ? p->tuple.dst.word[3] : p->tuple.src.word[3];
		ip->daddr = back ? p->tuple.src.word[3] : p->tuple.dst.word[3];
		ip->check = checksum_update(ip->check, diff);
	} else {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);

		if (!ip)
			return -1;
		ip->payload_len = bpf_htons(headers - sizeof(*ip) + length);
		ip->hop_limit = ttl;
		__builtin_memcpy(&ip->saddr, back ? &p->tuple.dst : &p->tuple.src,
				 sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, back ? &p->tuple.src : &p->tuple.dst,
				 sizeof(ip->daddr));
	}
	if (hook_store(ctx, p->l4, &s->is, tcp_header_length(length)))
		return -1;
	p->length = headers + length;
	p->wire = (struct packet_wire){ .packets = 1, .bytes = p->length, .segment = p->length };
	return 0;
}

/* The frame is for the station that sent it. */
static __always_inline int segment_reverse(hook_ctx *ctx, struct packet *p)
{
	__u32 headers = p->l4 - p->l3;

	if (hook_turn_around(ctx, p) ||
	    hook_reframe(ctx, p, 0,
			 p->family == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return -1;
	p->l4 = p->l3 + headers;
	return 0;
}

/* Back to the station that sent the frame. */
subprogram int segment_back(hook_ctx *ctx, struct packet *p)
{
	if (!p || segment_reverse(ctx, p))
		return -1;
	return segment_put(ctx, p, 1);
}

#endif
