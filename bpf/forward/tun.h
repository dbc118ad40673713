/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TUN: the packet unchanged but for its TTL inside a new IP header: IPv4 or IPv6 in IPv4
 * or IPv6 (RFC 2003, RFC 2473, RFC 4213), with GRE (RFC 2784) or UDP and GUE
 * (draft-ietf-intarea-gue, variant 0) between the two.
 */
#ifndef XLVS_TUN_H
#define XLVS_TUN_H

#include "forward/next_hop.h"
#include "forward/rewrite.h"
#include "forward/wire_sum.h"

#define GRE_CHECKSUM 0x8000 /* RFC 2784: the header has a checksum and is four bytes longer */

/* What is between the two IP headers: nothing, GRE, or UDP and GUE without options. */
struct tun_gue {
	struct udphdr udp;
	__be32 gue;
};
struct tun_gre {
	__be16 flags;
	__be16 protocol;
};
struct tun_gre_checksum {
	struct tun_gre gre;
	__sum16 checksum;
	__be16 reserved;
};
union tun_shim {
	struct tun_gue gue;
	struct tun_gre_checksum gre;
};

static __always_inline __u32 tun_shim_length(__u8 type, bool checksum)
{
	if (type == XLVS_TUNNEL_GUE)
		return sizeof(struct tun_gue);
	if (type == XLVS_TUNNEL_GRE)
		return checksum ? sizeof(struct tun_gre_checksum) : sizeof(struct tun_gre);
	return 0;
}

/* IPVS: --tun-remcsum is as good as --tun-csum for packets that are not its own. */
static __always_inline bool tun_has_checksum(const struct xlvs_destination *d)
{
	return d->tunnel_flags & (XLVS_TUNNEL_CHECKSUM | XLVS_TUNNEL_REMOTE_CHECKSUM);
}

