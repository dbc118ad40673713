/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 3: is the packet for a virtual service, and does it open a connection? */
#ifndef XLVS_SERVICE_H
#define XLVS_SERVICE_H

#include "maps.h"
#include "packet.h"

/* The id of the service that the packet is addressed to, or null. */
static __always_inline __u32 *service_find(const struct packet *p)
{
	struct xlvs_service_key key = {
		.address = p->tuple.dst,
		.port = p->tuple.dport,
		.protocol = p->tuple.protocol,
		.family = p->family,
	};

	return bpf_map_lookup_elem(&services_by_key, &key);
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
