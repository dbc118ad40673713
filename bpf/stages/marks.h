/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which firewall mark does a packet have? Netfilter runs after both hooks, so the
 * director has rules of its own. As with iptables' MARK a rule does not end the search:
 * each changes what those before it have made of the mark, and where all bits are set
 * the last one decides. The daemon has worked that out for each combination of classes.
 */
#ifndef XLVS_MARKS_H
#define XLVS_MARKS_H

#include "maps.h"
#include "packet.h"

/* How often a packet looks again that was overtaken by a change of the rules. */
#define MARK_ATTEMPTS 2

static __always_inline __u32 mark_class_of_address(void *map, __u32 set, const struct xlvs_addr *a)
{
	struct xlvs_mark_address key = {
		.prefixlen = XLVS_MARK_SET_BITS + 8 * sizeof(*a),
		.set = set,
		.address = *a,
	};
	__u32 *found = bpf_map_lookup_elem(map, &key);

	return found ? *found : 0;
}

static __always_inline __u32 mark_class_of_port(__u32 set, const struct xlvs_tuple *t)
{
	struct xlvs_mark_port key = {
		.prefixlen = XLVS_MARK_PROTOCOL_BITS + 8 * sizeof(t->dport),
		.set = set,
		.protocol = t->protocol,
		.port = t->dport,
	};
	__u32 *found = bpf_map_lookup_elem(&mark_ports, &key);

	return found ? *found : 0;
}

/*
 * What the rules of one set make of a mark. A class that matters to no rule of the class
 * of `to` is in none of its combinations, nor is one that makes no difference: what is
 * there is the one with its protocol's class, or with class 0.
 */
static __always_inline __u32 mark_by_set(__u32 set, const struct xlvs_tuple *t, __u32 mark)
{
	__u32 source = 0, ports = 0, to = mark_class_of_address(&mark_to, set, &t->dst);
	struct xlvs_mark_classes key = { .set = set, .to = to };
	struct xlvs_mark *found;

	if (!to)
		return mark;
	if (to & XLVS_MARK_SOURCE)
		source = mark_class_of_address(&mark_from, set, &t->src);
	if (to & XLVS_MARK_PORTS)
		ports = mark_class_of_port(set, t);
	key.ports = ports;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 3; i++) {
		key.source = source;
		found = bpf_map_lookup_elem(&mark_classes, &key);
		if (!found && source) {
			key.source = 0;
			found = bpf_map_lookup_elem(&mark_classes, &key);
		}
		if (found)
			return (mark & found->keep) ^ found->value;
		if (!key.ports)
			break;
		key.ports = key.ports < XLVS_MARK_PORT_CLASSES ? 0 : t->protocol;
	}
	return mark;
}

/*
 * The mark of a packet by its tuple, or 0. What the packet brings with it (TC only) is
 * what the rules begin with, so it is its mark if none matches.
 */
static __noinline __u32 mark_of(hook_ctx *ctx, const struct packet *p,
				const struct xlvs_settings *s)
{
	__u32 before = hook_mark(ctx), mark = before, set;

	if (!READ_ONCE(s->mark_rules))
		return before;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MARK_ATTEMPTS; i++) {
		set = READ_ONCE(s->mark_set);
		mark = mark_by_set(set, &p->tuple, before);
		/* Else the set may have been deleted between two look-ups. */
		if (likely(READ_ONCE(s->mark_set) == set))
			break;
	}
	note(MARK, mark, before, 0);
	return mark;
}

#endif
