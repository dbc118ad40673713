/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The TC hook (tcx or clsact). A frame may be a GSO frame of up to 64 KB, its transport
 * checksum may be partial (the device completes it), its VLAN tag is metadata.
 */
#ifndef XLVS_HOOK_H
#define XLVS_HOOK_H

#include <linux/pkt_cls.h>

#include "lib/checksum.h"
#include "packet.h"

#define HOOK_TC 1
/* TCX_NEXT, not TC_ACT_OK: whoever comes behind us, in tcx or clsact, still sees the frame. */
#define HOOK_VERDICT_PASS TC_ACT_UNSPEC
#define HOOK_VERDICT_DROP TC_ACT_SHOT

typedef struct __sk_buff hook_ctx;

#include "hook_common.h"

/*
 * Since 6.16 the kernel wants to know that a pseudo-header difference is one of
 * IPv6 addresses, which cancels out in skb->csum of a CHECKSUM_COMPLETE frame.
 */
#define HOOK_CSUM_IPV6 (1ULL << 7)
extern int LINUX_KERNEL_VERSION __kconfig;

/* SCTP's GSO (include/linux/skbuff.h): the packets of a frame are not of one size. */
#define GSO_BY_FRAGS 0xffff

static __always_inline __u32 hook_ingress(hook_ctx *ctx)
{
	return ctx->ifindex;
}

/* What an earlier program, or whoever sent it from here, has marked the packet with. */
static __always_inline __u32 hook_mark(hook_ctx *ctx)
{
	return ctx->mark;
}

static __always_inline void hook_pull(hook_ctx *ctx, __u32 len)
{
	if (hook_data(ctx) + len > hook_data_end(ctx))
		bpf_skb_pull_data(ctx, len < ctx->len ? len : ctx->len);
}

static __always_inline int hook_load(hook_ctx *ctx, __u32 off, void *to, __u32 len)
{
	return bpf_skb_load_bytes(ctx, off, to, len);
}

/* For bytes that no checksum of the frame covers yet: skb->csum learns of them. */
static __always_inline int hook_store(hook_ctx *ctx, __u32 off, void *from, __u32 len)
{
	return bpf_skb_store_bytes(ctx, off, from, len, BPF_F_RECOMPUTE_CSUM);
}

/*
 * For bytes that the transport checksum, which has taken up their change, covers: skb->csum,
 * the sum of both, stays as it is.
 */
static __always_inline int hook_overwrite(hook_ctx *ctx, __u32 off, void *from, __u32 len)
{
	return bpf_skb_store_bytes(ctx, off, from, len, 0);
}

/* A whole header. */
#define hook_put(ctx, off, header) hook_store(ctx, off, header, sizeof(*(header)))

static __always_inline bool hook_for_host(hook_ctx *ctx)
{
	return ctx->pkt_type == 0; /* PACKET_HOST, <linux/if_packet.h> */
}

/* No VLAN tag, and for us? */
static __always_inline bool hook_plain(hook_ctx *ctx, const struct ethhdr *eth)
{
	return eth->h_proto == bpf_htons(ETH_P_IP) && !ctx->vlan_present && hook_for_host(ctx);
}

static __always_inline __be16 hook_link_layer(hook_ctx *ctx, struct packet *p)
{
	p->l3 = ETH_HLEN;
	return ctx->protocol;
}

static __always_inline __u32 hook_frame_length(hook_ctx *ctx)
{
	return ctx->len;
}

/* A frame with `length` IP bytes, of which `headers` are in front of the payload. */
static __always_inline struct packet_wire hook_measure(hook_ctx *ctx, __u32 length, __u32 headers)
{
	struct packet_wire w = { .packets = 1, .bytes = length, .segment = length };
	__u32 size = ctx->gso_size;

	if (likely(!size))
		return w;
	if (size == GSO_BY_FRAGS) {
		w.packets = ctx->gso_segs ? ctx->gso_segs : 1;
		w.segment = headers; /* they were made to fit the way; their sizes differ */
	} else if (length > headers) {
		/* gso_segs is 0 for frames of untrusted origin: count ourselves. */
		w.packets = (length - headers + size - 1) / size;
		w.segment = headers + size;
	}
	w.bytes += (w.packets - 1) * headers;
	return w;
}

static __always_inline int hook_checksum_update(hook_ctx *ctx, __u32 off, sum_t pseudo,
						sum_t covered, bool udp)
{
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 diff = sum_fold32(covered);

	if (diff && bpf_l4_csum_replace(ctx, off, 0, diff, flags))
		return -1;
	diff = sum_fold32(pseudo);
	flags |= BPF_F_PSEUDO_HDR;
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 16, 0) &&
	    ctx->protocol == bpf_htons(ETH_P_IPV6))
		flags |= HOOK_CSUM_IPV6;
	if (diff && bpf_l4_csum_replace(ctx, off, 0, diff, flags))
		return -1;
	return 0;
}

/*
 * A partial checksum field holds the folded sum of the pseudo header, not its complement.
 * So may a complete one, once in 65 536 frames; a frame that a device has checked is told
 * by what the helpers say: they fail on a partial one, and on one that nobody has checked.
 */
static __always_inline bool hook_checksum_partial(hook_ctx *ctx, __u16 seed, __u16 field)
{
	return seed == field && bpf_csum_level(ctx, BPF_CSUM_LEVEL_QUERY) < 0 &&
	       bpf_csum_update(ctx, 0) < 0;
}

