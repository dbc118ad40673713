/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TUN: the packet unchanged but for its TTL inside a new IP header: IPv4 or IPv6
 * in IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213).
 */
#ifndef XLVS_TUN_H
#define XLVS_TUN_H

#include "forward/next_hop.h"
#include "forward/rewrite.h"

#define PATH_MTU_MIN 576

static __always_inline __u32 tun_overhead(const struct xlvs_destination *d)
{
	return d->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* What fits into the tunnel: the device's MTU, or what a router on the way said. */
static __always_inline __u32 tun_mtu(const struct packet *p, const struct xlvs_destination *d,
				     __u32 destination)
{
	struct xlvs_destination_load *load = bpf_map_lookup_elem(&destination_load, &destination);
	__u32 mtu = p->next_hop.mtu;

	if (load && load->path_mtu && load->path_mtu < mtu &&
	    (__s32)(load->path_mtu_until - p->now) > 0)
		mtu = load->path_mtu;
	return mtu - tun_overhead(d);
}

/* RFC 6040 would copy CE; IPVS sends ECT(0) instead, and so do we. */
static __always_inline __u8 tun_tos(__u8 tos)
{
	return (tos & 3) == 3 ? tos & ~1 : tos;
}

/* The outer IPv4 header as its five words; field by field it costs three times as much. */
struct tun_header4 {
	__be32 word[5];
};

static __always_inline struct tun_header4 tun_header4(const struct xlvs_destination *d, __u8 tos,
						      __u32 inner_length, __u8 ttl, __u8 inner,
						      bool dont_fragment)
{
	struct tun_header4 o = {
		.word = {
			bpf_htonl(0x45000000 | tun_tos(tos) << 16 |
				  (inner_length + (__u32)sizeof(struct iphdr))),
			dont_fragment ? bpf_htonl(IPV4_DF) :
					bpf_htonl(bpf_get_prandom_u32() & 0xffff0000),
			bpf_htonl(ttl << 24 | inner << 16),
			d->tunnel_source.word[3],
			d->address.word[3],
		},
	};
	sum_t sum = (sum_t)o.word[0] + o.word[1] + o.word[2] + o.word[3] + o.word[4];

	o.word[2] |= bpf_htonl(bpf_ntohs(~sum_fold16(sum)));
	return o;
}

subprogram int tun_forward(hook_ctx *ctx, struct packet *p, const struct xlvs_destination *d)
{
	__u8 inner;

	if (!p || !d)
		return XLVS_REASON_DROP_INTERNAL;
	inner = p->family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
	if (rewrite_ttl(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	if (d->family == AF_INET) {
		/* IPVS copies the bit; IPv6 has none to copy. */
		bool df = p->pmtu_disc && p->dont_fragment && p->family == AF_INET;
		struct tun_header4 ip = tun_header4(d, p->tos, p->length, p->ttl, inner, df);

		if (hook_reframe(ctx, p, sizeof(ip), bpf_htons(ETH_P_IP), HOOK_ROOM_TUNNEL_V4) ||
		    hook_put(ctx, p->l3, &ip))
			return XLVS_REASON_DROP_HEADROOM;
	} else {
		__u8 tos = tun_tos(p->tos);
		struct ipv6hdr ip = {
			.version = 6,
			.priority = tos >> 4,
			.flow_lbl = { tos << 4 },
			.payload_len = bpf_htons(p->length),
			.nexthdr = inner,
			.hop_limit = p->ttl,
		};

		__builtin_memcpy(&ip.saddr, &d->tunnel_source, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &d->address, sizeof(ip.daddr));
		if (hook_reframe(ctx, p, sizeof(ip), bpf_htons(ETH_P_IPV6), HOOK_ROOM_TUNNEL_V6) ||
		    hook_put(ctx, p->l3, &ip))
			return XLVS_REASON_DROP_HEADROOM;
	}
	return XLVS_REASON_FWD_TUN;
}

#endif
