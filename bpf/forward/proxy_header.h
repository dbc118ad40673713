/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The PROXY protocol (HAProxy's specification): a header in front of the client's stream tells
 * the server the client's address. Nothing waits for anything: until the server has acknowledged
 * the header it is in front of each segment that begins with the stream, the handshake's ACK
 * first, so a server that speaks first has it too. What is lost is sent again by either end, and
 * gets the header again. All later segments are shifted by its length, and the server's
 * acknowledgements shifted back.
 */
#ifndef XLVS_PROXY_HEADER_H
#define XLVS_PROXY_HEADER_H

#include "../stream.h"
#include "forward/icmp_error.h"
#include "forward/insert.h"
#include "lib/siphash.h"
#include "lib/tcp_options.h"
#include "sync_tell.h"

/* v1: at most 107 with its end of line; v2: 52 and what is told besides. */
#define PROXY_HEADER_MAX 112

#define PROXY_COMMAND 0x21 /* version 2, PROXY */
#define PROXY_TCP4 0x11
#define PROXY_TCP6 0x21
#define PROXY_TLV_NOOP 0x04
#define PROXY_TLV_ID 0x05
#define PROXY_TLV_MARK 0xe0 /* the first of those left to everyone */
#define PROXY_TLV_HEADER 3  /* type and length */
#define PROXY_ID_LENGTH 16

struct proxy_v2 {
	__u8 signature[12];
	__u8 command;
	__u8 family;
	__be16 length; /* of what follows */
};

struct proxy_addresses4 {
	__be32 src, dst;
	__be16 sport, dport;
};

struct proxy_addresses6 {
	struct xlvs_addr src, dst;
	__be16 sport, dport;
};

constant_table __u8 proxy_signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
					    0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

constant_table char proxy_text4[] = "PROXY TCP4 %pI4 %pI4 %u %u\r\n";
constant_table char proxy_text6[] = "PROXY TCP6 %pI6 %pI6 %u %u\r\n";

/* Type and length; where the value begins. */
static __always_inline __u8 *proxy_tlv(__u8 *to, __u8 type, __u8 length)
{
	to[0] = type;
	to[1] = 0;
	to[2] = length;
	return to + PROXY_TLV_HEADER;
}

static __always_inline void proxy_put32(__u8 *to, __u32 value)
{
	to[0] = value >> 24;
	to[1] = value >> 16;
	to[2] = value >> 8;
	to[3] = value;
}

/*
 * No other connection's, of this director or another: when and with which number it began, and
 * what only this director makes of that. The same each time.
 */
static __always_inline void proxy_put_id(__u8 *to, const struct packet *p,
					 const struct xlvs_stream *stream)
{
	struct xlvs_geometry *g = geometry_get();
	__u32 own = p->c.at ^ stream->client_isn;

	proxy_put32(to, stream->begun);
	proxy_put32(to + 4, stream->client_isn);
	if (!g)
		return;
	proxy_put32(to + 8, siphash13_32(own, g->secret[0]));
	proxy_put32(to + 12, siphash13_32(own ^ stream->begun, g->secret[1]));
}

/* The mark of the connection's service, 0 if it is none. */
static __always_inline __u32 proxy_mark(const struct packet *p)
{
	struct xlvs_destination *d = destination_get(p->c.destination);
	struct xlvs_service *s;
	__u32 id;

	if (!d)
		return 0;
	id = d->service;
	s = bpf_map_lookup_elem(&services, &id);
	return s ? s->key.fwmark : 0;
}

/* Version 2 into `to`, which is all 0. Returns its length, which is even. */
static __always_inline __u32 proxy_make_v2(const struct packet *p, const struct xlvs_stream *stream,
					   __u8 *to)
{
	struct proxy_v2 *header = (struct proxy_v2 *)to;
	__u32 length = sizeof(*header);

	__builtin_memcpy(header->signature, proxy_signature, sizeof(proxy_signature));
	header->command = PROXY_COMMAND;
	if (p->family == AF_INET) {
		struct proxy_addresses4 *a = (struct proxy_addresses4 *)(header + 1);

		header->family = PROXY_TCP4;
		a->src = p->tuple.src.word[3];
		a->dst = p->tuple.dst.word[3];
		a->sport = p->tuple.sport;
		a->dport = p->tuple.dport;
		length += sizeof(*a);
	} else {
		struct proxy_addresses6 *a = (struct proxy_addresses6 *)(header + 1);

		header->family = PROXY_TCP6;
		a->src = p->tuple.src;
		a->dst = p->tuple.dst;
		a->sport = p->tuple.sport;
		a->dport = p->tuple.dport;
		length += sizeof(*a);
	}
	if (stream->flags & XLVS_SERVICE_PROXY_MARK) {
		proxy_put32(proxy_tlv(to + length, PROXY_TLV_MARK, sizeof(__u32)), proxy_mark(p));
		length += PROXY_TLV_HEADER + sizeof(__u32);
	}
	if (stream->flags & XLVS_SERVICE_PROXY_ID) {
		proxy_put_id(proxy_tlv(to + length, PROXY_TLV_ID, PROXY_ID_LENGTH), p, stream);
		length += PROXY_TLV_HEADER + PROXY_ID_LENGTH;
	}
	if (length % 2) {
		proxy_tlv(to + length, PROXY_TLV_NOOP, 0);
		length += PROXY_TLV_HEADER;
	}
	header->length = bpf_htons(length - sizeof(*header));
	return length;
}

/* The connection's header into the scratch, 0 behind it. Returns its length, or 0. */
subprogram __u32 proxy_make(struct packet *p, struct xlvs_stream *stream)
{
	struct scratch *s = scratch_get();
	__u64 says[4];
	long length;

	if (!p || !stream || !s)
		return 0;
	__builtin_memset(s->bytes, 0, PROXY_HEADER_MAX);
	if (stream->flags & XLVS_SERVICE_PROXY_V2)
		return proxy_make_v2(p, stream, s->bytes);
	says[2] = bpf_ntohs(p->tuple.sport);
	says[3] = bpf_ntohs(p->tuple.dport);
	if (p->family == AF_INET) {
		says[0] = (__u64)(long)&p->tuple.src.word[3];
		says[1] = (__u64)(long)&p->tuple.dst.word[3];
		length = bpf_snprintf((char *)s->bytes, PROXY_HEADER_MAX, proxy_text4, says,
				      sizeof(says));
	} else {
		says[0] = (__u64)(long)&p->tuple.src;
		says[1] = (__u64)(long)&p->tuple.dst;
		length = bpf_snprintf((char *)s->bytes, PROXY_HEADER_MAX, proxy_text6, says,
				      sizeof(says));
	}
	/* It counts the 0 behind the text. */
	return length > 1 && length <= PROXY_HEADER_MAX ? length - 1 : 0;
}

/*
 * What an odd gap in front of the payload does to the sum: its bytes change places. The sum of
 * the payload is what the checksum says it is, less the header; of a damaged packet it is as
 * wrong as the checksum, which then stays so.
 */
static __noinline int proxy_turned(hook_ctx *ctx, struct packet *p, __u32 header, __u32 *turned)
{
	__u32 length = p->length - (p->l4 - p->l3), sum = 0;
	__u16 payload;

	*turned = 0;
	if (length == header)
		return 0;
	if (ranged_sum(ctx, p->l4, header, &sum))
		return -1;
	payload = ~sum_fold16(wire_pseudo(p, length) + sum);
	*turned = sum_replace16(0, payload, (__u16)(payload << 8 | payload >> 8));
	return 0;
}

/* A 32-bit field of the TCP header, and the checksum with it. */
static __always_inline int proxy_renumber(hook_ctx *ctx, const struct packet *p, __u32 field,
					  __u32 was, __u32 is)
{
	__be32 to = bpf_htonl(is);

	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0,
				 sum_replace32(0, bpf_htonl(was), to), false))
		return -1;
	return hook_overwrite(ctx, p->l4 + field, &to, sizeof(to));
}

