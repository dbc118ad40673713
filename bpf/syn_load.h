/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many ask a service with SYN proxy for a connection, and how many of them are there. */
#ifndef XLVS_SYN_LOAD_H
#define XLVS_SYN_LOAD_H

#include "maps.h"
#include "packet.h"
#include "syn_cookie.h"
#include "table.h"

static __always_inline struct xlvs_syn_load *syn_load_get(__u32 service)
{
	struct xlvs_arrivals *a = bpf_map_lookup_elem(&arrivals, &service);

	return a ? &a->syn : NULL;
}

/* A client asks for a connection, */
static __always_inline void syn_load_asked(__u32 service)
{
	struct xlvs_syn_load *load = syn_load_get(service);

	if (load)
		load->syns++;
}

/* is answered, */
static __always_inline void syn_load_answered(__u32 service)
{
	struct xlvs_syn_load *load = syn_load_get(service);

	if (load)
		load->answered++;
}

/* and is there. */
static __always_inline void syn_load_there(__u32 service)
{
	struct xlvs_syn_load *load = syn_load_get(service);

	if (load)
		load->proved++;
}

/* What is no SYN of a client's. */
static __always_inline void syn_load_odd(__u32 service)
{
	struct xlvs_syn_load *load = syn_load_get(service);

	if (load)
		load->odd++;
}

/* Somebody acknowledges what is no cookie of ours, or an old one. */
static __always_inline void syn_load_refused(__u32 service, enum syn_cookie_verdict verdict)
{
	struct xlvs_syn_load *load = syn_load_get(service);

	if (!load)
		return;
	if (verdict == SYN_COOKIE_EXPIRED)
		load->expired++;
	else
		load->unknown++;
}

/* The client of a connection that was opened by its SYN has answered its server. */
static __noinline void syn_load_proved(const struct packet *p)
{
	struct xlvs_destination *d = destination_get(p->c.destination);

	if (d && p->protocol == IPPROTO_TCP)
		syn_load_there(d->service);
}

#endif
