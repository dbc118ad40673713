/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What belongs to a template besides its place in the table; persistence.h uses it. */
#ifndef XLVS_TEMPLATE_H
#define XLVS_TEMPLATE_H

#include "table_open.h"

/* What t's template says besides its entry, or null. Written anew if it is not there yet. */
static __noinline struct xlvs_template *template_of(const struct packet *t, __u32 timeout,
						    __u64 call_id)
{
	struct xlvs_tenant tenant = tenant_of(t->family != AF_INET, t->c.at, t->c.word);
	struct xlvs_template begun = { .timeout = timeout, .call_id = call_id };
	struct xlvs_template *found = bpf_map_lookup_elem(&templates, &tenant);

	if (likely(found))
		return found;
	/* Two CPUs may come here at once: one is enough. */
	bpf_map_update_elem(&templates, &tenant, &begun, BPF_NOEXIST);
	return bpf_map_lookup_elem(&templates, &tenant);
}

#endif