/*
 * Is SCTP's CRC left to the device? It is 0 then. (So is one CRC in 2^32, and the sender
 * sends that packet again.)
 */
static __always_inline bool hook_crc_to_come(hook_ctx *ctx, __le32 field)
{
	(void)ctx;
	return !field;
}

static __always_inline int hook_make_room(hook_ctx *ctx, int room, enum hook_room kind)
{
	__u64 flags = 0;

	/* FIXED_GSO: the segments leave as they came, and forward_in() has seen that they fit. */
	if (kind & HOOK_ROOM_TUNNEL_V4)
		flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	else if (kind & HOOK_ROOM_TUNNEL_V6)
		flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	if (kind & HOOK_ROOM_UDP)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	else if (kind & HOOK_ROOM_GRE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	return bpf_skb_adjust_room(ctx, room, BPF_ADJ_ROOM_MAC, flags);
}

static __always_inline int hook_reframe(hook_ctx *ctx, struct packet *p, int room, __be16 protocol,
					enum hook_room kind)
{
	const struct xlvs_next_hop *nh = &p->next_hop;
	struct ethhdr *eth;

	if (room && hook_make_room(ctx, room, kind))
		return -1;
	if (ctx->vlan_present && bpf_skb_vlan_pop(ctx))
		return -1;
	if (nh->vlan && bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), nh->vlan))
		return -1;
	eth = hook_data(ctx);
	if ((void *)(eth + 1) > hook_data_end(ctx))
		return -1;
	__builtin_memcpy(eth->h_dest, nh->dst_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, nh->src_mac, ETH_ALEN);
	eth->h_proto = protocol;
	p->l3 = ETH_HLEN;
	return 0;
}

static __always_inline int hook_turn_around(hook_ctx *ctx, struct packet *p)
{
	struct ethhdr *eth = hook_data(ctx);

	if ((void *)(eth + 1) > hook_data_end(ctx))
		return -1;
	p->next_hop.ifindex = ctx->ifindex;
	p->next_hop.vlan = ctx->vlan_present ? ctx->vlan_tci & 0x0fff : 0;
	__builtin_memcpy(p->next_hop.dst_mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(p->next_hop.src_mac, eth->h_dest, ETH_ALEN);
	if (unlikely(ctx->ifindex == LOOPBACK_IFINDEX))
		p->next_hop.src_mac[0] = LOOPBACK_DELIVERED;
	return 0;
}

/* Has this frame on lo been delivered by us, or its answer been seen on the way out? */
static __always_inline bool hook_delivered(hook_ctx *ctx)
{
	struct ethhdr *eth = hook_data(ctx);

	return (void *)(eth + 1) <= hook_data_end(ctx) && eth->h_source[0] == LOOPBACK_DELIVERED;
}

static __always_inline void hook_set_delivered(hook_ctx *ctx)
{
	struct ethhdr *eth = hook_data(ctx);

	if ((void *)(eth + 1) <= hook_data_end(ctx))
		eth->h_source[0] = LOOPBACK_DELIVERED;
}

struct gap {
	hook_ctx *ctx;
	__u32 at;
	__u32 left; /* bytes behind `at` that are still to be moved, the last ones first */
	__u32 length;
	__u32 failed;
};

static long gap_step(__u32 i, void *data)
{
	struct gap *g = data;
	struct scratch *s = scratch_get();
	__u32 n = g->left < PACKET_HEADERS_MAX ? g->left : PACKET_HEADERS_MAX, from;

	(void)i;
	if (!n)
		return 1;
	from = g->at + g->left - n;
	n = length_up_to(PACKET_HEADERS_MAX, n);
	if (!s || bpf_skb_load_bytes(g->ctx, from, s->bytes, n) ||
	    bpf_skb_store_bytes(g->ctx, from + g->length, s->bytes, n, 0)) {
		g->failed = 1;
		return 1;
	}
	g->left -= n;
	return 0;
}

/*
 * At the tail, not in front as in XDP: where a checksum is still to be completed begins stays
 * right, which no helper could correct. A device's sum of the frame is forgotten by that.
 */
static __always_inline int hook_make_gap(hook_ctx *ctx, __u32 at, __u32 end, __u32 length)
{
	struct gap g = { .ctx = ctx, .at = at, .left = end - at, .length = length };

	if (ctx->gso_size || end < at || bpf_skb_change_tail(ctx, end + length, 0))
		return HOOK_GAP_REFUSED;
	bpf_loop(65536 / PACKET_HEADERS_MAX, gap_step, &g, 0);
	return g.failed || g.left ? HOOK_GAP_BROKEN : HOOK_GAP_MADE;
}

static __always_inline int hook_trim(hook_ctx *ctx, __u32 len)
{
	return len < ctx->len ? bpf_skb_change_tail(ctx, len, 0) : 0;
}

static __always_inline int hook_resize(hook_ctx *ctx, __u32 len)
{
	return len != ctx->len ? bpf_skb_change_tail(ctx, len, 0) : 0;
}

/* Sends a copy of the frame as it is now, or lets it come in from there. */
static __always_inline int hook_send_copy(hook_ctx *ctx, __u32 ifindex, bool in)
{
	return bpf_clone_redirect(ctx, ifindex, in ? BPF_F_INGRESS : 0);
}

static __always_inline int hook_send(__u32 ifindex)
{
	return bpf_redirect(ifindex, unlikely(ifindex == LOOPBACK_IFINDEX) ? BPF_F_INGRESS : 0);
}

#endif