/* Urgent data is so much further from the segment's number (RFC 9293 3.8.5). */
static __noinline int proxy_urgent(hook_ctx *ctx, const struct packet *p, __u32 by)
{
	__be16 was, is;

	if (hook_load(ctx, p->l4 + offsetof(struct tcphdr, urg_ptr), &was, sizeof(was)))
		return -1;
	is = bpf_htons(bpf_ntohs(was) + by);
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0,
				 sum_replace16(0, was, is), false))
		return -1;
	return hook_overwrite(ctx, p->l4 + offsetof(struct tcphdr, urg_ptr), &is, sizeof(is));
}

/* The segment leaves no room for the header: its sender is told what does. */
static __noinline int proxy_too_big(hook_ctx *ctx, struct packet *p, __u32 header)
{
	if (!p->dont_fragment)
		return XLVS_REASON_DROP_TOO_BIG;
	if (rewrite_ttl(ctx, p))
		return XLVS_REASON_DROP_INTERNAL;
	return icmp_error_too_big(ctx, p, p->next_hop.mtu - header);
}

/* The segment is the stream's first: with the header in front. `header`: of TCP, its length. */
subprogram int proxy_insert(hook_ctx *ctx, struct packet *p, struct xlvs_stream *stream,
			    __u32 header)
{
	__u32 length, sum, turned = 0, at;
	struct scratch *s;

	if (!p || !stream)
		return XLVS_REASON_DROP_INTERNAL;
	length = stream->header;
	if (length % 2 && proxy_turned(ctx, p, header, &turned))
		return XLVS_REASON_DROP_INTERNAL;
	at = p->l4 + header;
	switch (insert_gap(ctx, p, at, length)) {
	case HOOK_GAP_MADE:
		break;
	case HOOK_GAP_REFUSED:
		return XLVS_REASON_DROP_HEADROOM;
	default:
		return XLVS_REASON_DROP_INTERNAL;
	}
	/* Made now, for the gap has used the scratch. */
	s = scratch_get();
	if (!s || proxy_make(p, stream) != length)
		return XLVS_REASON_DROP_INTERNAL;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)s->bytes, PROXY_HEADER_MAX, 0);
	length = length_up_to(PACKET_HEADERS_MAX, length);
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0,
				 (sum_t)sum + turned, false) ||
	    hook_overwrite(ctx, at, s->bytes, length))
		return XLVS_REASON_DROP_INTERNAL;
	stream_count(p, XLVS_STREAM_EVENT_PROXY);
	return XLVS_REASON_NONE;
}

