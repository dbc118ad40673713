/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A connection as a packet sees it: a copy of its entry, made at one moment. */
#ifndef XLVS_CONNECTION_COPY_H
#define XLVS_CONNECTION_COPY_H

#include "lib/base.h"

struct connection {
	__u32 at;   /* place in the table: line * ways + way */
	__u32 word; /* enum xlvs_connection_flags and more */
	__u32 expires;
	__u32 destination;
	__u32 extra;       /* FULLNAT: block and port of the local address */
	__u32 way_back_at; /* the place that remembers the next hop to the client */
	__u32 way_back;    /* what it remembers: row + 1, and when (forward/way_back.h) */
};

#define GENERATION_ONE (1u << XLVS_CONNECTION_GENERATION_SHIFT)
#define GENERATION_MASK (~0u << XLVS_CONNECTION_GENERATION_SHIFT)

static __always_inline __u32 word_state(__u32 word)
{
	return word & XLVS_CONNECTION_STATE;
}

static __always_inline enum xlvs_method word_method(__u32 word)
{
	return word >> XLVS_CONNECTION_METHOD_SHIFT & 3;
}

static __always_inline __u32 word_protocol(__u32 word)
{
	return word >> XLVS_CONNECTION_PROTOCOL_SHIFT & 7;
}

/* The bits of a word that a protocol number (IPPROTO_*) has. */
static __always_inline __u32 word_of_protocol(__u8 protocol)
{
	enum xlvs_protocol bits = protocol == IPPROTO_TCP  ? XLVS_PROTOCOL_TCP :
				  protocol == IPPROTO_SCTP ? XLVS_PROTOCOL_SCTP :
							     XLVS_PROTOCOL_UDP;

	return bits << XLVS_CONNECTION_PROTOCOL_SHIFT;
}

static __always_inline __u32 extra_of(__u16 block, __be16 local_port)
{
	return block | (__u32)local_port << 16;
}

static __always_inline __u32 extra_block(__u32 extra)
{
	return extra & 0xffff;
}

static __always_inline __be16 extra_port(__u32 extra)
{
	return extra >> 16;
}

/* Of a template, which no packet is of: see persistence.h. */
#define WORD_TEMPLATE ((__u32)XLVS_PROTOCOL_TEMPLATE << XLVS_CONNECTION_PROTOCOL_SHIFT)

#define WORD_PROTOCOL (7u << XLVS_CONNECTION_PROTOCOL_SHIFT)

/* What a template gets while connections live under it: IPVS's. */
#define TEMPLATE_RENEWED_SECONDS 60

/* Segments of these services' TCP connections are changed, and each has a struct xlvs_stream. */
#define SERVICE_PROXY (XLVS_SERVICE_PROXY_V1 | XLVS_SERVICE_PROXY_V2)
#define SERVICE_STREAM (XLVS_SERVICE_TOA | SERVICE_PROXY | XLVS_SERVICE_SYN_PROXY)
/* What connections have to ask their service for: they are XLVS_CONNECTION_SPECIAL. */
#define SERVICE_SPECIAL                                                         \
	(XLVS_SERVICE_OWN_TIMEOUTS | SERVICE_STREAM | XLVS_SERVICE_PROXY_MARK | \
	 XLVS_SERVICE_PROXY_ID)

#define FTP_PORT 21
#define FTP_DATA_PORT 20

/* The real server's port of a connection that its client opened to `vport`. */
static __always_inline __be16 destination_port(const struct xlvs_destination *d, __be16 vport)
{
	if (likely(!(d->flags & XLVS_DESTINATION_CLIENT_PORT)))
		return d->port;
	/* FTP's control connection goes to the server's port, its data to any. */
	return d->flags & XLVS_DESTINATION_FTP && vport == bpf_htons(FTP_PORT) ? d->port : vport;
}

/* What refers to the entry at `at` from outside of the table. */
static __always_inline struct xlvs_tenant tenant_of(bool v6, __u32 at, __u32 word)
{
	return (struct xlvs_tenant){ .at = at, .generation = (word & GENERATION_MASK) | v6 };
}

/* Still the same tenant? Its state and other flags may have changed. */
static __always_inline bool word_same(__u32 was, __u32 is)
{
	return !((was ^ is) & (GENERATION_MASK | XLVS_CONNECTION_LIVE));
}

#endif
