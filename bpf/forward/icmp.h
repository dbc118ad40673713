/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about packets of a connection, from either side: they follow the
 * connection, and what they quote is translated as the packets are (RFC 5508).
 */
#ifndef XLVS_ICMP_H
#define XLVS_ICMP_H

#include "forward/dr.h"
#include "forward/icmp_error.h"
#include "forward/nat.h"
#include "forward/proxy_header.h"
#include "forward/syn_proxy.h"
#include "forward/tun.h"

/* How long a tunnel's learnt MTU holds: Linux's ip_rt_mtu_expires, 600 s. */
#define PATH_MTU_SECONDS 600
#define PATH_MTU_MIN 552
#define PATH_MTU_MIN_V6 1280

static __always_inline int icmp_reframe(hook_ctx *ctx, struct packet *p, enum xlvs_reason done)
{
	if (hook_reframe(ctx, p, 0,
			 p->family == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return XLVS_REASON_DROP_HEADROOM;
	return done;
}

/* From the client's side, about an answer: to the real server. */
subprogram int icmp_forward_in(hook_ctx *ctx, struct packet *p, const struct xlvs_destination *d)
{
	enum xlvs_method method;
	struct xlvs_tuple quoted = {};
	struct xlvs_addr source;
	int rc;

	if (!p || !d)
		return XLVS_REASON_DROP_INTERNAL;
	method = word_method(p->c.word);
	if (p->c.word & XLVS_CONNECTION_ON_DIRECTOR)
		return XLVS_REASON_PASS_ICMP; /* its own stack sent what is quoted */
	if (p->ttl <= 1)
		return XLVS_REASON_DROP_ICMP_NOT_FORWARDED; /* no error about an error */
	rc = next_hop_to_server(ctx, p, d);
	if (rc)
		return XLVS_REASON_DROP_NO_NEXT_HOP;
	if (method == XLVS_METHOD_DR)
		return dr_forward(ctx, p) == XLVS_REASON_FWD_DR ? XLVS_REASON_FWD_ICMP_IN :
								  XLVS_REASON_DROP_HEADROOM;
	if (method == XLVS_METHOD_TUN)
		return tun_forward(ctx, p, d) == XLVS_REASON_FWD_TUN ? XLVS_REASON_FWD_ICMP_IN :
								       XLVS_REASON_DROP_HEADROOM;
	if (nat_to_server(p, d))
		return XLVS_REASON_DROP_INTERNAL;
	if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL) && syn_proxy_quoted(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	quoted.src = p->to.dst;
	quoted.dst = p->to.src;
	quoted.sport = p->to.dport;
	quoted.dport = p->to.sport;
	if (method == XLVS_METHOD_FULLNAT) {
		source = p->to.src;
	} else if (p->family == AF_INET) {
		struct iphdr *ip = view(ctx, p->l3, struct iphdr);

		if (!ip)
			return XLVS_REASON_DROP_INTERNAL;
		address_from_v4(&source, ip->saddr);
	} else {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);

		if (!ip)
			return XLVS_REASON_DROP_INTERNAL;
		address_from_v6(&source, &ip->saddr);
	}
	if (rewrite_icmp_error(ctx, p, &source, &d->address, &quoted))
		return XLVS_REASON_DROP_INTERNAL;
	return icmp_reframe(ctx, p, XLVS_REASON_FWD_ICMP_IN);
}

/* From the real server's side, about a client's packet: to the client, in the VIP's name. */
subprogram int icmp_forward_out(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_tuple quoted = {};
	int why;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	if (p->ttl <= 1)
		return XLVS_REASON_DROP_ICMP_NOT_FORWARDED;
	quoted.src = p->to.dst;
	quoted.dst = p->to.src;
	quoted.sport = p->to.dport;
	quoted.dport = p->to.sport;
	if (next_hop_route(ctx, p, &p->to.src, &p->to.dst, 0)) {
		why = next_hop_local_client(p);
		if (why)
			return why;
	}
	if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL) && p->tuple.protocol == IPPROTO_TCP &&
	    proxy_quoted(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	if (rewrite_icmp_error(ctx, p, &p->to.src, &p->to.dst, &quoted))
		return XLVS_REASON_DROP_INTERNAL;
	return icmp_reframe(ctx, p, XLVS_REASON_FWD_ICMP_OUT);
}

/*
 * A router on the way to a TUN server asks for smaller packets: remembered for ten minutes,
 * unless a smaller MTU is known (RFC 1191 6.3). The least that is believed is what Linux
 * believes: 552 bytes (ip_rt_min_pmtu), and IPv6's minimum.
 */
static __always_inline void icmp_learn_mtu(const struct packet *p,
					   struct xlvs_destination_load *load, __u32 mtu,
					   __u32 least)
{
	__u32 known = tun_path_mtu(load, p->now), met = 0;

	if (mtu < least)
		mtu = least;
	if (mtu >= p->next_hop.mtu || (known && mtu > known))
		return;
	if (known)
		met = load->path_mtu & XLVS_PATH_MTU_MET;
	load->path_mtu = mtu | met;
	load->path_mtu_until = p->now + PATH_MTU_SECONDS * p->hz;
}

/*
 * A router on the way to a TUN server complains to the director about the outer packet: the
 * client gets the error about the inner one. As in IPVS, the first to ask for a smaller MTU
 * still names the MTU known before, and every one the MTU less an IPv4 header, whatever the
 * tunnel; the next packet that is too big is answered with the right one.
 */
subprogram int icmp_forward_tunnel(hook_ctx *ctx, struct packet *p,
				   const struct xlvs_destination *d, struct icmp_error *e)
{
	struct xlvs_destination_load *load;
	__u32 destination, mtu;

	if (!p || !d || !e)
		return XLVS_REASON_DROP_INTERNAL;
	destination = p->c.destination;
	if (next_hop_to_server(ctx, p, d))
		return XLVS_REASON_DROP_NO_NEXT_HOP;
	load = bpf_map_lookup_elem(&destination_load, &destination);
	if (e->type == ICMP_DEST_UNREACH && e->code == ICMP_FRAG_NEEDED && load) {
		icmp_learn_mtu(p, load, bpf_ntohl(e->rest) & 0xffff, PATH_MTU_MIN);
		mtu = load->path_mtu & XLVS_PATH_MTU_MET ? tun_path_mtu(load, p->now) : 0;
		e->rest = bpf_htonl((mtu ? mtu : p->next_hop.mtu) - (__u32)sizeof(struct iphdr));
	} else {
		e->rest = 0;
	}
	p->unresolved = 0;
	if (next_hop_route(ctx, p, &p->tuple.dst, &p->tuple.src, 0))
		return XLVS_REASON_DROP_NO_NEXT_HOP;
	return icmp_error_make(ctx, p, e, XLVS_REASON_REPLY_TUNNEL_ERROR);
}

#endif
