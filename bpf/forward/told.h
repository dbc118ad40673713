/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tells a server who its client is: the PROXY protocol's header, TOA, or both. */
#ifndef XLVS_TOLD_H
#define XLVS_TOLD_H

#include "forward/proxy_header.h"
#include "forward/toa.h"
#include "../stream.h"

/* Has the client's address to be in an option? A server on the director itself sees it as it is. */
static __always_inline bool told_by_toa(const struct packet *p, const struct xlvs_stream *stream)
{
	return stream->flags & XLVS_SERVICE_TOA && word_method(p->c.word) == XLVS_METHOD_FULLNAT;
}

/* A segment to the server, p->to is filled. XLVS_REASON_NONE, or the packet's end. */
static __always_inline int told_to_server(hook_ctx *ctx, struct packet *p,
					  struct xlvs_stream *stream)
{
	int why;

	if (stream->flags & SERVICE_PROXY) {
		why = proxy_to_server(ctx, p, stream);
		if (why)
			return why;
	}
	/* A fragment cannot grow. */
	if (told_by_toa(p, stream) && !p->fragment)
		return toa_to_server(ctx, p, stream);
	return XLVS_REASON_NONE;
}

/* A segment to the client. XLVS_REASON_NONE, or the packet's end. */
static __always_inline int told_to_client(hook_ctx *ctx, struct packet *p,
					  struct xlvs_stream *stream)
{
	int why;

	if ((stream->flags & (XLVS_SERVICE_TOA | XLVS_STREAM_MET)) == XLVS_SERVICE_TOA) {
		why = toa_to_client(ctx, p, stream);
		if (why)
			return why;
	}
	return stream->flags & SERVICE_PROXY ? proxy_to_client(ctx, p, stream) : XLVS_REASON_NONE;
}

#endif
