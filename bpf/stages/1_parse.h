/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 1: what is this packet? Fills struct packet, or says why the packet is
 * none of our business. Nothing is written to the frame.
 */
#ifndef XLVS_PARSE_H
#define XLVS_PARSE_H

#include "lib/checksum.h"
#include "packet.h"
#include "table.h"

#define IPV6_EXTENSIONS_MAX 6

struct ip_view {
	struct xlvs_addr src, dst;
	__u32 length;
	__u16 l4;
	__u8 protocol;
	__u8 ttl;
	__u8 tos;
	__u8 dont_fragment;
	__u8 fragment;     /* enum packet_fragment */
	__u16 fragment_at; /* byte of the whole packet's payload */
	__u32 fragment_id;
};

static __always_inline enum xlvs_reason parse_ipv4(hook_ctx *ctx, __u32 l3, struct ip_view *v)
{
	struct iphdr *ip = view(ctx, l3, struct iphdr);
	__u32 header;

	if (!ip || ip->version != 4)
		return XLVS_REASON_PASS_MALFORMED;
	header = ip->ihl * 4;
	v->length = bpf_ntohs(ip->tot_len);
	if (header < sizeof(*ip) || v->length < header)
		return XLVS_REASON_PASS_MALFORMED;
	address_from_v4(&v->src, ip->saddr);
	address_from_v4(&v->dst, ip->daddr);
	v->l4 = l3 + header;
	v->protocol = ip->protocol;
	v->ttl = ip->ttl;
	v->tos = ip->tos;
	v->dont_fragment = !!(ip->frag_off & bpf_htons(IPV4_DF));
	if (unlikely(ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK))) {
		v->fragment_at = (bpf_ntohs(ip->frag_off) & IPV4_FRAGMENT_OFFSET) * 8;
		v->fragment = v->fragment_at ? FRAGMENT_LATER : FRAGMENT_FIRST;
		v->fragment_id = ip->id;
	}
	return XLVS_REASON_NONE;
}

/* RFC 8200 4.5. */
struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* in bytes, and whether more follow */
	__be32 id;
};

#define FRAGMENT_OFFSET 0xfff8
#define FRAGMENT_MORE 1

static __always_inline bool parse_is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING ||
	       next == IPPROTO_AH;
}

/*
 * RFC 8200 4.1: hop-by-hop, routing and destination options are walked, and AH (RFC 4302
 * 3.1.1): beneath IPVS too it is followed only where nothing tells more, in IPv4.
 */
static __always_inline enum xlvs_reason parse_ipv6(hook_ctx *ctx, __u32 l3, struct ip_view *v)
{
	struct ipv6hdr *ip = view(ctx, l3, struct ipv6hdr);
	__u32 l4 = l3 + sizeof(*ip);
	__u8 next;

	if (!ip || ip->version != 6)
		return XLVS_REASON_PASS_MALFORMED;
	address_from_v6(&v->src, &ip->saddr);
	address_from_v6(&v->dst, &ip->daddr);
	v->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	v->ttl = ip->hop_limit;
	v->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	v->dont_fragment = 1;
	next = ip->nexthdr;
#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		struct ipv6_opt_hdr *option;

		if (next == IPPROTO_FRAGMENT) {
			struct fragment_header *f = view(ctx, l4, struct fragment_header);

			if (!f || v->fragment)
				return XLVS_REASON_PASS_FRAGMENT;
			next = f->next;
			l4 += sizeof(*f);
			v->fragment_id = f->id;
			v->fragment_at = bpf_ntohs(f->offset) & FRAGMENT_OFFSET;
			if (v->fragment_at) {
				v->fragment = FRAGMENT_LATER;
				break;
			}
			/* RFC 6946: one that is the whole packet is none. */
			if (f->offset & bpf_htons(FRAGMENT_MORE))
				v->fragment = FRAGMENT_FIRST;
			continue;
		}
		if (!parse_is_extension(next))
			break;
		option = view(ctx, l4, struct ipv6_opt_hdr);
		if (!option)
			return XLVS_REASON_PASS_EXTENSION_HEADERS;
		/* An AH's length is in words of four bytes, less two of them. */
		l4 += next == IPPROTO_AH ? (option->hdrlen + 2) * 4 : (option->hdrlen + 1) * 8;
		next = option->nexthdr;
	}
	if ((parse_is_extension(next) && v->fragment != FRAGMENT_LATER) ||
	    l4 > PACKET_HEADERS_MAX - sizeof(struct tcphdr))
		return XLVS_REASON_PASS_EXTENSION_HEADERS;
	if (l4 - l3 > v->length)
		return XLVS_REASON_PASS_MALFORMED;
	v->l4 = l4;
	v->protocol = next;
	return XLVS_REASON_NONE;
}

