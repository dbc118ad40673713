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

/*
 * An ICMP error about IP in IP: if the outer packet was a tunnel packet of ours,
 * the inner one names the connection.
 */
subprogram int pipeline_icmp_tunnel(hook_ctx *ctx, struct packet *p, struct xlvs_settings *s)
{
	struct icmp_error e = {};
	struct xlvs_destination *d;
	struct icmp_header *icmp;
	struct port_pair *ports;
	struct ip_view v = {};
	__be32 server;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	server = p->tuple.src.word[3];
	icmp = view(ctx, p->l4, struct icmp_header);
	if (!icmp)
		return XLVS_REASON_PASS_MALFORMED;
	e.type = icmp->type;
	e.code = icmp->code;
	e.rest = icmp->rest;
	e.quote_at = p->quoted_l4;
	if (parse_ipv4(ctx, e.quote_at, &v))
		return XLVS_REASON_PASS_ICMP;
	ports = view(ctx, v.l4, struct port_pair);
	if (!ports)
		return XLVS_REASON_PASS_ICMP;
	if (p->l3 + p->length < e.quote_at)
		return XLVS_REASON_PASS_MALFORMED;
	e.quote_length = p->l3 + p->length - e.quote_at;
	e.routed = 1;
	p->tuple.src = v.src;
	p->tuple.dst = v.dst;
	p->tuple.sport = ports->source;
	p->tuple.dport = ports->dest;
	p->tuple.protocol = v.protocol;
	if (!pipeline_find(p, s) || p->reply || word_method(p->c.word) != XLVS_METHOD_TUN)
		return XLVS_REASON_PASS_ICMP_NO_CONNECTION;
	d = destination_get(p->c.destination);
	if (!d)
		return XLVS_REASON_DROP_INTERNAL;
	if (d->address.word[3] != server)
		return XLVS_REASON_PASS_ICMP_NO_CONNECTION;
	if (!pipeline_icmp_right(ctx, p))
		return XLVS_REASON_DROP_ICMP_CHECKSUM;
	return icmp_forward_tunnel(ctx, p, d, &e);
}

#endif
