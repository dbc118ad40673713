/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 6: counters. Each is written by one CPU for itself and added up by readers. */
#ifndef XLVS_ACCOUNT_H
#define XLVS_ACCOUNT_H

#include "maps.h"
#include "packet.h"

static __always_inline void account_one(struct xlvs_stats *s, const struct packet *p)
{
	if (!s)
		return;
	s->connections += p->opened;
	if (p->reply) {
		s->out_packets += p->wire.packets;
		s->out_bytes += p->wire.bytes;
	} else {
		s->in_packets += p->wire.packets;
		s->in_bytes += p->wire.bytes;
	}
}

/*
 * A packet of a connection, and the connection if it has just opened it. IPVS counts
 * nothing for a removed destination.
 */
static __always_inline void account_packet(const struct packet *p, const struct xlvs_destination *d)
{
	__u32 service = d->service, destination = p->c.destination;

	if (!(d->flags & XLVS_DESTINATION_AVAILABLE) && !p->opened)
		return;
	account_one(bpf_map_lookup_elem(&service_stats, &service), p);
	account_one(bpf_map_lookup_elem(&destination_stats, &destination), p);
}

static __always_inline void account_reason(enum xlvs_reason why, __u32 packets, __u32 bytes)
{
	__u32 index = why;
	struct xlvs_reason_stats *s = bpf_map_lookup_elem(&reasons, &index);

	if (!s)
		return;
	s->packets += packets;
	s->bytes += bytes;
}

#endif
