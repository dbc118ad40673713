/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Room for bytes of ours within a TCP segment: for an option, or in front of its payload. */
#ifndef XLVS_INSERT_H
#define XLVS_INSERT_H

#include "packet.h"

/*
 * Opens a gap of `length` bytes (PACKET_HEADERS_MAX at most) at the frame's offset `at`, which is
 * behind TCP's first 20 bytes. Lengths and the checksum's pseudo header follow; wire does not, for
 * it says how the packet came. The caller writes the gap, adds its sum (and the data offset's
 * change; an odd gap turns the bytes behind it) to the checksum, and has seen that the packet
 * still fits the next hop. enum hook_gap.
 */
subprogram int insert_gap(hook_ctx *ctx, struct packet *p, __u32 at, __u32 length)
{
	__u32 was, is;
	int rc;

	if (!p)
		return HOOK_GAP_BROKEN;
	rc = hook_make_gap(ctx, at, p->l3 + p->length, length);
	if (rc)
		return rc;
	was = p->length - (p->l4 - p->l3);
	is = was + length;
	if (p->family == AF_INET) {
		struct iphdr *ip = view(ctx, p->l3, struct iphdr);
		__be16 total = bpf_htons(p->length + length);

		if (!ip)
			return HOOK_GAP_BROKEN;
		ip->check = checksum_update(ip->check, sum_replace16(0, ip->tot_len, total));
		ip->tot_len = total;
	} else {
		struct ipv6hdr *ip = view(ctx, p->l3, struct ipv6hdr);

		if (!ip)
			return HOOK_GAP_BROKEN;
		ip->payload_len = bpf_htons(bpf_ntohs(ip->payload_len) + length);
	}
	p->length += length;
	return hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check),
				    sum_replace16(0, bpf_htons(was), bpf_htons(is)), 0, false) ?
		       HOOK_GAP_BROKEN :
		       HOOK_GAP_MADE;
}

#endif