static __always_inline enum xlvs_reason parse_ip(hook_ctx *ctx, __u8 family, __u32 l3,
						 struct ip_view *v)
{
	return family == AF_INET ? parse_ipv4(ctx, l3, v) : parse_ipv6(ctx, l3, v);
}

/*
 * AH and ESP (RFC 4302, 4303) open no connection: they follow the one that their keys were
 * exchanged over, between the same addresses (RFC 7296: UDP port 500 on both sides).
 */
#define PORT_KEY_EXCHANGE 500

static __always_inline bool parse_follows(__u8 protocol)
{
	return protocol == IPPROTO_AH || protocol == IPPROTO_ESP;
}

static __always_inline void parse_key_exchange(struct packet *p)
{
	p->tuple.protocol = IPPROTO_UDP;
	p->tuple.sport = bpf_htons(PORT_KEY_EXCHANGE);
	p->tuple.dport = bpf_htons(PORT_KEY_EXCHANGE);
}

/* RFC 9260 3.2. `length` counts these four bytes, not the padding behind the chunk. */
struct chunk_header {
	__u8 type;
	__u8 flags;
	__be16 length;
};

#define CHUNK_TYPE_INIT 1
#define CHUNK_TYPE_ABORT 6
#define CHUNK_TYPE_COOKIE_ECHO 10
#define CHUNK_TYPE_COOKIE_ACK 11
#define CHUNK_TYPES 15

constant_table __u8 parse_chunk_types[16] = {
	[CHUNK_TYPE_INIT] = CHUNK_INIT,
	[2] = CHUNK_INIT_ACK,
	[CHUNK_TYPE_ABORT] = CHUNK_ABORT,
	[7] = CHUNK_SHUTDOWN,
	[8] = CHUNK_SHUTDOWN_ACK,
	[9] = CHUNK_ERROR,
	[CHUNK_TYPE_COOKIE_ECHO] = CHUNK_COOKIE_ECHO,
	[CHUNK_TYPE_COOKIE_ACK] = CHUNK_COOKIE_ACK,
	[14] = CHUNK_SHUTDOWN_COMPLETE,
};

/*
 * The first chunk says what a packet is, but for an ABORT next to a cookie's chunk: so
 * does IPVS. An INIT may not be bundled (RFC 9260 6.10).
 */
static __noinline void parse_chunks(hook_ctx *ctx, struct packet *p, __u32 at, __u32 end)
{
	struct chunk_header chunk;
	__u32 length;

	p->sctp_chunk = CHUNK_MAX;
	p->tcp_flags = TCP_RST;
	if (at + sizeof(chunk) > end || hook_load(ctx, at, &chunk, sizeof(chunk)))
		return;
	p->sctp_chunk = chunk.type < CHUNK_TYPES ? parse_chunk_types[chunk.type & 15] : CHUNK_DATA;
	p->tcp_flags = chunk.type == CHUNK_TYPE_INIT  ? TCP_SYN :
		       chunk.type == CHUNK_TYPE_ABORT ? TCP_RST :
							0;
	length = bpf_ntohs(chunk.length);
	if ((chunk.type != CHUNK_TYPE_COOKIE_ECHO && chunk.type != CHUNK_TYPE_COOKIE_ACK) ||
	    length < sizeof(chunk))
		return;
	at += (length + 3) & ~3u;
	if (at + sizeof(chunk) <= end && !hook_load(ctx, at, &chunk, sizeof(chunk)) &&
	    chunk.type == CHUNK_TYPE_ABORT)
		p->sctp_chunk = CHUNK_ABORT;
}

/*
 * An ICMP error about a packet: the tuple becomes the quoted packet's reversed,
 * which is the key of the connection in the direction that answers it.
 */
