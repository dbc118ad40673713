/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is this a tunnel packet of a director's, and how much of it is the tunnel? IP in IP
 * (RFC 2003, RFC 2473), GRE with or without checksum (RFC 2784), GUE of variant 0 without
 * options (draft-ietf-intarea-gue), of both families in each.
 *
 * The tunnel's own checksum is not looked at: what is inside has its own, which the stack
 * verifies, except IPv4's UDP where the sender wanted none.
 */
#ifndef XLVS_REALSERVER_TUNNEL_H
#define XLVS_REALSERVER_TUNNEL_H

#include "realserver/maps.h"

#define DECAP_FRAGMENT_MASK 0x3fff /* more fragments | offset */
#define DECAP_GRE_CHECKSUM 0x8000
#define ECN_MASK 3
#define ECN_CE 3

struct tunnel {
	__u32 outer_len; /* bytes to take off; 0: not ours */
	__u8 outer_version;
	__u8 inner_version;
	bool congested; /* the outer header says CE */
};

/* What is around the inner packet. */
struct outer {
	struct xlvs_addr dst;
	__u32 length; /* of all headers so far, 0: not a tunnel */
	__be16 port;  /* GUE */
	__u8 protocol;
	__u8 type; /* enum xlvs_tunnel */
	bool congested;
};

/* The only place that knows how a hook reads: bytes from the IP header on. */
static __always_inline long read_ip(void *ctx, bool xdp, __u32 offset, void *to, __u32 len)
{
	return xdp ? bpf_xdp_load_bytes(ctx, ETH_HLEN + offset, to, len) :
		     bpf_skb_load_bytes_relative(ctx, offset, to, len, BPF_HDR_START_NET);
}

/* Outer IPv4. Fragments go on: the stack has to join them first. */
static __always_inline void outer4(void *ctx, bool xdp, struct outer *o)
{
	struct iphdr ip;

	if (read_ip(ctx, xdp, 0, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & bpf_htons(DECAP_FRAGMENT_MASK))
		return;
	address_from_v4(&o->dst, ip.daddr);
	o->protocol = ip.protocol;
	o->congested = (ip.tos & ECN_MASK) == ECN_CE;
	o->length = ip.ihl * 4;
}

/* Outer IPv6. Linux tunnels add one header of destination options. */
static __always_inline void outer6(void *ctx, bool xdp, struct outer *o)
{
	struct ipv6_opt_hdr options;
	struct ipv6hdr ip;

	if (read_ip(ctx, xdp, 0, &ip, sizeof(ip)) || ip.version != 6)
		return;
	address_from_v6(&o->dst, &ip.daddr);
	o->congested = ((ip.flow_lbl[0] >> 4) & ECN_MASK) == ECN_CE;
	o->protocol = ip.nexthdr;
	o->length = sizeof(ip);
	if (ip.nexthdr != IPPROTO_DSTOPTS)
		return;
	if (read_ip(ctx, xdp, sizeof(ip), &options, sizeof(options))) {
		o->length = 0;
		return;
	}
	o->protocol = options.nexthdr;
	o->length += (options.hdrlen + 1) * 8;
}

/* UDP and GUE: o->protocol becomes the inner one. */
static __always_inline void outer_gue(void *ctx, bool xdp, struct outer *o)
{
	struct {
		struct udphdr udp;
		__be32 gue; /* version, control bit, options' length; protocol; flags */
	} h;

	if (read_ip(ctx, xdp, o->length, &h, sizeof(h)) || h.gue & bpf_htonl(0xff00ffff)) {
		o->length = 0;
		return;
	}
	o->type = XLVS_TUNNEL_GUE;
	o->port = h.udp.dest;
	o->protocol = bpf_ntohl(h.gue) >> 16;
	o->length += sizeof(h);
}

/* GRE without key and sequence number: nobody but an operator can say what they mean. */
static __always_inline void outer_gre(void *ctx, bool xdp, struct outer *o)
{
	struct {
		__be16 flags;
		__be16 protocol;
	} h;

	if (read_ip(ctx, xdp, o->length, &h, sizeof(h)) ||
	    h.flags & ~bpf_htons(DECAP_GRE_CHECKSUM)) {
		o->length = 0;
		return;
	}
	o->type = XLVS_TUNNEL_GRE;
	o->protocol = h.protocol == bpf_htons(ETH_P_IP)   ? IPPROTO_IPIP :
		      h.protocol == bpf_htons(ETH_P_IPV6) ? IPPROTO_IPV6 :
							    IPPROTO_NONE;
	o->length += h.flags ? sizeof(h) + 4 : sizeof(h);
}

static __always_inline bool read_inner(void *ctx, bool xdp, const struct outer *o,
				       struct xlvs_addr *dst)
{
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	} ip;

	if (o->protocol == IPPROTO_IPIP) {
		if (read_ip(ctx, xdp, o->length, &ip.v4, sizeof(ip.v4)) || ip.v4.version != 4)
			return false;
		address_from_v4(dst, ip.v4.daddr);
		return true;
	}
	if (o->protocol == IPPROTO_IPV6) {
		if (read_ip(ctx, xdp, o->length, &ip.v6, sizeof(ip.v6)) || ip.v6.version != 6)
			return false;
		address_from_v6(dst, &ip.v6.daddr);
		return true;
	}
	return false;
}

static __always_inline struct tunnel classify(void *ctx, bool xdp, __be16 ethertype)
{
	struct tunnel none = {}, tunnel = {};
	struct decap_virtual *v;
	struct xlvs_addr inner;
	struct outer o = {};

	if (ethertype == bpf_htons(ETH_P_IP))
		outer4(ctx, xdp, &o);
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		outer6(ctx, xdp, &o);
	if (o.length && o.protocol == IPPROTO_UDP)
		outer_gue(ctx, xdp, &o);
	else if (o.length && o.protocol == IPPROTO_GRE)
		outer_gre(ctx, xdp, &o);
	if (!o.length || !read_inner(ctx, xdp, &o, &inner) ||
	    !bpf_map_lookup_elem(&decap_outer, &o.dst))
		return none;
	v = bpf_map_lookup_elem(&decap_inner, &inner);
	if (!v || !(v->tunnels & 1 << o.type) || (o.type == XLVS_TUNNEL_GUE && o.port != v->port))
		return none;
	tunnel.outer_len = o.length;
	tunnel.outer_version = ethertype == bpf_htons(ETH_P_IP) ? 4 : 6;
	tunnel.inner_version = o.protocol == IPPROTO_IPIP ? 4 : 6;
	tunnel.congested = o.congested;
	return tunnel;
}

#endif
