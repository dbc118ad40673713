/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP hook. Frames are linear and carry their VLAN tags; checksums are
 * complete (a sender that leaves them partial must have tx checksum offload off);
 * there is no GSO.
 */
#ifndef XLVS_HOOK_H
#define XLVS_HOOK_H

#include "lib/checksum.h"
#include "packet.h"

#define HOOK_XDP 1
#define HOOK_VERDICT_PASS XDP_PASS
#define HOOK_VERDICT_DROP XDP_DROP

typedef struct xdp_md hook_ctx;

#include "hook_common.h"

static __always_inline __u32 hook_ingress(hook_ctx *ctx)
{
	return ctx->ingress_ifindex;
}

/* A frame has no mark yet. */
static __always_inline __u32 hook_mark(hook_ctx *ctx)
{
	(void)ctx;
	return 0;
}

/* Makes `len` bytes readable through pointers, if the frame has them. */
static __always_inline void hook_pull(hook_ctx *ctx, __u32 len)
{
	(void)ctx;
	(void)len;
}

static __always_inline int hook_load(hook_ctx *ctx, __u32 off, void *to, __u32 len)
{
	return bpf_xdp_load_bytes(ctx, off, to, len);
}

static __always_inline int hook_store(hook_ctx *ctx, __u32 off, void *from, __u32 len)
{
	return bpf_xdp_store_bytes(ctx, off, from, len);
}

/* For bytes that the transport checksum, which has taken up their change, covers. */
static __always_inline int hook_overwrite(hook_ctx *ctx, __u32 off, void *from, __u32 len)
{
	return bpf_xdp_store_bytes(ctx, off, from, len);
}

/* A whole header; the helper would cost as much as all other writes. */
#define hook_put(ctx, off, header)                                              \
	({                                                                      \
		typeof(*(header)) *header_ = view(ctx, off, typeof(*(header))); \
		if (header_)                                                    \
			*header_ = *(header);                                   \
		header_ ? 0 : -1;                                               \
	})

/* Who the frame is addressed to: only the group bit is known here. */
static __always_inline bool hook_for_host(hook_ctx *ctx)
{
	__u8 *frame = hook_data(ctx);

	return (void *)(frame + 1) <= hook_data_end(ctx) && !(frame[0] & 1);
}

/* No VLAN tag, and for us? */
static __always_inline bool hook_plain(hook_ctx *ctx, const struct ethhdr *eth)
{
	(void)ctx;
	return eth->h_proto == bpf_htons(ETH_P_IP) && !(eth->h_dest[0] & 1);
}

struct vlan_header {
	__be16 tci;
	__be16 protocol;
};

/* Reads the link layer: sets l3 and tags, returns the EtherType or 0. */
static __always_inline __be16 hook_link_layer(hook_ctx *ctx, struct packet *p)
{
	struct ethhdr *eth = hook_data(ctx);
	struct vlan_header *tag = (void *)(eth + 1);
	__be16 protocol;

	if ((void *)(eth + 1) > hook_data_end(ctx))
		return 0;
	protocol = eth->h_proto;
	p->l3 = ETH_HLEN;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > hook_data_end(ctx))
			return 0;
		protocol = tag->protocol;
		p->l3 += sizeof(*tag);
		p->tags++;
		tag++;
	}
	return protocol;
}

/* A packet of `length` IP bytes, of which `headers` are in front of the payload. */
static __always_inline struct packet_wire hook_measure(hook_ctx *ctx, __u32 length, __u32 headers)
{
	(void)ctx;
	(void)headers;
	return (struct packet_wire){ .packets = 1, .bytes = length, .segment = length };
}

static __always_inline __u32 hook_frame_length(hook_ctx *ctx)
{
	return hook_data_end(ctx) - hook_data(ctx);
}

/*
 * Adds a difference of addresses (pseudo header) and of bytes that the checksum
 * covers to the checksum at `off`. Call before anything else is written.
 */
static __always_inline int hook_checksum_update(hook_ctx *ctx, __u32 off, sum_t pseudo,
						sum_t covered, bool udp)
{
	__sum16 *field = view(ctx, off, __sum16);

	if (!field)
		return -1;
	*field = checksum_update(*field, pseudo + covered);
	if (udp && !*field)
		*field = 0xffff; /* RFC 768: zero would mean "none" */
	return 0;
}

/* Is the transport checksum at `off` only a seed that the device completes? Never here. */
static __always_inline bool hook_checksum_partial(hook_ctx *ctx, __u16 seed, __u16 field)
{
	(void)ctx;
	(void)seed;
	(void)field;
	return false;
}

