/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The real server's end of the TUN method: takes the outer IP header off
 * packets that a director sent (IPIP, IP6IP6 and mixed), so that the stack
 * below sees the client's packet to the virtual address on lo. Neither the ipip
 * module nor a tunl0 is needed.
 *
 * Two programs do the same:
 *  - xlvs_decap_tc, clsact ingress: keeps GRO and GSO. Mixed families need
 *    BPF_F_ADJ_ROOM_DECAP_L3_* (kernel 6.3).
 *  - xlvs_decap_xdp: any kernel; for mixed families before 6.3.
 *
 * A packet is touched only if the outer destination is an address of this host
 * and the inner destination one of its virtual addresses: nobody else's tunnel
 * is opened, and nobody can smuggle a packet past a firewall to another address.
 * Everything else goes on unchanged.
 */
#include <linux/pkt_cls.h>

#include "lib/address.h"

/* Kernel 6.3; absent from older headers. */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

#define IP_FRAGMENT_MASK 0x3fff /* more fragments | offset */
#define ECN_MASK 3
#define ECN_CE 3

/* Both are filled before the program is attached and never change after that. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct xlvs_addr);
	__type(value, __u8);
} decap_inner SEC(".maps"); /* virtual addresses */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct xlvs_addr);
	__type(value, __u8);
} decap_outer SEC(".maps"); /* addresses of this host */

struct tunnel {
	__u32 outer_len; /* bytes to take off; 0: not ours */
	__u8 outer_version;
	__u8 inner_version;
	bool congested; /* the outer header says CE */
};

/* The only place that knows how a hook reads: bytes from the IP header on. */
static __always_inline long read_ip(void *ctx, bool xdp, __u32 offset, void *to, __u32 len)
{
	return xdp ? bpf_xdp_load_bytes(ctx, ETH_HLEN + offset, to, len) :
		     bpf_skb_load_bytes_relative(ctx, offset, to, len, BPF_HDR_START_NET);
}

