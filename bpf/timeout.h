/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long a connection lives without a packet: by its state, and perhaps its service. */
#ifndef XLVS_TIMEOUT_H
#define XLVS_TIMEOUT_H

#include "table.h"

/* The time-out of a state, of a service that has its own; `general` is the settings'. */
static __noinline __u32 destination_timeout(const struct xlvs_destination *d, __u32 state,
					    __u32 general)
{
	__u32 id = d->service, own = 0;
	struct xlvs_service *s = bpf_map_lookup_elem(&services, &id);

	if (!s)
		return general;
	if (state == XLVS_STATE_ESTABLISHED)
		own = s->timeout_tcp;
	else if (state == XLVS_STATE_FIN_WAIT)
		own = s->timeout_tcp_fin;
	else if (state == XLVS_STATE_UDP)
		own = s->timeout_udp;
	return own ? own : general;
}

/* Ticks that a connection lives on in this state without a packet. */
static __always_inline __u32 connection_timeout(const struct packet *p,
						const struct xlvs_settings *s, __u32 state)
{
	struct xlvs_destination *d;

	opaque(state); /* kernel 6.1 loses a bound over a spill */
	if (state >= XLVS_STATE_MAX)
		return 0;
	if (likely(!(p->c.word & XLVS_CONNECTION_SPECIAL)))
		return s->timeout[state];
	d = destination_get(p->c.destination);
	return d ? destination_timeout(d, state, s->timeout[state]) : s->timeout[state];
}

#endif
