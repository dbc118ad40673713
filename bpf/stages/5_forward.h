/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 5: the packet leaves by its connection's forwarding method. */
#ifndef XLVS_FORWARD_H
#define XLVS_FORWARD_H

#include "forward/dr.h"
#include "forward/icmp_error.h"
#include "forward/nat.h"
#include "forward/stream.h"
#include "forward/tun.h"
#include "forward/way_back.h"

/* Translated, and from here on the stack's. p->to is filled. */
static __always_inline int forward_to_stack(hook_ctx *ctx, struct packet *p, enum xlvs_reason done)
{
	if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL)) {
		int why = stream_to_server(ctx, p);

		if (why)
			return why;
	}
	return rewrite_transport(ctx, p, false) ? XLVS_REASON_DROP_INTERNAL : done;
}

/* The server is the director itself: the packet goes up its own stack. */
static __always_inline int forward_local(hook_ctx *ctx, struct packet *p,
					 const struct xlvs_destination *d)
{
	if (word_method(p->c.word) != XLVS_METHOD_NAT)
		return XLVS_REASON_FWD_LOCAL;
	p->next_hop.mtu = 0xffff; /* it goes no way */
	return nat_to_server(p, d) ? XLVS_REASON_DROP_INTERNAL :
				     forward_to_stack(ctx, p, XLVS_REASON_FWD_LOCAL);
}

/* A client's packet, to the real server. In IPVS's order: hops, then size. */
subprogram int forward_in(hook_ctx *ctx, struct packet *p, const struct xlvs_destination *d)
{
	enum xlvs_method method;
	__u32 mtu;

	if (!p || !d)
		return XLVS_REASON_DROP_INTERNAL;
	method = word_method(p->c.word);
	if (unlikely(p->c.word & XLVS_CONNECTION_ON_DIRECTOR))
		return forward_local(ctx, p, d);
	if (unlikely(p->ttl <= 1))
		return icmp_error_ttl(ctx, p);
	if (next_hop_to_server(ctx, p, d))
		return XLVS_REASON_DROP_NO_NEXT_HOP;
	mtu = method == XLVS_METHOD_TUN ? tun_mtu(p, d, p->c.destination) : p->next_hop.mtu;
	if (method == XLVS_METHOD_NAT || method == XLVS_METHOD_FULLNAT)
		if (nat_to_server(p, d))
			return XLVS_REASON_DROP_INTERNAL;
	if (unlikely(p->wire.segment > mtu)) {
		/* Only the stack can fragment, and it routes what NAT made of the packet.
		 * By the other methods it would meet an address of its own: that is lost. */
		if (!p->dont_fragment && method == XLVS_METHOD_NAT)
			return forward_to_stack(ctx, p, XLVS_REASON_FWD_FRAGMENTED);
		if (!p->dont_fragment ||
		    (method == XLVS_METHOD_TUN && !p->pmtu_disc && p->family == AF_INET))
			return XLVS_REASON_DROP_TOO_BIG;
		if (rewrite_ttl(ctx, p)) /* IPVS quotes the packet one hop later */
			return XLVS_REASON_DROP_INTERNAL;
		return icmp_error_too_big(ctx, p, mtu);
	}
	switch (method) {
	case XLVS_METHOD_NAT:
	case XLVS_METHOD_FULLNAT:
		if (unlikely(p->c.word & XLVS_CONNECTION_SPECIAL)) {
			int why = stream_to_server(ctx, p);

			if (why)
				return why;
		}
		return nat_forward(ctx, p,
				   method == XLVS_METHOD_NAT ? XLVS_REASON_FWD_NAT :
							       XLVS_REASON_FWD_FULLNAT);
	case XLVS_METHOD_TUN:
		return tun_forward(ctx, p, d);
	default:
		return dr_forward(ctx, p);
	}
}

/*
 * May the answer leave, and where to? Decided before anything is counted: a NAT
 * answer that cannot is the stack's, which tells the real server why, as it would
 * beneath IPVS. A FULLNAT answer is addressed to us, so we tell it ourselves.
 */
subprogram int forward_out_ready(hook_ctx *ctx, struct packet *p)
{
	bool full;
	int rc;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	full = word_method(p->c.word) == XLVS_METHOD_FULLNAT;
	if (unlikely(p->ttl <= 1))
		return full ? icmp_error_ttl(ctx, p) : XLVS_REASON_PASS_TTL_EXCEEDED;
	rc = way_back(ctx, p);
	if (unlikely(rc == NEXT_HOP_NONE))
		return next_hop_local_client(p);
	if (rc == NEXT_HOP_TOO_BIG) {
		if (!p->dont_fragment || full)
			return XLVS_REASON_DROP_TOO_BIG;
		return XLVS_REASON_PASS_TOO_BIG;
	}
	return XLVS_REASON_NONE;
}

#endif
