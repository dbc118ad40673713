/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A real server answers clients directly, so only it can tell them how much fits into the
 * tunnel that their packets come through: by the MSS of its SYN/ACK (RFC 9293 3.7.1). The
 * director sees the client's SYN alone, whose MSS is about the way that has no tunnel.
 */
#ifndef XLVS_REALSERVER_MSS_H
#define XLVS_REALSERVER_MSS_H

#include "lib/tcp_option.h"
#include "realserver/maps.h"

#define MSS_OPTIONS_MAX 10 /* as many as 40 bytes have, without one byte each */
#define MSS_SYN_ACK 0x12   /* among SYN, RST, FIN and ACK */
#define MSS_FLAGS 0x17

/* The offset of the MSS option's value, 0 without; `at`: of the TCP header. */
static __always_inline __u32 mss_option(struct __sk_buff *skb, __u32 at, __u32 end)
{
	__u8 option[2];

	at += sizeof(struct tcphdr);
	for (int i = 0; i < MSS_OPTIONS_MAX; i++) { /* the verifier walks it */
		if (at + TCP_OPTION_MSS_LENGTH > end ||
		    bpf_skb_load_bytes(skb, at, option, sizeof(option)) ||
		    option[0] == TCP_OPTION_END)
			return 0;
		if (option[0] == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (option[0] == TCP_OPTION_MSS)
			return option[1] == TCP_OPTION_MSS_LENGTH ? at + 2 : 0;
		if (option[1] < 2)
			return 0;
		at += option[1];
	}
	return 0;
}

/* Lowers the MSS of a SYN/ACK whose TCP header is at `at` to what the tunnel leaves of the MTU. */
static __always_inline void mss_lower(struct __sk_buff *skb, __u32 at, __u32 headers,
				      __u32 overhead)
{
	struct tcphdr tcp;
	__be16 mss, most;
	__u32 mtu = 0, where;

	if (bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) ||
	    (((__u8 *)&tcp)[13] & MSS_FLAGS) != MSS_SYN_ACK)
		return;
	/* Also says what the device's MTU is. */
	bpf_check_mtu(skb, 0, &mtu, 0, 0);
	where = mss_option(skb, at, at + tcp.doff * 4);
	/* Whose checksum would be the other way round: nobody sends that. */
	if (!where || (where - at) & 1 || mtu < headers + overhead + sizeof(tcp) ||
	    bpf_skb_load_bytes(skb, where, &mss, sizeof(mss)))
		return;
	mtu -= headers + overhead + sizeof(tcp);
	if (bpf_ntohs(mss) <= mtu)
		return;
	most = bpf_htons(mtu);
	if (!bpf_l4_csum_replace(skb, at + offsetof(struct tcphdr, check), mss, most, sizeof(most)))
		bpf_skb_store_bytes(skb, where, &most, sizeof(most), 0);
}

static __always_inline void mss_clamp(struct __sk_buff *skb)
{
	struct decap_virtual *v;
	struct xlvs_addr src;
	__u32 at, headers;
	__u8 protocol;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4)
			return;
		address_from_v4(&src, ip.saddr);
		protocol = ip.protocol;
		headers = sizeof(ip);
		at = ETH_HLEN + ip.ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6)
			return;
		address_from_v6(&src, &ip.saddr);
		protocol = ip.nexthdr;
		headers = sizeof(ip);
		at = ETH_HLEN + sizeof(ip);
	} else {
		return;
	}
	if (protocol != IPPROTO_TCP)
		return;
	v = bpf_map_lookup_elem(&decap_inner, &src);
	if (v && v->overhead)
		mss_lower(skb, at, headers, v->overhead);
}

#endif
