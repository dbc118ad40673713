/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Changing addresses, ports and TTL of a packet, its checksums with them. */
#ifndef XLVS_REWRITE_H
#define XLVS_REWRITE_H

#include "lib/crc32c.h"
#include "lib/ranged_sum.h"
#include "packet.h"

/* One hop less (RFC 1812 5.3.1, RFC 8200 3). The caller has checked that ttl > 1. */
static __always_inline int rewrite_ttl(hook_ctx *ctx, struct packet *p)
{
	if (p->family == AF_INET) {
		struct iphdr *ip = view(ctx, p->l3, struct iphdr);

		if (!ip)
			return -1;
		/* TTL is the high byte of its 16-bit word in network order. */
		ip->check = checksum_update(ip->check, sum_replace16(0, bpf_htons(0x0100), 0));
		ip->ttl--;
	} else {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);

		if (!ip)
			return -1;
		ip->hop_limit--;
	}
	p->ttl--;
	return 0;
}

/* Writes addresses, and one hop less if `hop`, into the IP header at `l3`. */
static __always_inline int rewrite_ip(hook_ctx *ctx, __u32 l3, __u8 family,
				      const struct xlvs_addr *src, const struct xlvs_addr *dst,
				      bool hop)
{
	if (family == AF_INET) {
		struct iphdr *ip = view(ctx, l3, struct iphdr);
		sum_t diff = 0;

		if (!ip)
			return -1;
		diff = sum_replace32(diff, ip->saddr, src->word[3]);
		diff = sum_replace32(diff, ip->daddr, dst->word[3]);
		ip->saddr = src->word[3];
		ip->daddr = dst->word[3];
		if (hop) {
			diff = sum_replace16(diff, bpf_htons(0x0100), 0);
			ip->ttl--;
		}
		ip->check = checksum_update(ip->check, diff);
	} else {
		struct ipv6hdr *ip = view(ctx, l3, struct ipv6hdr);

		if (!ip)
			return -1;
		__builtin_memcpy(&ip->saddr, src, sizeof(*src));
		__builtin_memcpy(&ip->daddr, dst, sizeof(*dst));
		if (hop)
			ip->hop_limit--;
	}
	return 0;
}

/* The difference that a change of address makes to a sum. */
static __always_inline sum_t rewrite_difference(sum_t sum, __u8 family,
						const struct xlvs_addr *from,
						const struct xlvs_addr *to)
{
	if (family == AF_INET)
		return sum_replace32(sum, from->word[3], to->word[3]);
	/* By the helper: four words more cost stack, which is short. */
	return bpf_csum_diff((__be32 *)from, sizeof(*from), (__be32 *)to, sizeof(*to),
			     sum_fold32(sum));
}

/*
 * UDP without a checksum: IPVS fills in a full one when it translates, because
 * the receiver could not tell a translation error from none (RFC 768 allows both).
 */
static __noinline int rewrite_udp_checksum(hook_ctx *ctx, const struct packet *p,
					   const struct xlvs_addr *src, const struct xlvs_addr *dst)
{
	__u32 length = p->length - (p->l4 - p->l3);
	__u32 sum = 0;
	__u16 checksum;

	if (ranged_sum(ctx, p->l4, length, &sum))
		return -1;
	/* A mapped address's 0xffff is zero in one's complement: both families fit. */
	checksum = ~sum_fold16(sum_address(sum_address(sum, src), dst) + bpf_htons(IPPROTO_UDP) +
			       bpf_htonl(length));
	if (!checksum)
		checksum = 0xffff;
	return hook_store(ctx, p->l4 + offsetof(struct udphdr, check), &checksum, sizeof(checksum));
}

/*
 * SCTP's CRC covers no addresses. It takes up the change of ports without a look at the
 * rest, so a packet that was damaged before stays so. (IPVS makes a new CRC, which tells
 * the receiver that the damage is right.)
 */
static __noinline int rewrite_sctp(hook_ctx *ctx, const struct packet *p)
{
	struct sctp_header *seen = view(ctx, p->l4, struct sctp_header), made;
	__u32 was, is;

	if (!seen)
		return -1;
	made = *seen;
	was = (__u32)made.source | (__u32)made.dest << 16;
	is = (__u32)p->to.sport | (__u32)p->to.dport << 16;
	if (was == is)
		return 0;
	made.source = p->to.sport;
	made.dest = p->to.dport;
	if (!hook_crc_to_come(ctx, made.checksum))
		made.checksum ^= crc32c_difference(was ^ is, p->length - (p->l4 - p->l3));
	return hook_put(ctx, p->l4, &made);
}