static __noinline enum xlvs_reason parse_icmp(hook_ctx *ctx, struct packet *p)
{
	struct icmp_header *icmp = view(ctx, p->l4, struct icmp_header);
	struct port_pair *ports;
	struct ip_view v = {};
	enum xlvs_reason why;
	bool error;

	if (!icmp)
		return XLVS_REASON_PASS_MALFORMED;
	if (p->family == AF_INET)
		/* IPVS leaves parameter problem to the stack. */
		error = icmp->type == ICMP_DEST_UNREACH || icmp->type == ICMP_TIME_EXCEEDED ||
			icmp->type == ICMP_SOURCE_QUENCH;
	else /* RFC 4443: errors are 1..127; 1..4 are defined */
		error = icmp->type >= ICMPV6_DEST_UNREACH && icmp->type <= ICMPV6_PARAMPROB;
	if (!error)
		return XLVS_REASON_PASS_ICMP;
	p->icmp_type = icmp->type;
	p->quoted_l3 = p->l4 + sizeof(*icmp);
	why = parse_ip(ctx, p->family, p->quoted_l3, &v);
	if (why)
		return why == XLVS_REASON_PASS_FRAGMENT ? why : XLVS_REASON_PASS_ICMP;
	if (v.fragment == FRAGMENT_LATER)
		return XLVS_REASON_PASS_FRAGMENT;
	p->quoted_l4 = v.l4;
	p->tuple.protocol = v.protocol;
	p->tuple.src = v.dst;
	p->tuple.dst = v.src;
	if (parse_follows(v.protocol)) {
		parse_key_exchange(p);
		p->quoted_l4 = 0; /* there are no ports */
		return XLVS_REASON_NONE;
	}
	if (v.protocol != IPPROTO_TCP && v.protocol != IPPROTO_UDP && v.protocol != IPPROTO_SCTP)
		return XLVS_REASON_NONE; /* perhaps about a tunnel packet */
	ports = view(ctx, v.l4, struct port_pair);
	if (!ports)
		return XLVS_REASON_PASS_ICMP;
	p->tuple.sport = ports->dest;
	p->tuple.dport = ports->source;
	return XLVS_REASON_NONE;
}

/* 15 words, as many as IHL can say, of which the header has `header` bytes. */
static __noinline bool parse_ipv4_sum_of_options(hook_ctx *ctx, __u32 l3, __u32 header)
{
	__u8 bytes[60] = {};

	opaque(header);
	if (header < sizeof(struct iphdr) || header > sizeof(bytes) ||
	    hook_load(ctx, l3, bytes, header))
		return false;
	return sum_fold16((__u32)bpf_csum_diff(NULL, 0, (__be32 *)bytes, sizeof(bytes), 0)) ==
	       0xffff;
}

/*
 * Is the header's own checksum right? The stack would drop a wrong one before IPVS
 * saw it; we would send it on, wrong, in the director's name.
 */
static __always_inline bool parse_ipv4_sum(hook_ctx *ctx, __u32 l3, __u32 header)
{
	struct iphdr *ip = view(ctx, l3, struct iphdr);

	if (!ip)
		return false;
	if (unlikely(header != sizeof(*ip)))
		return parse_ipv4_sum_of_options(ctx, l3, header);
	return checksum_of_ipv4_header(ip) == 0;
}

/*
 * A fragment without ports. It may not change what the first one's look was at (RFC 1858
 * 3.2; its tiny first fragments are not looked at either).
 */
static __always_inline enum xlvs_reason parse_later(hook_ctx *ctx, struct packet *p,
						    const struct ip_view *v)
{
	p->wire = hook_measure(ctx, p->length, v->l4 - p->l3);
	if (parse_follows(v->protocol)) {
		parse_key_exchange(p);
		p->fragment = FRAGMENT_NOT;
		return XLVS_REASON_NONE;
	}
	if (v->protocol == IPPROTO_TCP && v->fragment_at < sizeof(struct tcphdr))
		return XLVS_REASON_PASS_FRAGMENT;
	if (p->family == AF_INET)
		p->dont_fragment = 0; /* too late to tell the sender: RFC 1122 3.2.2 */
	return XLVS_REASON_NONE;
}