/*
 * A SYN: what would let data come before the header goes, and what knows the stream by numbers
 * of its own (RFC 7413, RFC 8684).
 */
static __always_inline int proxy_syn(hook_ctx *ctx, struct packet *p, __u32 mss_less)
{
	return options_of_syn(ctx, p, TCP_OPTION_FASTOPEN, TCP_OPTION_MPTCP, mss_less);
}

/* A client's segment. XLVS_REASON_NONE, or the packet's end. */
subprogram int proxy_to_server(hook_ctx *ctx, struct packet *p, struct xlvs_stream *stream)
{
	struct tcphdr *tcp;
	__u32 seq, header;
	__s32 from;

	if (!p || !stream)
		return XLVS_REASON_DROP_INTERNAL;
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	header = tcp->doff * 4;
	if (unlikely(tcp->syn)) {
		if (p->length != p->l4 - p->l3 + header)
			return XLVS_REASON_DROP_SYN_DATA;
		if (!stream->header)
			stream->header = proxy_make(p, stream);
		return proxy_syn(ctx, p, 0);
	}
	/* Begun in the middle (sloppy_tcp): there is nothing to put it in front of. */
	if (unlikely(!stream->header))
		return XLVS_REASON_NONE;
	seq = bpf_ntohl(tcp->seq);
	/* Once the header has arrived nobody needs to ask, and numbers may have wrapped. */
	if (unlikely(!(stream->flags & XLVS_STREAM_HEADED))) {
		from = seq - (stream->client_isn + 1);
		if (from < 0 || (!from && tcp->rst))
			return XLVS_REASON_NONE;
		if (!from && unlikely(p->fragment))
			return XLVS_REASON_DROP_TOO_BIG;
		if (!from && p->wire.packets == 1) {
			if (unlikely(p->length + stream->header > p->next_hop.mtu))
				return proxy_too_big(ctx, p, stream->header);
			if (unlikely(tcp->urg) && proxy_urgent(ctx, p, stream->header))
				return XLVS_REASON_DROP_INTERNAL;
			return proxy_insert(ctx, p, stream, header);
		}
		/* The handshake's ACK had it; if that is lost, one segment of these comes again. */
		if (!from)
			stream_count(p, XLVS_STREAM_EVENT_PROXY_GSO);
	}
	return proxy_renumber(ctx, p, offsetof(struct tcphdr, seq), seq, seq + stream->header) ?
		       XLVS_REASON_DROP_INTERNAL :
		       XLVS_REASON_NONE;
}

/* An edge of what the server says that it has. What is of the header is nothing to the client. */
static __always_inline __u32 proxy_edge(const struct xlvs_stream *stream, __u32 edge)
{
	__u32 from = edge - (stream->client_isn + 1);

	if (from < stream->header && !(stream->flags & XLVS_STREAM_FAR))
		return stream->client_isn + 1;
	return edge - stream->header;
}

/* What an ICMP error from the server's side quotes of a client's segment: as the client sent it. */
subprogram int proxy_quoted(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *stream;
	__be32 seq, is;
	__u32 at;

	if (!p)
		return -1;
	stream = stream_get(p);
	at = p->quoted_l4 + offsetof(struct tcphdr, seq);
	if (!stream || !stream->header || hook_load(ctx, at, &seq, sizeof(seq)))
		return 0;
	if (!(stream->flags & XLVS_STREAM_HEADED) &&
	    (__s32)(bpf_ntohl(seq) - (stream->client_isn + 1)) < 0)
		return 0;
	is = bpf_htonl(proxy_edge(stream, bpf_ntohl(seq)));
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct icmp_header, checksum), 0,
				 sum_replace32(0, seq, is), false))
		return -1;
	return hook_overwrite(ctx, at, &is, sizeof(is));
}

