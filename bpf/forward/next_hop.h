/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a packet leaves: device, MACs, tag, MTU. The one door to the FIB. */
#ifndef XLVS_NEXT_HOP_H
#define XLVS_NEXT_HOP_H

#include "maps.h"
#include "packet.h"

enum next_hop_result {
	NEXT_HOP_OK,
	NEXT_HOP_NONE,    /* no route, or forwarding is off */
	NEXT_HOP_TOO_BIG, /* the route's MTU is smaller than the packet */
};

/* XDP sends on devices that carry frames: a VLAN device becomes its parent and a tag. */
static __always_inline void next_hop_to_carrier(struct packet *p)
{
	__u32 ifindex = p->next_hop.ifindex; /* kernel 6.1 refuses a key within *p */
	struct xlvs_interface *i = bpf_map_lookup_elem(&interfaces, &ifindex);

	if (i && i->carrier && i->carrier != p->next_hop.ifindex) {
		p->next_hop.ifindex = i->carrier;
		p->next_hop.vlan = i->vlan;
	}
}

/* Asks the daemon to resolve a neighbour that XDP cannot wait for. */
static __always_inline void next_hop_ask(const struct packet *p)
{
	struct xlvs_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return; /* the ring is full of the same question */
	e->kind = 1;
	e->ifindex = p->next_hop.ifindex;
	e->address = p->neighbour;
	bpf_ringbuf_submit(e, 0);
}

/*
 * Looks a route up as the stack would for a forwarded packet of `length` bytes.
 * An unresolved neighbour is left in p->neighbour: TC lets the kernel resolve it.
 */
subprogram int next_hop_route(hook_ctx *ctx, struct packet *p, const struct xlvs_addr *src,
			      const struct xlvs_addr *dst, __u32 length)
{
	struct bpf_fib_lookup fib = {};
	__u32 family;
	long rc;

	if (!p || !src || !dst)
		return NEXT_HOP_NONE;
	family = address_is_v4(dst) ? AF_INET : AF_INET6;
	fib.family = family;
	fib.l4_protocol = p->protocol;
	fib.ifindex = hook_ingress(ctx);
	fib.tot_len = length > 0xffff ? 0xffff : length;
	if (family == AF_INET) {
		fib.tos = p->tos;
		fib.ipv4_src = src->word[3];
		fib.ipv4_dst = dst->word[3];
	} else {
		__builtin_memcpy(fib.ipv6_src, src, sizeof(*src));
		__builtin_memcpy(fib.ipv6_dst, dst, sizeof(*dst));
	}
	rc = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (rc == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return NEXT_HOP_TOO_BIG;
	if (rc != BPF_FIB_LKUP_RET_SUCCESS && rc != BPF_FIB_LKUP_RET_NO_NEIGH)
		return NEXT_HOP_NONE;
	p->next_hop.ifindex = fib.ifindex;
	p->next_hop.vlan = 0;
	/* What is asked for a packet's length is answered with the route's MTU. */
	p->next_hop.mtu = length && fib.mtu_result ? fib.mtu_result : 0xffff;
	if (rc == BPF_FIB_LKUP_RET_NO_NEIGH) {
		/* The helper leaves the gateway where the destination was. */
		p->unresolved = fib.family;
		if (fib.family == AF_INET)
			address_from_v4(&p->neighbour, fib.ipv4_dst);
		else
			__builtin_memcpy(&p->neighbour, fib.ipv6_dst, sizeof(p->neighbour));
#ifdef HOOK_XDP
		next_hop_ask(p);
		return NEXT_HOP_NONE;
#else
		return NEXT_HOP_OK;
#endif
	}
	__builtin_memcpy(p->next_hop.dst_mac, fib.dmac, ETH_ALEN);
	__builtin_memcpy(p->next_hop.src_mac, fib.smac, ETH_ALEN);
#ifdef HOOK_XDP
	next_hop_to_carrier(p);
#endif
	return NEXT_HOP_OK;
}

/* The way to a real server: what the daemon resolved, else the kernel's own tables. */
static __always_inline int next_hop_to_server(hook_ctx *ctx, struct packet *p,
					      const struct xlvs_destination *d)
{
	if (likely(d->flags & XLVS_DESTINATION_RESOLVED)) {
		p->next_hop = d->next_hop;
		return NEXT_HOP_OK;
	}
	return next_hop_route(ctx, p, &d->tunnel_source, &d->address, 0);
}

#ifdef HOOK_TC
/* The kernel resolves the neighbour, and keeps the frame until it has. */
static __noinline int next_hop_send_unresolved(const struct packet *p)
{
	struct bpf_redir_neigh nh = { .nh_family = p->unresolved };

	if (p->unresolved == AF_INET)
		nh.ipv4_nh = p->neighbour.word[3];
	else
		__builtin_memcpy(nh.ipv6_nh, &p->neighbour, sizeof(nh.ipv6_nh));
	return bpf_redirect_neigh(p->next_hop.ifindex, &nh, sizeof(nh), 0);
}
#endif

/*
 * No way to the client: is it on the director itself? It gets the answer by lo. From the
 * device where it came in, its source would be a local address, which the stack refuses.
 */
static __always_inline int next_hop_local_client(struct packet *p)
{
	struct xlvs_settings *s = settings_get();

	if (!s || !s->local_clients || p->unresolved)
		return XLVS_REASON_DROP_NO_NEXT_HOP;
#ifdef HOOK_TC
	__builtin_memset(&p->next_hop, 0, sizeof(p->next_hop));
	p->next_hop.ifindex = LOOPBACK_IFINDEX;
	p->next_hop.src_mac[0] = LOOPBACK_DELIVERED;
	return XLVS_REASON_NONE;
#else
	return XLVS_REASON_PASS_LOCAL_CLIENT; /* XDP sends nowhere up: xlvs_tc_answers does */
#endif
}

/* Sends a finished frame. */
static __always_inline int next_hop_send(const struct packet *p)
{
#ifdef HOOK_TC
	if (unlikely(p->unresolved))
		return next_hop_send_unresolved(p);
#endif
	return hook_send(p->next_hop.ifindex);
}

#endif