/* Outer IPv4: its length, or 0. Fragments go on: the stack has to join them first. */
static __always_inline __u32 outer4(void *ctx, bool xdp, struct xlvs_addr *dst, __u8 *protocol,
				    bool *congested)
{
	struct iphdr ip;

	if (read_ip(ctx, xdp, 0, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return 0;
	if (ip.frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return 0;
	address_from_v4(dst, ip.daddr);
	*protocol = ip.protocol;
	*congested = (ip.tos & ECN_MASK) == ECN_CE;
	return ip.ihl * 4;
}

/* Outer IPv6: its length, or 0. Linux tunnels add one header of destination options. */
static __always_inline __u32 outer6(void *ctx, bool xdp, struct xlvs_addr *dst, __u8 *protocol,
				    bool *congested)
{
	struct ipv6_opt_hdr options;
	struct ipv6hdr ip;

	if (read_ip(ctx, xdp, 0, &ip, sizeof(ip)) || ip.version != 6)
		return 0;
	address_from_v6(dst, &ip.daddr);
	*congested = ((ip.flow_lbl[0] >> 4) & ECN_MASK) == ECN_CE;
	*protocol = ip.nexthdr;
	if (ip.nexthdr != IPPROTO_DSTOPTS)
		return sizeof(ip);
	if (read_ip(ctx, xdp, sizeof(ip), &options, sizeof(options)))
		return 0;
	*protocol = options.nexthdr;
	return sizeof(ip) + (options.hdrlen + 1) * 8;
}

static __always_inline bool read_inner(void *ctx, bool xdp, __u32 offset, __u8 protocol,
				       struct xlvs_addr *dst)
{
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	} ip;

	if (protocol == IPPROTO_IPIP) {
		if (read_ip(ctx, xdp, offset, &ip.v4, sizeof(ip.v4)) || ip.v4.version != 4)
			return false;
		address_from_v4(dst, ip.v4.daddr);
		return true;
	}
	if (protocol == IPPROTO_IPV6) {
		if (read_ip(ctx, xdp, offset, &ip.v6, sizeof(ip.v6)) || ip.v6.version != 6)
			return false;
		address_from_v6(dst, &ip.v6.daddr);
		return true;
	}
	return false;
}

static __always_inline struct tunnel classify(void *ctx, bool xdp, __be16 ethertype)
{
	struct tunnel none = {}, tunnel = {};
	struct xlvs_addr outer, inner;
	__u8 protocol = 0;

	if (ethertype == bpf_htons(ETH_P_IP)) {
		tunnel.outer_version = 4;
		tunnel.outer_len = outer4(ctx, xdp, &outer, &protocol, &tunnel.congested);
	} else if (ethertype == bpf_htons(ETH_P_IPV6)) {
		tunnel.outer_version = 6;
		tunnel.outer_len = outer6(ctx, xdp, &outer, &protocol, &tunnel.congested);
	}
	if (!tunnel.outer_len || !read_inner(ctx, xdp, tunnel.outer_len, protocol, &inner))
		return none;
	if (!bpf_map_lookup_elem(&decap_outer, &outer) ||
	    !bpf_map_lookup_elem(&decap_inner, &inner))
		return none;
	tunnel.inner_version = protocol == IPPROTO_IPIP ? 4 : 6;
	return tunnel;
}

static __always_inline __be16 ethertype_of(__u8 version)
{
	return bpf_htons(version == 4 ? ETH_P_IP : ETH_P_IPV6);
}

SEC("tc")
int xlvs_decap_tc(struct __sk_buff *skb)
{
	struct tunnel tunnel = classify(skb, false, skb->protocol);
	/* The segments' size is the inner one already. */
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	__be16 ethertype;

	/* UNSPEC in every case but a drop: other people's filters run after this one. */
	if (!tunnel.outer_len)
		return TC_ACT_UNSPEC;
	if (tunnel.inner_version != tunnel.outer_version)
		flags |= tunnel.inner_version == 4 ? ADJ_ROOM_DECAP_L3_IPV4 :
						     ADJ_ROOM_DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(__s32)tunnel.outer_len, BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	if (tunnel.inner_version != tunnel.outer_version) {
		/* The helper changes skb->protocol; this is for those who read the frame. */
		ethertype = ethertype_of(tunnel.inner_version);
		bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &ethertype,
				    sizeof(ethertype), 0);
	}
	/* RFC 6040: congestion travels inwards; who cannot hear of it gets no packet. */
	if (tunnel.congested && !bpf_skb_ecn_set_ce(skb))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

/* RFC 6040 for XDP: true if the inner header now says CE. */
static __always_inline bool set_ce(struct xdp_md *ctx, __u8 version)
{
	__u8 word[2];
	struct iphdr ip;
	__u32 sum;

	if (version == 6) {
		if (bpf_xdp_load_bytes(ctx, ETH_HLEN, word, sizeof(word)) ||
		    !(word[1] & (ECN_MASK << 4)))
			return false;
		word[1] |= ECN_CE << 4;
		return !bpf_xdp_store_bytes(ctx, ETH_HLEN, word, sizeof(word));
	}
	if (bpf_xdp_load_bytes(ctx, ETH_HLEN, &ip, sizeof(ip)) || !(ip.tos & ECN_MASK))
		return false;
	/* RFC 1624; TOS is the low byte of the first word. */
	sum = (__u16)~bpf_ntohs(ip.check) + (ECN_CE - (ip.tos & ECN_MASK));
	sum = (sum & 0xffff) + (sum >> 16);
	ip.check = bpf_htons(~sum);
	ip.tos |= ECN_CE;
	return !bpf_xdp_store_bytes(ctx, ETH_HLEN, &ip, sizeof(ip));
}

SEC("xdp")
int xlvs_decap_xdp(struct xdp_md *ctx)
{
	struct tunnel tunnel;
	struct ethhdr eth;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return XDP_PASS;
	tunnel = classify(ctx, true, eth.h_proto);
	if (!tunnel.outer_len)
		return XDP_PASS;
	eth.h_proto = ethertype_of(tunnel.inner_version);
	if (bpf_xdp_adjust_head(ctx, tunnel.outer_len) ||
	    bpf_xdp_store_bytes(ctx, 0, &eth, sizeof(eth)))
		return XDP_DROP;
	if (tunnel.congested && !set_ce(ctx, tunnel.inner_version))
		return XDP_DROP;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
