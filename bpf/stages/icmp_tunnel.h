/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors that name a connection in what they quote, and those about tunnel packets
 * of ours: the packet inside names it.
 */
#ifndef XLVS_ICMP_TUNNEL_H
#define XLVS_ICMP_TUNNEL_H

#include "forward/icmp.h"
#include "stages/1_parse.h"
#include "stages/stateless.h"
#include "table.h"

/* IPVS drops a damaged error: translating it would only hide the damage. */
static __noinline bool pipeline_icmp_right(hook_ctx *ctx, const struct packet *p)
{
	__u32 length = p->length - (p->l4 - p->l3), sum = 0;

	if (ranged_sum(ctx, p->l4, length, &sum))
		return false;
	if (p->family == AF_INET6) {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);
		struct xlvs_addr src, dst;

		if (!ip)
			return false;
		address_from_v6(&src, &ip->saddr);
		address_from_v6(&dst, &ip->daddr);
		sum = sum_fold32(sum_address(sum_address(sum, &src), &dst) +
				 bpf_htons(IPPROTO_ICMPV6) + bpf_htonl(length));
	}
	return sum_fold16(sum) == 0xffff;
}

/* For packets whose tuple is not their own addresses: quoted in an ICMP error. */
static __noinline int pipeline_find(struct packet *p, struct xlvs_settings *s)
{
	int result;

	p->roles = table_roles(address_slot(&p->tuple.src), address_slot(&p->tuple.dst));
	if (table_find(p))
		return 1;
	if (!(p->roles & XLVS_ADDRESS_STATELESS))
		return 0;
	result = stateless_choose(p, s, 1);
	return result == STATELESS_SENT || result == STATELESS_OPEN;
}

/* What may have been put into a tunnel of ours, by the outer packet that an error quotes. */
struct icmp_tunnel {
	__u32 at;    /* offset of the inner IP header */
	__u8 inner;  /* AF_INET or AF_INET6 */
	__u8 type;   /* enum xlvs_tunnel */
	__be16 port; /* GUE: where the packet was sent to */
	__u8 outer;  /* AF_INET or AF_INET6 */
	__u8 pad[3];
};

/* Reads on behind the quoted IP header. False: no tunnel of ours looks like that. */
static __always_inline bool icmp_tunnel_parse(hook_ctx *ctx, const struct packet *p,
					      struct icmp_tunnel *t)
{
	__u8 protocol = p->tuple.protocol;

	t->at = p->quoted_l4;
	t->outer = p->family;
	t->type = XLVS_TUNNEL_IPIP;
	t->port = 0;
	if (protocol == IPPROTO_UDP) {
		struct tun_gue *gue = view(ctx, t->at, struct tun_gue);

		/* Version 0, data, no options. */
		if (!gue || gue->gue & bpf_htonl(0xff00ffff))
			return false;
		protocol = bpf_ntohl(gue->gue) >> 16;
		t->port = gue->udp.dest;
		t->at += sizeof(*gue);
		t->type = XLVS_TUNNEL_GUE;
	} else if (protocol == IPPROTO_GRE) {
		struct tun_gre *gre = view(ctx, t->at, struct tun_gre);

		if (!gre || gre->flags & ~bpf_htons(GRE_CHECKSUM))
			return false;
		t->at += gre->flags ? sizeof(struct tun_gre_checksum) : sizeof(*gre);
		t->type = XLVS_TUNNEL_GRE;
		protocol = gre->protocol == bpf_htons(ETH_P_IP)   ? IPPROTO_IPIP :
			   gre->protocol == bpf_htons(ETH_P_IPV6) ? IPPROTO_IPV6 :
								    0;
	}
	t->inner = protocol == IPPROTO_IPIP ? AF_INET : AF_INET6;
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6;
}

