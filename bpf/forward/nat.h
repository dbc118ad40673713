/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * NAT and FULLNAT: addresses and ports are translated on the way in and back on
 * the way out. FULLNAT also gives the packet a local source, so the real server
 * answers the director wherever its routes lead.
 */
#ifndef XLVS_NAT_H
#define XLVS_NAT_H

#include "forward/rewrite.h"
#include "maps.h"

/* The client's packet as the real server is to see it: fills p->to. */
static __always_inline int nat_to_server(struct packet *p, const struct xlvs_destination *d)
{
	p->to.dst = d->address;
	p->to.dport = destination_port(d, p->tuple.dport);
	if (word_method(p->c.word) == XLVS_METHOD_FULLNAT) {
		__u32 index = extra_block(p->c.extra);
		struct xlvs_port_block *block = bpf_map_lookup_elem(&port_blocks, &index);

		if (!block)
			return -1;
		p->to.src = block->local;
		p->to.sport = extra_port(p->c.extra);
	} else {
		p->to.src = p->tuple.src;
		p->to.sport = p->tuple.sport;
	}
	return 0;
}

/* Makes the packet what p->to says and gives it its next hop. */
static __always_inline int nat_forward(hook_ctx *ctx, struct packet *p, enum xlvs_reason done)
{
	if (rewrite_transport(ctx, p, true))
		return XLVS_REASON_DROP_INTERNAL;
	if (hook_reframe(ctx, p, 0,
			 p->family == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return XLVS_REASON_DROP_HEADROOM;
	return done;
}

#endif