/* A subprogram, so that its scratch space does not lie under every other frame. */
subprogram int parse(hook_ctx *ctx, struct packet *p)
{
	struct ip_view v = {};
	enum xlvs_reason why;
	__be16 ethertype;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	ethertype = hook_link_layer(ctx, p);
	if (ethertype == bpf_htons(ETH_P_IP))
		p->family = AF_INET;
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		p->family = AF_INET6;
	else
		return XLVS_REASON_PASS_NOT_IP;
	hook_pull(ctx, p->l3 + sizeof(struct ipv6hdr) + sizeof(struct fragment_header) +
			       sizeof(struct tcphdr));
	why = parse_ip(ctx, p->family, p->l3, &v);
	p->length = v.length;
	if (why)
		return why;
	p->roles = table_roles(address_slot(&v.src), address_slot(&v.dst));
	/* Most of what passes a director that is a router too; ICMP may quote ours. */
	if (!p->roles &&
	    (v.protocol == IPPROTO_TCP || v.protocol == IPPROTO_UDP || v.protocol == IPPROTO_SCTP ||
	     v.fragment == FRAGMENT_LATER || parse_follows(v.protocol)))
		return XLVS_REASON_PASS_NO_SERVICE;
	if (p->family == AF_INET && unlikely(!parse_ipv4_sum(ctx, p->l3, v.l4 - p->l3)))
		return XLVS_REASON_PASS_MALFORMED;
	/* A frame may be padded (RFC 894), a packet may not be cut. */
	if (p->l3 + p->length > hook_frame_length(ctx))
		return XLVS_REASON_PASS_MALFORMED;
	p->l4 = v.l4;
	p->protocol = v.protocol;
	p->ttl = v.ttl;
	p->tos = v.tos;
	p->dont_fragment = v.dont_fragment;
	p->tuple.src = v.src;
	p->tuple.dst = v.dst;
	p->tuple.protocol = v.protocol;
	p->tuple.sport = p->tuple.dport = 0;
	p->fragment = v.fragment;
	p->fragment_id = v.fragment_id;
	if (unlikely(v.fragment == FRAGMENT_LATER))
		return parse_later(ctx, p, &v);
	why = v.fragment ? XLVS_REASON_PASS_FRAGMENT : XLVS_REASON_PASS_MALFORMED;

	if (v.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = view(ctx, v.l4, struct tcphdr);

		if (!tcp || tcp->doff < 5 || v.l4 - p->l3 + tcp->doff * 4 > v.length)
			return why;
		p->tuple.sport = tcp->source;
		p->tuple.dport = tcp->dest;
		p->tcp_flags = ((__u8 *)tcp)[13];
		p->wire = hook_measure(ctx, p->length, v.l4 - p->l3 + tcp->doff * 4);
		return XLVS_REASON_NONE;
	}
	if (v.protocol == IPPROTO_UDP) {
		struct udphdr *udp = view(ctx, v.l4, struct udphdr);

		if (!udp || bpf_ntohs(udp->len) < sizeof(*udp) ||
		    v.l4 - p->l3 + sizeof(*udp) > v.length)
			return why;
		p->tuple.sport = udp->source;
		p->tuple.dport = udp->dest;
		p->udp_checksum_absent = !udp->check;
		p->wire = hook_measure(ctx, p->length, v.l4 - p->l3 + sizeof(*udp));
		return XLVS_REASON_NONE;
	}
	p->wire = hook_measure(ctx, p->length, v.l4 - p->l3);
	if (v.protocol == (p->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		if (v.fragment)
			return why;
		hook_pull(ctx, p->l4 + sizeof(struct icmp_header) + 2 * sizeof(struct iphdr) +
				       sizeof(struct ipv6hdr) + sizeof(struct port_pair));
		return parse_icmp(ctx, p);
	}
	if (v.protocol == IPPROTO_SCTP) {
		struct sctp_header *sctp = view(ctx, v.l4, struct sctp_header);

		if (!sctp || v.l4 - p->l3 + sizeof(*sctp) > v.length)
			return why;
		p->tuple.sport = sctp->source;
		p->tuple.dport = sctp->dest;
		parse_chunks(ctx, p, v.l4 + sizeof(*sctp), p->l3 + v.length);
		return XLVS_REASON_NONE;
	}
	if (parse_follows(v.protocol)) {
		parse_key_exchange(p);
		p->fragment = FRAGMENT_NOT; /* each of them tells as much */
		return XLVS_REASON_NONE;
	}
	return XLVS_REASON_PASS_PROTOCOL;
}

#endif
