/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life of what a TCP connection says besides, whose segments are changed on their way. */
#ifndef XLVS_STREAM_H
#define XLVS_STREAM_H

#include "table.h"

static __always_inline struct xlvs_stream *stream_get(const struct packet *p)
{
	struct xlvs_tenant tenant = tenant_of(p->family != AF_INET, p->c.at, p->c.word);

	return bpf_map_lookup_elem(&streams, &tenant);
}

/* Counts what is done to the packet. */
static __always_inline void stream_count(const struct packet *p, enum xlvs_stream_event event)
{
	__u32 index = event;
	__u64 *count = bpf_map_lookup_elem(&stream_counts, &index);

	if (count)
		*count += p->wire.packets;
}

static __noinline int stream_end(bool v6, __u32 at, __u32 word)
{
	struct xlvs_tenant tenant = tenant_of(v6, at, word);

	bpf_map_delete_elem(&streams, &tenant);
	return 0;
}

/*
 * Nothing more is changed in the connection's segments: from now on it is as any other. Should
 * the word change meanwhile it stays special, which costs time only.
 */
static __always_inline void stream_leave(const struct packet *p)
{
	struct xlvs_entry *e = table_entry(p);
	__u32 word = e ? READ_ONCE(e->word) : 0;

	if (e && word_same(word, p->c.word) &&
	    __sync_val_compare_and_swap(&e->word, word, word & ~XLVS_CONNECTION_SPECIAL) == word)
		stream_end(p->family != AF_INET, p->c.at, word);
}

#endif
