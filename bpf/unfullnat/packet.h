/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of un-FULLNAT: TCP, and ICMP errors about TCP. Frames of Ethernet; a VLAN tag is
 * metadata at this hook.
 */
#ifndef XLVS_UNFULLNAT_PACKET_H
#define XLVS_UNFULLNAT_PACKET_H

#include "lib/address.h"
#include "lib/checksum.h"
#include "unfullnat/maps.h"

/* <netinet/ip.h> */
#define IP_FRAGMENT 0x3fff /* more to come, or not the first */
#define IP_OFFSET 0x1fff

enum un_kind {
	UN_OTHER,
	UN_TCP,
	UN_ERROR, /* ICMP about a TCP packet that went the other way */
	UN_FRAGMENT,
};

/*
 * `flow`: of an error, of the connection that it is about. Offsets in the frame: `l4` of the
 * transport header; `ip` of the header with the peer's address, `ports` of the ports behind it.
 * Of an error these two are in the packet that it quotes.
 */
struct un_packet {
	struct un_flow flow;
	__u32 l4;
	__u32 ip;
	__u32 ports;
	bool v4;
	bool peer_is_source; /* in the header at `ip` */
	__u8 flags;          /* of TCP */
};

/*
 * Since 6.16 the kernel wants to know that a pseudo-header difference is one of IPv6 addresses,
 * which cancels out in skb->csum of a CHECKSUM_COMPLETE frame.
 */
#define UN_CSUM_IPV6 (1ULL << 7)
extern int LINUX_KERNEL_VERSION __kconfig;

static __always_inline int un_load_v4(struct __sk_buff *skb, struct un_packet *p, __u8 *protocol)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, p->ip, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return -1;
	address_from_v4(&p->flow.peer, p->peer_is_source ? ip.saddr : ip.daddr);
	address_from_v4(&p->flow.host, p->peer_is_source ? ip.daddr : ip.saddr);
	p->ports = p->ip + ip.ihl * 4;
	*protocol = ip.protocol;
	return bpf_ntohs(ip.frag_off) & IP_FRAGMENT;
}

static __always_inline int un_load_v6(struct __sk_buff *skb, struct un_packet *p, __u8 *protocol)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, p->ip, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	address_from_v6(&p->flow.peer, p->peer_is_source ? &ip.saddr : &ip.daddr);
	address_from_v6(&p->flow.host, p->peer_is_source ? &ip.daddr : &ip.saddr);
	p->ports = p->ip + sizeof(ip);
	*protocol = ip.nexthdr;
	return ip.nexthdr == IPPROTO_FRAGMENT ? IP_FRAGMENT : 0;
}

/* Addresses of the header at p->ip; how fragmented it is, less than 0: not readable. */
static __always_inline int un_load_ip(struct __sk_buff *skb, struct un_packet *p, __u8 *protocol)
{
	return p->v4 ? un_load_v4(skb, p, protocol) : un_load_v6(skb, p, protocol);
}

static __always_inline int un_load_ports(struct __sk_buff *skb, struct un_packet *p)
{
	__be16 ports[2];

	if (bpf_skb_load_bytes(skb, p->ports, ports, sizeof(ports)))
		return -1;
	p->flow.peer_port = p->peer_is_source ? ports[0] : ports[1];
	p->flow.host_port = p->peer_is_source ? ports[1] : ports[0];
	return 0;
}

