/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP segment becomes a reset. The one that answers it (RFC 9293 3.5.2, "reset generation")
 * has the number that its sender expects next, the one that takes its place its own number,
 * which its receiver expects: so they believe it.
 */
#ifndef XLVS_RESET_H
#define XLVS_RESET_H

#include "forward/icmp_error.h"

/* How many sequence numbers the segment takes up: without any it does not come again. */
static __always_inline __u32 reset_sequence(const struct packet *p, const struct tcphdr *tcp)
{
	return p->length - (p->l4 - p->l3) - tcp->doff * 4 + !!(p->tcp_flags & TCP_SYN) +
	       !!(p->tcp_flags & TCP_FIN);
}

/* Back to who sent the segment, in the name of whom it was for. */
subprogram int reset_back(hook_ctx *ctx, struct packet *p)
{
	struct tcphdr tcp = {}, *was;
	__u32 payload, headers;
	__u16 seed, sum;
	bool partial;

	if (!p)
		return XLVS_REASON_DROP_INTERNAL;
	if (!answer_allowed())
		return XLVS_REASON_DROP_ANSWER_RATE;
	headers = p->l4 - p->l3;
	was = view(ctx, p->l4, struct tcphdr);
	if (!was)
		return XLVS_REASON_DROP_INTERNAL;
	payload = reset_sequence(p, was);
	tcp.source = was->dest;
	tcp.dest = was->source;
	tcp.doff = sizeof(tcp) / 4;
	tcp.rst = 1;
	if (p->tcp_flags & TCP_ACK) {
		tcp.seq = was->ack_seq;
	} else {
		tcp.ack = 1;
		tcp.ack_seq = bpf_htonl(bpf_ntohl(was->seq) + payload);
	}
	/* As in wire_sum(): what the device completes needs the seed only. */
	seed = sum_fold16(wire_pseudo(p, p->length - headers));
	partial = hook_checksum_partial(ctx, seed, was->check);
	sum = sum_fold16(wire_pseudo(p, sizeof(tcp)));
	tcp.check = partial ? sum :
			      (__u16)~sum_fold16((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&tcp,
								      sizeof(tcp), sum));
	if (hook_trim(ctx, p->l4 + sizeof(tcp)) || hook_turn_around(ctx, p) ||
	    hook_reframe(ctx, p, 0,
			 p->family == AF_INET ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6),
			 HOOK_ROOM_PLAIN))
		return XLVS_REASON_DROP_HEADROOM;
	p->l4 = p->l3 + headers;
	if (p->family == AF_INET) {
		struct iphdr *ip = view(ctx, p->l3, struct iphdr);
		sum_t diff = 0;
		__be16 length = bpf_htons(headers + sizeof(tcp));

		if (!ip)
			return XLVS_REASON_DROP_INTERNAL;
		diff = sum_replace16(diff, ip->tot_len, length);
		diff = sum_replace16(diff, bpf_htons(ip->ttl << 8), bpf_htons(64 << 8));
		ip->tot_len = length;
		ip->ttl = 64;
		ip->saddr = p->tuple.dst.word[3];
		ip->daddr = p->tuple.src.word[3];
		ip->check = checksum_update(ip->check, diff);
	} else {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);

		if (!ip)
			return XLVS_REASON_DROP_INTERNAL;
		ip->payload_len = bpf_htons(headers - sizeof(*ip) + sizeof(tcp));
		ip->hop_limit = 64;
		__builtin_memcpy(&ip->saddr, &p->tuple.dst, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &p->tuple.src, sizeof(ip->daddr));
	}
	return hook_put(ctx, p->l4, &tcp) ? XLVS_REASON_DROP_HEADROOM : XLVS_REASON_REPLY_RESET;
}

/* On its way as it was, but a reset. Its payload may stay (RFC 1122 4.2.2.12). */
subprogram int reset_on(hook_ctx *ctx, struct packet *p)
{
	/* Data offset and flags are one word. */
	const __u32 flags = offsetof(struct tcphdr, ack_seq) + sizeof(__be32);
	__be16 was, is;

	if (!p || hook_load(ctx, p->l4 + flags, &was, sizeof(was)))
		return XLVS_REASON_DROP_INTERNAL;
	is = (was & bpf_htons(0xff00 | TCP_ACK)) | bpf_htons(TCP_RST);
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0,
				 sum_replace16(0, was, is), false) ||
	    hook_overwrite(ctx, p->l4 + flags, &is, sizeof(is)))
		return XLVS_REASON_DROP_INTERNAL;
	p->tcp_flags = TCP_RST | (p->tcp_flags & TCP_ACK);
	return XLVS_REASON_NONE;
}

#endif
