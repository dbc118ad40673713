/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 3: is the packet for a virtual service, and does it open a connection? */
#ifndef XLVS_SERVICE_H
#define XLVS_SERVICE_H

#include "maps.h"
#include "packet.h"

/* The id of the service that the packet is addressed to, or null. */
static __noinline __u32 *service_find(const struct packet *p)
{
	union {
		struct xlvs_service_key4 v4;
		struct xlvs_service_key v6;
	} key;

	if (p->family == AF_INET) {
		key.v4 = (struct xlvs_service_key4){
			.address = p->tuple.dst.word[3],
			.port = p->tuple.dport,
			.protocol = p->tuple.protocol,
		};
		return bpf_map_lookup_elem(&services_by_key4, &key.v4);
	}
	key.v6 = (struct xlvs_service_key){
		.address = p->tuple.dst,
		.port = p->tuple.dport,
		.protocol = p->tuple.protocol,
		.family = p->family,
	};
	return bpf_map_lookup_elem(&services_by_key, &key.v6);
}

/*
 * Can the source be a client's? The stack drops loopback, multicast, broadcast and
 * "this network" sources (RFC 1812 5.3.7, RFC 4291 2.5.3 and 2.7) and its own VIP's
 * before IPVS sees them. Other addresses of the director are not known here.
 */
static __always_inline bool service_source_possible(const struct packet *p)
{
	const struct xlvs_addr *a = &p->tuple.src;
	__u32 v4 = bpf_ntohl(a->word[3]);

	if (address_equal(a, &p->tuple.dst))
		return false;
	if (p->family == AF_INET)
		return v4 >> 24 != 0 && v4 >> 24 != 127 && v4 >> 28 != 0xe && v4 != 0xffffffff;
	if (bpf_ntohl(a->word[0]) >> 24 == 0xff)
		return false;
	return a->word[0] || a->word[1] || a->word[2] || v4 > 1;
}

/* IPVS: TCP opens with a SYN that carries no RST; sloppy_tcp takes all but RST. */
static __always_inline bool service_opens(const struct packet *p, const struct xlvs_settings *s)
{
	if (p->protocol != IPPROTO_TCP)
		return true;
	if (p->tcp_flags & TCP_RST)
		return false;
	return s->sloppy_tcp || p->tcp_flags & TCP_SYN;
}

#endif
