/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* NAT and FULLNAT: what is changed in a TCP connection's segments besides their addresses. */
#ifndef XLVS_FORWARD_STREAM_H
#define XLVS_FORWARD_STREAM_H

#include "forward/syn_proxy.h"
#include "forward/told.h"
#include "../stream.h"

/* What the segment's connection says besides, if the packet is a segment; null: nothing. */
static __always_inline struct xlvs_stream *stream_of_segment(const struct packet *p)
{
	if (!p || p->protocol != IPPROTO_TCP || p->fragment == FRAGMENT_LATER)
		return NULL;
	return stream_get(p);
}

/* A client's segment, p->to is filled. XLVS_REASON_NONE, or the packet's end. */
subprogram int stream_to_server(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *stream = stream_of_segment(p);
	struct tcphdr *tcp;
	int why;

	if (!stream)
		return XLVS_REASON_NONE;
	if (unlikely(stream->syn)) {
		why = syn_proxy_to_server(ctx, p, stream);
		return why ? why : told_to_server(ctx, p, stream);
	}
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	/* Anybody may send a SYN: it changes nothing in the stream before the server answers it. */
	if (tcp->syn) {
		stream->next_isn = bpf_ntohl(tcp->seq);
		if (p->opened)
			stream->client_isn = stream->next_isn;
	}
	return told_to_server(ctx, p, stream);
}

/* A server's segment, p->to is filled. */
subprogram int stream_to_client(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *stream = stream_of_segment(p);
	struct tcphdr *tcp;
	int why;

	if (!stream)
		return XLVS_REASON_NONE;
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	if (unlikely(stream->syn)) {
		/* Of a SYN-ACK the client gets nothing that the server says of itself. */
		why = syn_proxy_to_client(ctx, p, stream);
		return why || p->tcp_flags & TCP_SYN ? why : told_to_client(ctx, p, stream);
	}
	if (unlikely(tcp->syn && bpf_ntohl(tcp->ack_seq) == stream->next_isn + 1 &&
		     stream->next_isn != stream->client_isn)) {
		/* The client has begun anew on its old ports, and the server with it. */
		stream->client_isn = stream->next_isn;
		stream->toa = 0;
		__sync_fetch_and_and(&stream->flags,
				     ~(XLVS_STREAM_MET | XLVS_STREAM_HEADED | XLVS_STREAM_FAR));
	}
	return told_to_client(ctx, p, stream);
}

#endif