/* Is SCTP's CRC left to the device? */
static __always_inline bool hook_crc_to_come(hook_ctx *ctx, __le32 field)
{
	(void)ctx;
	(void)field;
	return false;
}

/* Makes room in front of the IP header; the Ethernet header is to be written anew. */
static __always_inline int hook_make_room(hook_ctx *ctx, __u32 room, enum hook_room kind)
{
	(void)kind;
	return bpf_xdp_adjust_head(ctx, -(int)room);
}

/*
 * Gives the frame the Ethernet header (and tag) of p->next_hop, and `room` bytes
 * more (negative: fewer) between it and the IP packet. l3 points behind the
 * Ethernet header afterwards; the other offsets are the caller's to forget.
 */
static __always_inline int hook_reframe(hook_ctx *ctx, struct packet *p, int room, __be16 protocol,
					enum hook_room kind)
{
	const struct xlvs_next_hop *nh = &p->next_hop;
	__u32 l2 = ETH_HLEN + (nh->vlan ? sizeof(struct vlan_header) : 0);
	int grow = (int)l2 + room - (int)p->l3;
	struct ethhdr *eth;

	(void)kind;
	if (grow && bpf_xdp_adjust_head(ctx, -grow))
		return -1;
	eth = hook_data(ctx);
	if ((void *)eth + ETH_HLEN + sizeof(struct vlan_header) > hook_data_end(ctx))
		return -1;
	__builtin_memcpy(eth->h_dest, nh->dst_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, nh->src_mac, ETH_ALEN);
	if (nh->vlan) {
		struct vlan_header *tag = (void *)(eth + 1);

		eth->h_proto = bpf_htons(ETH_P_8021Q);
		tag->tci = bpf_htons(nh->vlan);
		tag->protocol = protocol;
	} else {
		eth->h_proto = protocol;
	}
	p->l3 = l2;
	p->tags = nh->vlan ? 1 : 0;
	return 0;
}

/* Back to the station that sent the frame. Call before hook_reframe. */
static __always_inline int hook_turn_around(hook_ctx *ctx, struct packet *p)
{
	struct ethhdr *eth = hook_data(ctx);

	if ((void *)(eth + 1) + sizeof(struct vlan_header) > hook_data_end(ctx))
		return -1;
	p->next_hop.ifindex = ctx->ingress_ifindex;
	p->next_hop.vlan = 0;
	if (p->tags) {
		struct vlan_header *tag = (void *)(eth + 1);

		p->next_hop.vlan = bpf_ntohs(tag->tci) & 0x0fff;
	}
	__builtin_memcpy(p->next_hop.dst_mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(p->next_hop.src_mac, eth->h_dest, ETH_ALEN);
	return 0;
}

/* Opens a gap of `length` bytes at `at`; `end` is the end of the IP packet. enum hook_gap. */
static __always_inline int hook_make_gap(hook_ctx *ctx, __u32 at, __u32 end, __u32 length)
{
	struct scratch *s = scratch_get();

	(void)end;
	if (!s || !at || at > PACKET_HEADERS_MAX)
		return HOOK_GAP_REFUSED;
	at = length_up_to(PACKET_HEADERS_MAX, at);
	if (bpf_xdp_load_bytes(ctx, 0, s->bytes, at) || bpf_xdp_adjust_head(ctx, -(int)length))
		return HOOK_GAP_REFUSED;
	return bpf_xdp_store_bytes(ctx, 0, s->bytes, at) ? HOOK_GAP_BROKEN : HOOK_GAP_MADE;
}

/* Cuts the frame to `len` bytes. */
static __always_inline int hook_trim(hook_ctx *ctx, __u32 len)
{
	int cut = (int)len - (int)hook_frame_length(ctx);

	return cut < 0 ? bpf_xdp_adjust_tail(ctx, cut) : 0;
}

/* Cuts or lengthens the frame to `len` bytes; new ones are 0. */
static __always_inline int hook_resize(hook_ctx *ctx, __u32 len)
{
	int by = (int)len - (int)hook_frame_length(ctx);

	return by ? bpf_xdp_adjust_tail(ctx, by) : 0;
}

/*
 * Always a redirect, also back out of the same interface: after XDP_TX veth wakes
 * its peer only if that has an XDP program of its own (drivers/net/veth.c, 6.18),
 * and the frame would lie there until something else does.
 */
static __always_inline int hook_send(__u32 ifindex)
{
	return bpf_redirect(ifindex, 0);
}

#endif