/* RFC 2018, RFC 2883: blocks that the server has, the first one perhaps had it twice. */
static __always_inline void proxy_sack(struct packet *p, const struct xlvs_stream *stream,
				       const struct options_walk *w)
{
	__u32 at = w->sack_at, blocks = w->sack_blocks;
	bool nothing = false;

#pragma unroll
	for (__u32 i = 0; i < TCP_SACK_BLOCKS; i++) {
		__u32 k = at + 2 + TCP_OPTION_SACK_BLOCK * i, left, right;
		__be32 *edges;

		opaque(k);
		if (i >= blocks || k > TCP_OPTIONS_MAX - TCP_OPTION_SACK_BLOCK)
			break;
		edges = (__be32 *)&p->options[k];
		left = proxy_edge(stream, bpf_ntohl(edges[0]));
		right = proxy_edge(stream, bpf_ntohl(edges[1]));
		edges[0] = bpf_htonl(left);
		edges[1] = bpf_htonl(right);
		if (!i)
			nothing = left == right;
	}
	opaque(at);
	if (!nothing || at > TCP_OPTIONS_MAX - 2 - TCP_OPTION_SACK_BLOCK)
		return;
/* The header came twice: the others are an option of their own, behind NOPs. */
#pragma unroll
	for (__u32 i = 0; i < 2 + TCP_OPTION_SACK_BLOCK; i++)
		p->options[at + i] = TCP_OPTION_NOP;
	if (blocks > 1) {
		p->options[at + TCP_OPTION_SACK_BLOCK] = TCP_OPTION_SACK;
		p->options[at + TCP_OPTION_SACK_BLOCK + 1] = 2 +
							     TCP_OPTION_SACK_BLOCK * (blocks - 1);
	}
}

subprogram int proxy_sack_back(hook_ctx *ctx, struct packet *p, struct xlvs_stream *stream)
{
	struct options_walk w = {};

	if (!p || !stream || options_read(ctx, p, &w))
		return XLVS_REASON_DROP_INTERNAL;
	if (w.sack_at != OPTION_NONE)
		proxy_sack(p, stream, &w);
	return options_write(ctx, p, &w) ? XLVS_REASON_DROP_INTERNAL : XLVS_REASON_NONE;
}

/* With the first word of the options, by which nearly all segments' are known. */
struct proxy_segment {
	struct tcphdr tcp;
	__be32 options;
};

/* A server's segment. */
subprogram int proxy_to_client(hook_ctx *ctx, struct packet *p, struct xlvs_stream *stream)
{
	struct proxy_segment *seen;
	__u32 ack, is, words;
	struct tcphdr *tcp;
	__be32 first = 0;

	if (!p || !stream)
		return XLVS_REASON_DROP_INTERNAL;
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	if (unlikely(tcp->syn))
		return proxy_syn(ctx, p, stream->header);
	if (!tcp->ack || !stream->header)
		return XLVS_REASON_NONE;
	words = tcp->doff - sizeof(*tcp) / 4;
	is = ack = bpf_ntohl(tcp->ack_seq);
	if (likely(stream->flags & XLVS_STREAM_HEADED)) {
		is -= stream->header;
		if (unlikely((ack - stream->client_isn) >> 30 == 1 &&
			     !(stream->flags & XLVS_STREAM_FAR))) {
			__sync_fetch_and_or(&stream->flags, XLVS_STREAM_FAR);
			sync_tell_stream(p);
		}
	} else if ((__s32)(ack - (stream->client_isn + 1)) >= (__s32)stream->header) {
		is -= stream->header;
		__sync_fetch_and_or(&stream->flags, XLVS_STREAM_HEADED);
		sync_tell_stream(p);
	} else if ((__s32)(ack - (stream->client_isn + 1)) > 0) {
		is = stream->client_isn + 1;
	}
	seen = view(ctx, p->l4, struct proxy_segment);
	if (seen)
		first = seen->options;
	if (is != ack && proxy_renumber(ctx, p, offsetof(struct tcphdr, ack_seq), ack, is))
		return XLVS_REASON_DROP_INTERNAL;
	if (!words || (words == TCP_STAMPS_ALIGNED_LENGTH / 4 && first == TCP_STAMPS_ALIGNED))
		return XLVS_REASON_NONE;
	return proxy_sack_back(ctx, p, stream);
}

#endif