/*
 * Translates a packet of a connection into what p->to says: a client's as the real server
 * is to see it, a server's as the client is.
 */
subprogram int rewrite_transport(hook_ctx *ctx, struct packet *p, __u32 hop)
{
	const struct xlvs_addr *src, *dst;
	struct port_pair *ports, to;
	bool udp, absent;

	if (!p)
		return -1;
	src = &p->to.src;
	dst = &p->to.dst;
	if (unlikely((p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP) ||
		     p->fragment == FRAGMENT_LATER)) {
		if (p->protocol == IPPROTO_SCTP && p->fragment != FRAGMENT_LATER &&
		    rewrite_sctp(ctx, p))
			return -1;
		return rewrite_ip(ctx, p->l3, p->family, src, dst, hop);
	}
	to.source = p->to.sport;
	to.dest = p->to.dport;
	udp = p->protocol == IPPROTO_UDP;
	absent = udp && p->udp_checksum_absent;
	if (!absent) {
		__u32 field = p->l4 + (udp ? offsetof(struct udphdr, check) :
					     offsetof(struct tcphdr, check));
		sum_t pseudo = rewrite_difference(0, p->family, &p->tuple.src, src), covered;

		pseudo = rewrite_difference(pseudo, p->family, &p->tuple.dst, dst);
		covered = sum_replace16(0, p->tuple.sport, to.source);
		covered = sum_replace16(covered, p->tuple.dport, to.dest);
		if (hook_checksum_update(ctx, field, pseudo, covered, udp))
			return -1;
	}
	ports = view(ctx, p->l4, struct port_pair);
	if (!ports)
		return -1;
	*ports = to;
	if (rewrite_ip(ctx, p->l3, p->family, src, dst, hop))
		return -1;
	/* Of a GSO frame each packet would need its own; of a fragment the rest is not here. */
	return absent && p->wire.packets == 1 && !p->fragment ?
		       rewrite_udp_checksum(ctx, p, src, dst) :
		       0;
}

/*
 * An ICMP error: the outer addresses become src and dst, the quoted packet becomes
 * `quoted`. The quoted transport checksum stays, as IPVS leaves it: only ports and
 * sequence number are promised to be there (RFC 792, RFC 1812 4.3.2.3).
 */
subprogram int rewrite_icmp_error(hook_ctx *ctx, struct packet *p, const struct xlvs_addr *src,
				  const struct xlvs_addr *dst, const struct xlvs_tuple *quoted)
{
	sum_t pseudo = 0, covered = 0;
	struct port_pair *ports;

	if (!p || !src || !dst || !quoted)
		return -1;
	/* p->tuple is the quoted packet's, reversed; AH and ESP have no ports. */
	if (likely(p->quoted_l4)) {
		covered = sum_replace16(covered, p->tuple.dport, quoted->sport);
		covered = sum_replace16(covered, p->tuple.sport, quoted->dport);
	}
	if (p->family == AF_INET6) {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);
		struct xlvs_addr was;

		if (!ip)
			return -1;
		address_from_v6(&was, &ip->saddr);
		pseudo = rewrite_difference(pseudo, p->family, &was, src);
		address_from_v6(&was, &ip->daddr);
		pseudo = rewrite_difference(pseudo, p->family, &was, dst);
		covered = rewrite_difference(covered, p->family, &p->tuple.dst, &quoted->src);
		covered = rewrite_difference(covered, p->family, &p->tuple.src, &quoted->dst);
	}
	/* IPv4: the quoted header's own checksum takes up its addresses' change. */
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct icmp_header, checksum), pseudo,
				 covered, false))
		return -1;
	if (rewrite_ip(ctx, p->quoted_l3, p->family, &quoted->src, &quoted->dst, false))
		return -1;
	if (likely(p->quoted_l4)) {
		ports = view(ctx, p->quoted_l4, struct port_pair);
		if (!ports)
			return -1;
		ports->source = quoted->sport;
		ports->dest = quoted->dport;
	}
	return rewrite_ip(ctx, p->l3, p->family, src, dst, true);
}

#endif
