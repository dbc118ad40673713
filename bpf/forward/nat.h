/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * NAT and FULLNAT: addresses and ports are translated on the way in and back on
 * the way out. FULLNAT also gives the packet a local source, so the real server
 * answers the director wherever its routes lead.
 */
#ifndef XLVS_NAT_H
#define XLVS_NAT_H

#include "forward/rewrite.h"

/* The packet as the real server sees it. Of NAT, `local` is the client. */
static __always_inline void nat_tuple_in(const struct xlvs_connection *c, struct xlvs_tuple *t)
{
	t->src = c->local;
	t->dst = c->server;
	t->sport = c->local_port;
	t->dport = c->destination_port;
}

/* The answer as the client sees it. */
static __always_inline void nat_tuple_out(const struct xlvs_connection *c, struct xlvs_tuple *t)
{
	t->src = c->virtual_address;
	t->dst = c->client;
	t->sport = c->virtual_port;
	t->dport = c->client_port;
}

static __always_inline int nat_forward(hook_ctx *ctx, struct packet *p,
				       const struct xlvs_connection *c, enum xlvs_reason done)
{
	if (rewrite_transport(ctx, p, c, true))
		return XLVS_REASON_DROP_INTERNAL;
	if (hook_reframe(ctx, p, 0,
			 p->family == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return XLVS_REASON_DROP_HEADROOM;
	return done;
}

#endif
