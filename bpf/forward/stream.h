/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* NAT and FULLNAT: what is changed in a TCP connection's segments besides their addresses. */
#ifndef XLVS_FORWARD_STREAM_H
#define XLVS_FORWARD_STREAM_H

#include "forward/toa.h"
#include "../stream.h"

/* A client's segment, p->to is filled. XLVS_REASON_NONE, or the packet's end. */
subprogram int stream_to_server(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *stream;
	struct tcphdr *tcp;

	if (!p || p->protocol != IPPROTO_TCP || p->fragment)
		return XLVS_REASON_NONE;
	stream = stream_get(p);
	if (!stream)
		return XLVS_REASON_NONE;
	tcp = view(ctx, p->l4, struct tcphdr);
	if (!tcp)
		return XLVS_REASON_DROP_INTERNAL;
	if (tcp->syn)
		stream->client_isn = bpf_ntohl(tcp->seq);
	return stream->flags & XLVS_SERVICE_TOA ? toa_to_server(ctx, p, stream) : XLVS_REASON_NONE;
}

/* A server's segment, p->to is filled. */
subprogram int stream_to_client(hook_ctx *ctx, struct packet *p)
{
	struct xlvs_stream *stream;

	if (!p || p->protocol != IPPROTO_TCP || p->fragment)
		return XLVS_REASON_NONE;
	stream = stream_get(p);
	if (!stream)
		return XLVS_REASON_NONE;
	return (stream->flags & (XLVS_SERVICE_TOA | XLVS_STREAM_MET)) == XLVS_SERVICE_TOA ?
		       toa_to_client(ctx, p, stream) :
		       XLVS_REASON_NONE;
}

#endif
