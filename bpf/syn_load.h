/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many ask a service with SYN proxy for a connection, and how many of them are there. */
#ifndef XLVS_SYN_LOAD_H
#define XLVS_SYN_LOAD_H

#include "maps.h"
#include "packet.h"
#include "table.h"

/* A client asks for a connection, */
static __always_inline void syn_load_asked(__u32 service)
{
	struct xlvs_arrivals *a = bpf_map_lookup_elem(&arrivals, &service);

	if (a)
		a->syn.syns++;
}

/* and is there. */
static __always_inline void syn_load_there(__u32 service)
{
	struct xlvs_arrivals *a = bpf_map_lookup_elem(&arrivals, &service);

	if (a)
		a->syn.proved++;
}

/* The client of a connection that was opened by its SYN has answered its server. */
static __noinline void syn_load_proved(const struct packet *p)
{
	struct xlvs_destination *d = destination_get(p->c.destination);

	if (d && p->protocol == IPPROTO_TCP)
		syn_load_there(d->service);
}

#endif