/* The packet in the tunnel becomes p->tuple. False: it is not there. */
static __noinline bool icmp_tunnel_inner(hook_ctx *ctx, struct packet *p,
					 const struct icmp_tunnel *t, struct icmp_error *e)
{
	struct port_pair *ports;
	struct ip_view v = {};

	if (parse_ip(ctx, t->inner, t->at, &v) || v.fragment == FRAGMENT_LATER ||
	    p->l3 + p->length < t->at)
		return false;
	ports = view(ctx, v.l4, struct port_pair);
	if (!ports)
		return false;
	e->quote_at = t->at;
	e->quote_length = p->l3 + p->length - t->at;
	p->tuple.src = v.src;
	p->tuple.dst = v.dst;
	p->tuple.sport = ports->source;
	p->tuple.dport = ports->dest;
	p->tuple.protocol = v.protocol;
	if (parse_follows(v.protocol))
		parse_key_exchange(p);
	return true;
}

/* The packet's TUN destination, if the tunnel is the one that leads there. */
static __always_inline struct xlvs_destination *icmp_tunnel_destination(
	struct packet *p, const struct icmp_tunnel *t, const struct xlvs_addr *server,
	struct xlvs_settings *s)
{
	struct xlvs_destination *d;
	int found;

	p->family = t->inner;
	found = pipeline_find(p, s);
	p->family = t->outer;
	if (!found || p->reply || word_method(p->c.word) != XLVS_METHOD_TUN)
		return NULL;
	d = destination_get(p->c.destination);
	if (!d || !address_equal(&d->address, server) || d->tunnel_type != t->type ||
	    (t->type == XLVS_TUNNEL_GUE && d->tunnel_port != t->port))
		return NULL;
	return d;
}

/*
 * An ICMP error about a tunnel packet of ours: the packet inside names the connection. The
 * client hears of it, as by IPVS, if both headers are IPv4. Of the others only the path's
 * MTU is remembered, which IPVS does not; they go on to the stack. XLVS_REASON_NONE, and
 * the packet's description as it was: it is about something else.
 */
subprogram int pipeline_icmp_tunnel(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct xlvs_destination_load *load;
	struct xlvs_destination *d = NULL;
	struct icmp_error e = {};
	struct icmp_header *icmp;
	struct xlvs_tuple outer;
	struct icmp_tunnel t;
	__u32 destination;

	if (!p || !s)
		return XLVS_REASON_DROP_INTERNAL;
	outer = p->tuple;
	hook_pull(ctx, PACKET_HEADERS_MAX);
	icmp = view(ctx, p->l4, struct icmp_header);
	if (!icmp)
		return XLVS_REASON_PASS_MALFORMED;
	e.type = icmp->type;
	e.code = icmp->code;
	e.rest = icmp->rest;
	e.routed = 1;
	if (icmp_tunnel_parse(ctx, p, &t) && icmp_tunnel_inner(ctx, p, &t, &e))
		d = icmp_tunnel_destination(p, &t, &outer.src, s);
	if (!d) {
		p->tuple = outer;
		p->reply = 0;
		return XLVS_REASON_NONE;
	}
	if (!pipeline_icmp_right(ctx, p))
		return XLVS_REASON_DROP_ICMP_CHECKSUM;
	if (t.inner == AF_INET && t.outer == AF_INET)
		return icmp_forward_tunnel(ctx, p, d, &e);
	destination = p->c.destination;
	load = bpf_map_lookup_elem(&destination_load, &destination);
	if (load && !next_hop_to_server(ctx, p, d)) {
		if (t.outer == AF_INET && e.type == ICMP_DEST_UNREACH && e.code == ICMP_FRAG_NEEDED)
			icmp_learn_mtu(p, load, bpf_ntohl(e.rest) & 0xffff, PATH_MTU_MIN);
		else if (t.outer == AF_INET6 && e.type == ICMPV6_PKT_TOOBIG)
			icmp_learn_mtu(p, load, bpf_ntohl(e.rest), PATH_MTU_MIN_V6);
	}
	return XLVS_REASON_PASS_ICMP;
}

#endif
