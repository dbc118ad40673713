/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that a limit counts: per client and per service. Each says itself, in
 * `counted`, what it was counted as: a limit that comes, changes or goes finds connections
 * that began before.
 *
 * The count of a client is exact without a lock. Whoever ends its last connection makes it
 * CLIENT_GONE and deletes it; so nobody else does, and a pointer to it is good for as long
 * as one has a connection in it. Somebody who comes has none yet: the kernel may give the
 * memory to another client before he has counted himself, so he looks once more.
 */
#ifndef XLVS_COUNTED_H
#define XLVS_COUNTED_H

#include "connection.h"
#include "maps.h"

#define CLIENT_GONE 0xffffffffu
/* Each retry means that another CPU came between. */
#define CLIENT_RETRIES 16

/* One connection less. */
static __always_inline void client_leave(const struct xlvs_client *c)
{
	__u32 *count = bpf_map_lookup_elem(&clients, c), was;

	if (!count)
		return;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CLIENT_RETRIES; i++) {
		was = READ_ONCE(*count);
		if (__sync_val_compare_and_swap(count, was, was == 1 ? CLIENT_GONE : was - 1) !=
		    was)
			continue;
		if (was == 1)
			bpf_map_delete_elem(&clients, c);
		return;
	}
	/* Perhaps to 0, which stays until the client comes again. */
	__sync_fetch_and_add(count, -1);
}

static __always_inline void counted_less(const struct xlvs_counted *c)
{
	__u32 id = c->client.service;
	struct xlvs_admitted *a = bpf_map_lookup_elem(&admitted, &id);

	if (c->counts & XLVS_COUNTS_CLIENT)
		client_leave(&c->client);
	if (a && c->counts & XLVS_COUNTS_SERVICE)
		__sync_fetch_and_add(&a->connections, -1);
}

/* The connection at `at` has ended. Whoever deletes its record counts it. */
subprogram int counted_end(__u32 v6, __u32 at, __u32 word)
{
	struct xlvs_tenant tenant = tenant_of(v6, at, word);
	struct xlvs_counted *found = bpf_map_lookup_elem(&counted, &tenant), was;

	if (!found)
		return 0;
	was = *found;
	if (!bpf_map_delete_elem(&counted, &tenant))
		counted_less(&was);
	return 0;
}

#endif
