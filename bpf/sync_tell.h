/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connection sync, the telling side: which connection has something new for other
 * directors. Who has not proved that he is there is nobody yet: a flood of SYNs is not
 * told. (What is merely used on is found by the daemon, which reads the table now and then.)
 */
#ifndef XLVS_SYNC_TELL_H
#define XLVS_SYNC_TELL_H

#include "table.h"

static __noinline void sync_tell(const struct packet *p)
{
	struct xlvs_table_counts *counts = table_counts_get();
	struct xlvs_entry *e = table_entry(p);
	struct xlvs_tenant *t;
	__u32 word;

	if (!counts || !e)
		return;
	word = READ_ONCE(e->word);
	if (!word_same(word, p->c.word) || word & XLVS_CONNECTION_HALF_OPEN)
		return;
	t = bpf_ringbuf_reserve(&sync_events, sizeof(*t), 0);
	if (!t) {
		counts->untold++;
		return;
	}
	*t = tenant_of(p->family != AF_INET, p->c.at, word);
	bpf_ringbuf_submit(t, BPF_RB_NO_WAKEUP); /* the daemon looks some 50 times a second */
	counts->told++;
}

/* What is done to the connection's segments has changed, perhaps without a change of its state. */
static __always_inline void sync_tell_stream(const struct packet *p)
{
	const struct xlvs_settings *s = settings_get();

	if (s && s->sync)
		sync_tell(p);
}

#endif
