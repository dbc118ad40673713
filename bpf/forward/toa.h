/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TOA: an option of TCP tells a FULLNAT server the client's address and port. It is in the SYN
 * and in the segments behind it until the server has shown that it has one of these, for a
 * server that answers with SYN cookies forgets the SYN, and a listener may be older than the
 * program that reads it. Right behind the fixed header, so whoever takes the first one takes ours.
 */
#ifndef XLVS_TOA_H
#define XLVS_TOA_H

#include "forward/insert.h"
#include "forward/toa_room.h"
#include "lib/tcp_options.h"
#include "../stream.h"

/* So many segments have it at most, whatever the server shows. */
#define TOA_SEGMENTS 16

struct toa4 {
	__u8 kind;
	__u8 length;
	__be16 port;
	__be32 address;
};

struct toa6 {
	__u8 kind;
	__u8 length;
	__be16 port;
	struct xlvs_addr address;
};

static __always_inline __u32 toa_length(const struct packet *p)
{
	return p->family == AF_INET ? sizeof(struct toa4) : sizeof(struct toa6);
}

/*
 * A client's own option of our kind goes; a server would take it for ours where that is missing.
 * Returns the options' length, or -1.
 */
static __always_inline int toa_take_out(hook_ctx *ctx, struct packet *p, struct options_walk *w)
{
	if (options_read(ctx, p, w))
		return -1;
	if (w->blanked)
		stream_count(p, XLVS_STREAM_EVENT_TOA_FORGED);
	return options_write(ctx, p, w) ? -1 : (int)w->length;
}

/* Writes the option, with one checksum for it and the data offset, which grows by `gap` bytes. */
static __always_inline int toa_write(hook_ctx *ctx, struct packet *p, __u32 kind, __u32 gap)
{
	const __u32 word = p->l4 + offsetof(struct tcphdr, ack_seq) + sizeof(__be32);
	__u32 length = toa_length(p), sum;
	struct toa6 toa = { .kind = kind, .length = length, .port = p->tuple.sport };
	__be16 was, is;

	if (p->family == AF_INET)
		toa.address.word[0] = p->tuple.src.word[3];
	else
		toa.address = p->tuple.src;
	/* What is not of the shorter one is 0. */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&toa, sizeof(toa), 0);
	if (hook_load(ctx, word, &was, sizeof(was)))
		return -1;
	is = was + bpf_htons(gap / 4 << 12);
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0,
				 sum_replace16(sum, was, is), false) ||
	    hook_overwrite(ctx, word, &is, sizeof(is)))
		return -1;
	return p->family == AF_INET ? hook_overwrite(ctx, p->l4 + sizeof(struct tcphdr), &toa,
						     sizeof(struct toa4)) :
				      hook_overwrite(ctx, p->l4 + sizeof(struct tcphdr), &toa,
						     sizeof(struct toa6));
}

/* A client's segment. XLVS_REASON_NONE, with the option or without, or the packet's end. */
subprogram int toa_to_server(hook_ctx *ctx, struct packet *p, struct xlvs_stream *stream)
{
	struct xlvs_settings *s = settings_get();
	struct options_walk w = {};
	__u32 room, gap;
	int length, left;

	if (!p || !stream || !s)
		return XLVS_REASON_DROP_INTERNAL;
	if (stream->flags & XLVS_STREAM_MET || stream->toa >= TOA_SEGMENTS ||
	    p->tcp_flags & TCP_RST)
		return XLVS_REASON_NONE;
	w.unwanted[0] = s->toa_kind;
	length = toa_take_out(ctx, p, &w);
	if (length < 0)
		return XLVS_REASON_DROP_INTERNAL;
	room = toa_length(p);
	if (p->wire.packets > 1) {
		stream_count(p, XLVS_STREAM_EVENT_TOA_GSO);
		return XLVS_REASON_NONE;
	}
	left = length + room > TCP_OPTIONS_MAX ? toa_room_make(p, &w, room) : length;
	if (left < 0) {
		stream_count(p, XLVS_STREAM_EVENT_TOA_NO_ROOM);
		return XLVS_REASON_NONE;
	}
	gap = room - (length - left);
	if (p->length + room > p->next_hop.mtu) {
		stream_count(p, XLVS_STREAM_EVENT_TOA_MTU);
		return XLVS_REASON_NONE;
	}
	switch (insert_gap(ctx, p, p->l4 + sizeof(struct tcphdr), gap)) {
	case HOOK_GAP_MADE:
		break;
	case HOOK_GAP_REFUSED:
		stream_count(p, XLVS_STREAM_EVENT_TOA_REFUSED);
		return XLVS_REASON_NONE;
	default:
		return XLVS_REASON_DROP_INTERNAL;
	}
	if (unlikely(left != length) && toa_room_take(ctx, p, left, room))
		return XLVS_REASON_DROP_INTERNAL;
	if (toa_write(ctx, p, s->toa_kind, gap))
		return XLVS_REASON_DROP_INTERNAL;
	stream->toa++;
	stream_count(p, XLVS_STREAM_EVENT_TOA);
	return XLVS_REASON_NONE;
}

/* A server's segment. */
subprogram int toa_to_client(hook_ctx *ctx, struct packet *p, struct xlvs_stream *stream)
{
	struct tcphdr *tcp;

	if (!p || !stream)
		return XLVS_REASON_DROP_INTERNAL;
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	if (likely(!(p->tcp_flags & TCP_SYN))) {
		/* Its own data, or that it has the client's: so it has the connection. */
		if (p->tcp_flags & TCP_RST ||
		    (p->length == p->l4 - p->l3 + tcp->doff * 4 &&
		     (__s32)(bpf_ntohl(tcp->ack_seq) - (stream->client_isn + 1)) <= 0))
			return XLVS_REASON_NONE;
		__sync_fetch_and_or(&stream->flags, XLVS_STREAM_MET);
		if ((stream->flags & SERVICE_SPECIAL) == XLVS_SERVICE_TOA)
			stream_leave(p);
		return XLVS_REASON_NONE;
	}
	/* So that the client's first segments with data have room for it. */
	return options_of_syn(ctx, p, 0, 0, toa_length(p));
}

#endif