static __always_inline bool un_icmp_is_error(bool v4, __u8 type)
{
	if (v4)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED;
	return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

static __always_inline int un_classify_error(struct __sk_buff *skb, struct un_packet *p)
{
	struct icmp_header icmp;
	__u8 protocol;
	int fragment;

	if (bpf_skb_load_bytes(skb, p->l4, &icmp, sizeof(icmp)) ||
	    !un_icmp_is_error(p->v4, icmp.type))
		return UN_OTHER;
	p->ip = p->l4 + sizeof(icmp);
	p->peer_is_source = !p->peer_is_source;
	fragment = un_load_ip(skb, p, &protocol);
	if (fragment < 0 || fragment & IP_OFFSET || protocol != IPPROTO_TCP)
		return UN_OTHER;
	return un_load_ports(skb, p) ? UN_OTHER : UN_ERROR;
}

/* `in`: comes in, so the peer is the source. */
static __always_inline int un_classify(struct __sk_buff *skb, struct un_packet *p, bool in)
{
	__u8 protocol;
	int fragment;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return UN_OTHER;
	p->v4 = skb->protocol == bpf_htons(ETH_P_IP);
	p->peer_is_source = in;
	p->ip = ETH_HLEN;
	fragment = un_load_ip(skb, p, &protocol);
	if (fragment)
		return fragment > 0 ? UN_FRAGMENT : UN_OTHER;
	p->l4 = p->ports;
	if (protocol == (p->v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return un_classify_error(skb, p);
	if (protocol != IPPROTO_TCP || un_load_ports(skb, p) ||
	    bpf_skb_load_bytes(skb, p->l4 + 13, &p->flags, sizeof(p->flags)))
		return UN_OTHER;
	return UN_TCP;
}

/* The checksum at `at`: of addresses in its pseudo header, of bytes that it covers. */
static __always_inline int un_checksum(struct __sk_buff *skb, __u32 at, sum_t pseudo, sum_t covered)
{
	__u64 flags = BPF_F_PSEUDO_HDR;
	__u32 diff = sum_fold32(covered);

	if (diff && bpf_l4_csum_replace(skb, at, 0, diff, 0))
		return -1;
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 16, 0) &&
	    skb->protocol == bpf_htons(ETH_P_IPV6))
		flags |= UN_CSUM_IPV6;
	diff = sum_fold32(pseudo);
	return diff && bpf_l4_csum_replace(skb, at, 0, diff, flags) ? -1 : 0;
}

static __always_inline sum_t un_address_diff(const struct xlvs_addr *was,
					     const struct xlvs_addr *is)
{
	sum_t diff = 0;

#pragma unroll
	for (int i = 0; i < 4; i++)
		diff = sum_replace32(diff, was->word[i], is->word[i]);
	return diff;
}

/* The source or destination of the IP header at `ip`; IPv4's own checksum, too. */
static __always_inline int un_store_address(struct __sk_buff *skb, __u32 ip, bool v4, bool source,
					    const struct xlvs_addr *was, const struct xlvs_addr *is)
{
	if (!v4)
		return bpf_skb_store_bytes(skb,
					   ip + (source ? offsetof(struct ipv6hdr, saddr) :
							  offsetof(struct ipv6hdr, daddr)),
					   is, sizeof(*is), 0);
	if (bpf_l3_csum_replace(skb, ip + offsetof(struct iphdr, check), was->word[3], is->word[3],
				sizeof(__be32)))
		return -1;
	return bpf_skb_store_bytes(
		skb, ip + (source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr)),
		&is->word[3], sizeof(__be32), 0);
}

/* The peer's address and port in the header at p->ip. */
static __always_inline int un_store_peer(struct __sk_buff *skb, struct un_packet *p,
					 const struct un_end *is)
{
	__u32 port = p->ports + (p->peer_is_source ? 0 : sizeof(__be16));

	if (un_store_address(skb, p->ip, p->v4, p->peer_is_source, &p->flow.peer, &is->address))
		return -1;
	return bpf_skb_store_bytes(skb, port, &is->port, sizeof(is->port), 0);
}

static __always_inline int un_rewrite_tcp(struct __sk_buff *skb, struct un_packet *p,
					  const struct un_end *is)
{
	sum_t port = sum_replace16(0, p->flow.peer_port, is->port);

	if (un_checksum(skb, p->l4 + offsetof(struct tcphdr, check),
			un_address_diff(&p->flow.peer, &is->address), port))
		return -1;
	return un_store_peer(skb, p, is);
}

/*
 * What an error quotes. IPv4's header there has a checksum of its own, so a change of addresses
 * does not change the sum of the whole.
 */
static __always_inline int un_rewrite_quoted(struct __sk_buff *skb, struct un_packet *p,
					     const struct un_end *is)
{
	sum_t covered = sum_replace16(0, p->flow.peer_port, is->port);

	if (!p->v4)
		covered += un_address_diff(&p->flow.peer, &is->address);
	if (un_checksum(skb, p->l4 + offsetof(struct icmp_header, checksum), 0, covered))
		return -1;
	return un_store_peer(skb, p, is);
}

/* An error that goes out, to who sent the packet that it quotes. */
static __always_inline int un_readdress_error(struct __sk_buff *skb, struct un_packet *p,
					      const struct un_end *is)
{
	if (!p->v4 && un_checksum(skb, p->l4 + offsetof(struct icmp_header, checksum),
				  un_address_diff(&p->flow.peer, &is->address), 0))
		return -1;
	return un_store_address(skb, ETH_HLEN, p->v4, false, &p->flow.peer, &is->address);
}

#endif
