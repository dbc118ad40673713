/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sum of a packet's bytes as its receiver will see them. */
#ifndef XLVS_WIRE_SUM_H
#define XLVS_WIRE_SUM_H

#include "lib/ranged_sum.h"
#include "packet.h"

/* The sum that a transport checksum begins with: p's addresses, and `length` bytes of it. */
static __always_inline sum_t wire_pseudo(const struct packet *p, __u32 length)
{
	return (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&p->tuple, 2 * sizeof(struct xlvs_addr), 0) +
	       (sum_t)bpf_htons(p->protocol) + bpf_htonl(length);
}

/*
 * Adds `length` bytes at `at` to *sum: the packet p from its IP header on, or the one that
 * an ICMP error in p quotes. A TC frame whose transport checksum is still to be completed
 * by the device is added up as if it were: from the transport header on, its bytes then
 * sum to the seed's complement.
 */
static __always_inline int wire_sum(hook_ctx *ctx, const struct packet *p, __u32 at, __u32 length,
				    __u32 *sum)
{
	if ((p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP) && !p->fragment) {
		bool udp = p->protocol == IPPROTO_UDP;
		__u32 header = p->l4 - p->l3;
		__u16 seed, field = 0;

		seed = sum_fold16(wire_pseudo(p, p->length - header));
		if (!hook_load(ctx,
			       p->l4 + (udp ? offsetof(struct udphdr, check) :
					      offsetof(struct tcphdr, check)),
			       &field, sizeof(field)) &&
		    hook_checksum_partial(ctx, seed, field)) {
			if (ranged_sum(ctx, at, header, sum))
				return -1;
			*sum = sum_fold32((sum_t)*sum + (__u16)~seed);
			return 0;
		}
	}
	return ranged_sum(ctx, at, length, sum);
}

#endif