static __always_inline __u32 tun_overhead(const struct xlvs_destination *d)
{
	return (d->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
	       tun_shim_length(d->tunnel_type, tun_has_checksum(d));
}

/* The MTU that a router on the way to the server asked for, 0 if none did. */
static __always_inline __u32 tun_path_mtu(const struct xlvs_destination_load *load, __u32 now)
{
	if (!load->path_mtu || (__s32)(load->path_mtu_until - now) <= 0)
		return 0;
	return load->path_mtu & ~XLVS_PATH_MTU_MET;
}

/* What fits into the tunnel: the device's MTU, or what a router on the way said. */
static __always_inline __u32 tun_mtu(const struct packet *p, const struct xlvs_destination *d,
				     __u32 destination)
{
	struct xlvs_destination_load *load = bpf_map_lookup_elem(&destination_load, &destination);
	__u32 mtu = p->next_hop.mtu, path;

	if (load && unlikely(load->path_mtu)) {
		path = tun_path_mtu(load, p->now);
		if (path && path < mtu)
			mtu = path;
		if (!(load->path_mtu & XLVS_PATH_MTU_MET))
			load->path_mtu |= XLVS_PATH_MTU_MET;
	}
	return mtu - tun_overhead(d);
}

/* RFC 6040 would copy CE; IPVS sends ECT(0) instead, and so do we. */
static __always_inline __u8 tun_tos(__u8 tos)
{
	return (tos & 3) == 3 ? tos & ~1 : tos;
}

/* A number of the flow, equal for all its packets, for queues and paths to be chosen by. */
static __always_inline __u32 tun_flow4(__be32 src, __be32 dst, __be16 sport, __be16 dport)
{
	__u64 mixed = ((__u64)src << 32 | ((__u32)sport << 16 | dport)) + (__u64)dst * 0x9e3779b1u;

	mixed *= 0x9e3779b97f4a7c15ULL;
	return (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ULL >> 32;
}

/* The same of either family: a mapped address's third word is taken out. */
static __always_inline __u32 tun_flow(const struct xlvs_tuple *t)
{
	return tun_flow4(t->src.word[0] ^ t->src.word[1] ^ t->src.word[2] ^ bpf_htonl(0xffff) ^
				 t->src.word[3],
			 t->dst.word[3], t->sport, t->dport);
}

/* In Linux's default ip_local_port_range, which GUE senders there use too. */
static __always_inline __be16 tun_source_port(__u32 flow)
{
	return bpf_htons(32768 + (flow >> 16) * (60999 - 32768) / 0x10000);
}

/* The last word of an outer source whose last `bits` bits vary by flow. */
static __always_inline __be32 tun_spread(__be32 prefix, __u32 bits, __u32 flow)
{
	return prefix | bpf_htonl(bits < 32 ? flow >> (32 - bits) : flow);
}

/* The outer IPv4 header as its five words; field by field it costs three times as much. */
struct tun_header4 {
	__be32 word[5];
};

static __always_inline struct tun_header4 tun_header4(const struct xlvs_destination *d,
						      __be32 source, __u8 tos, __u32 inner_length,
						      __u16 ttl_protocol, bool dont_fragment)
{
	struct tun_header4 o = {
		.word = {
			bpf_htonl(0x45000000 | tun_tos(tos) << 16 |
				  (inner_length + (__u32)sizeof(struct iphdr))),
			dont_fragment ? bpf_htonl(IPV4_DF) :
					bpf_htonl(bpf_get_prandom_u32() & 0xffff0000),
			bpf_htonl((__u32)ttl_protocol << 16),
			source,
			d->address.word[3],
		},
	};
	sum_t sum = (sum_t)o.word[0] + o.word[1] + o.word[2] + o.word[3] + o.word[4];

	o.word[2] |= bpf_htonl(bpf_ntohs(~sum_fold16(sum)));
	return o;
}

static __always_inline __u16 tun_ttl_protocol(__u8 ttl, __u8 protocol)
{
	return (__u16)ttl << 8 | protocol;
}

/* The outer header's protocol number. `inner`: AF_INET or AF_INET6. */
static __always_inline __u8 tun_protocol(__u8 type, __u8 inner)
{
	if (type == XLVS_TUNNEL_GUE)
		return IPPROTO_UDP;
	if (type == XLVS_TUNNEL_GRE)
		return IPPROTO_GRE;
	return inner == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* UDP and GUE around a packet of `length` bytes; the checksum is 0: none. */
static __always_inline struct tun_gue tun_gue(const struct xlvs_destination *d, __u8 inner,
					      __u32 length, __u32 flow)
{
	return (struct tun_gue){
		.udp.source = tun_source_port(flow),
		.udp.dest = d->tunnel_port,
		.udp.len = bpf_htons(length + (__u32)sizeof(struct tun_gue)),
		.gue = bpf_htonl((inner == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6) << 16),
	};
}

static __always_inline struct tun_gre tun_gre(__u8 inner, bool checksum)
{
	return (struct tun_gre){
		.flags = checksum ? bpf_htons(GRE_CHECKSUM) : 0,
		.protocol = inner == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
	};
}

/*
 * What goes between the headers. A checksum is over the packet as it will be on the wire.
 * Returns 0, or -1 if the packet cannot be read.
 */
static __noinline int tun_shim(hook_ctx *ctx, struct packet *p, const struct xlvs_destination *d,
			       const struct xlvs_addr *source, union tun_shim *s)
{
	bool checksum = tun_has_checksum(d) && p->wire.packets <= 1;
	__u32 sum = 0;

	if (d->tunnel_type == XLVS_TUNNEL_GUE) {
		s->gue = tun_gue(d, p->family, p->length, tun_flow(&p->tuple));
		if (!checksum)
			return 0;
		sum = sum_fold32((sum_t) * (__u32 *)&s->gue.udp + s->gue.udp.len + s->gue.gue +
				 bpf_htons(IPPROTO_UDP) + s->gue.udp.len);
		/* A mapped address's 0xffff is zero in one's complement: both families fit. */
		sum = sum_fold32(sum_address(sum_address(sum, source), &d->address));
		if (wire_sum(ctx, p, p->l3, p->length, &sum))
			return -1;
		s->gue.udp.check = ~sum_fold16(sum);
		if (!s->gue.udp.check)
			s->gue.udp.check = 0xffff; /* RFC 768: zero would mean "none" */
		return 0;
	}
	s->gre.gre = tun_gre(p->family, checksum);
	if (!checksum)
		return 0;
	s->gre.reserved = 0;
	sum = *(__u32 *)&s->gre.gre;
	if (wire_sum(ctx, p, p->l3, p->length, &sum))
		return -1;
	s->gre.checksum = ~sum_fold16(sum);
	return 0;
}

static __always_inline int tun_put_shim(hook_ctx *ctx, __u32 at, __u32 length, union tun_shim *s)
{
	if (length == sizeof(struct tun_gue))
		return hook_put(ctx, at, &s->gue);
	if (length == sizeof(struct tun_gre_checksum))
		return hook_put(ctx, at, &s->gre);
	return hook_put(ctx, at, &s->gre.gre);
}

/* The outer source address: the director's, or one of those that vary by flow. */
static __always_inline void tun_source(const struct packet *p, const struct xlvs_destination *d,
				       struct xlvs_addr *source)
{
	const struct xlvs_settings *s = settings_get();

	*source = d->tunnel_source;
	/* GUE varies by its port. */
	if (!s || likely(!(s->spread4 | s->spread6)) || d->tunnel_type == XLVS_TUNNEL_GUE)
		return;
	if (d->family == AF_INET && s->spread4) {
		source->word[3] = tun_spread(s->spread_source4.word[3], s->spread4,
					     tun_flow(&p->tuple));
	} else if (d->family != AF_INET && s->spread6) {
		*source = s->spread_source6;
		source->word[3] = tun_spread(source->word[3], s->spread6, tun_flow(&p->tuple));
	}
}

/*
 * A GSO frame, which only TC has, leaves without checksum, also where one is asked for: no
 * helper tells the kernel to fill in one for each segment, and all would carry the same.
 */
subprogram int tun_forward(hook_ctx *ctx, struct packet *p, const struct xlvs_destination *d)
{
	enum hook_room room = HOOK_ROOM_PLAIN;
	struct xlvs_addr source;
	union tun_shim shim;
	__u8 protocol;
	__u32 between;

	if (!p || !d)
		return XLVS_REASON_DROP_INTERNAL;
	if (rewrite_ttl(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	tun_source(p, d, &source);
	protocol = tun_protocol(d->tunnel_type, p->family);
	between = tun_shim_length(d->tunnel_type, tun_has_checksum(d) && p->wire.packets <= 1);
	if (between) {
		if (tun_shim(ctx, p, d, &source, &shim))
			return XLVS_REASON_DROP_INTERNAL;
		room = d->tunnel_type == XLVS_TUNNEL_GUE ? HOOK_ROOM_UDP : HOOK_ROOM_GRE;
	}
	if (d->family == AF_INET) {
		/* IPVS copies the bit; IPv6 has none to copy. */
		bool df = p->pmtu_disc && p->dont_fragment && p->family == AF_INET;
		struct tun_header4 ip = tun_header4(d, source.word[3], p->tos, p->length + between,
						    tun_ttl_protocol(p->ttl, protocol), df);

		if (hook_reframe(ctx, p, sizeof(ip) + between, bpf_htons(ETH_P_IP),
				 HOOK_ROOM_TUNNEL_V4 | room) ||
		    hook_put(ctx, p->l3, &ip) ||
		    (between && tun_put_shim(ctx, p->l3 + sizeof(ip), between, &shim)))
			return XLVS_REASON_DROP_HEADROOM;
	} else {
		__u8 tos = tun_tos(p->tos);
		struct ipv6hdr ip = {
			.version = 6,
			.priority = tos >> 4,
			.flow_lbl = { tos << 4 },
			.payload_len = bpf_htons(p->length + between),
			.nexthdr = protocol,
			.hop_limit = p->ttl,
		};

		__builtin_memcpy(&ip.saddr, &source, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &d->address, sizeof(ip.daddr));
		if (hook_reframe(ctx, p, sizeof(ip) + between, bpf_htons(ETH_P_IPV6),
				 HOOK_ROOM_TUNNEL_V6 | room) ||
		    hook_put(ctx, p->l3, &ip) ||
		    (between && tun_put_shim(ctx, p->l3 + sizeof(ip), between, &shim)))
			return XLVS_REASON_DROP_HEADROOM;
	}
	return XLVS_REASON_FWD_TUN;
}

#endif
