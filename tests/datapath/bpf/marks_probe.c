// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Asks for the mark of a packet that is described in a map: compiled once for each hook,
 * with -DPROBE_HOOK and -DPROBE_SECTION. The mark is the program's result.
 */
#include PROBE_HOOK

#include "stages/marks.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xlvs_tuple);
} asked SEC(".maps");

SEC(PROBE_SECTION)
int probe(hook_ctx *ctx)
{
	struct xlvs_settings *s = settings_get();
	struct packet *p = packet_begin();
	struct xlvs_tuple *t;
	__u32 zero = 0;

	t = bpf_map_lookup_elem(&asked, &zero);
	if (!s || !p || !t)
		return -1;
	p->tuple = *t;
	return mark_of(ctx, p, s);
}

char _license[] SEC("license") = "Dual BSD/GPL";
