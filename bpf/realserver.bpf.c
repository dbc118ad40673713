/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The real server's end of the TUN method: takes the tunnel's headers off packets that a
 * director sent (IP in IP, GRE, GUE; IPv4 and IPv6, also mixed), so that the stack below
 * sees the client's packet to the virtual address on lo. Neither the ipip, gre or fou
 * modules nor a tunl0 is needed.
 *
 * Two programs do the same:
 *  - xlvs_decap_tc, clsact ingress: keeps GRO and GSO. Mixed families need
 *    BPF_F_ADJ_ROOM_DECAP_L3_* (kernel 6.3).
 *  - xlvs_decap_xdp: any kernel; for mixed families before 6.3.
 *
 * A packet is touched only if the outer destination is an address of this host and the
 * inner destination one of its virtual addresses, and by the kind of tunnel that is
 * expected for it: nobody else's tunnel is opened, and nobody can smuggle a packet past a
 * firewall to another address. Everything else goes on unchanged.
 *
 * xlvs_mss, clsact egress, makes clients send what fits into the tunnel.
 */
#include <linux/pkt_cls.h>

#include "realserver/mss.h"
#include "realserver/tunnel.h"

/* Kernel 6.3; absent from older headers. */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

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

SEC("tc")
int xlvs_mss(struct __sk_buff *skb)
{
	mss_clamp(skb);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
