/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The data path's own code runs over the live maps and changes nothing: whatever it looks
 * up is copied at the first look, and it works on the copy from then on. So it also sees
 * what it has written itself, and afterwards the difference between the copy and what was
 * there at first is all that the packet would have changed.
 *
 * No seam is needed where maps are used: the helpers' names are taken over here, before
 * any other header. A map that packets write and that has no row here is written by an
 * explanation: a test loads this object on maps that programs cannot write.
 */
#ifndef XLVS_OVERLAY_H
#define XLVS_OVERLAY_H

#define inner_map_lookup_elem live_lookup

#include "explain/notes.h"

static void *(*const live_lookup)(void *, const void *) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const live_update)(void *, const void *, const void *,
				 __u64) = (void *)BPF_FUNC_map_update_elem;
static long (*const live_delete)(void *, const void *) = (void *)BPF_FUNC_map_delete_elem;

static __always_inline void *overlay_lookup(void *map, const void *key);
static __always_inline long overlay_update(void *map, const void *key, const void *value,
					   __u64 flags);
static __always_inline long overlay_delete(void *map, const void *key);
static __always_inline void *overlay_event(void *ring, __u64 size);

#define bpf_map_lookup_elem overlay_lookup
#define bpf_map_update_elem overlay_update
#define bpf_map_delete_elem overlay_delete
#define bpf_ringbuf_reserve(ring, size, flags) overlay_event(ring, size)
#define bpf_ringbuf_submit(event, flags) ((void)(event))
#define bpf_clone_redirect(ctx, ifindex, flags) ((void)(ctx), (void)(ifindex), (void)(flags), 0)

#include "maps.h"

/* The maps that packets write, and those that the daemon writes and a global function gets. */
enum xlvs_copied {
	XLVS_COPIED_settings,
	XLVS_COPIED_services,
	XLVS_COPIED_destinations,
	XLVS_COPIED_schedules,
	XLVS_COPIED_destination_load,
	XLVS_COPIED_local_ports,
	XLVS_COPIED_connections4,
	XLVS_COPIED_connections6,
	XLVS_COPIED_regions4,
	XLVS_COPIED_regions6,
	XLVS_COPIED_table,
	XLVS_COPIED_service_hints,
	XLVS_COPIED_next_hops,
	XLVS_COPIED_table_counts,
	XLVS_COPIED_service_stats,
	XLVS_COPIED_destination_stats,
	XLVS_COPIED_load,
	XLVS_COPIED_answers,
	XLVS_COPIED_reasons,
	XLVS_COPIED_templates,
	XLVS_COPIED_controlled,
	XLVS_COPIED_call_ids,
	XLVS_COPIED_streams,
	XLVS_COPIED_stream_counts,
	XLVS_COPIED_localities,
	XLVS_COPIED_locality_more,
	XLVS_COPIED_locality_tables,
	XLVS_COPIED_locality_rounds,
	XLVS_COPIED_fragments,
	XLVS_COPIED_admitted,
	XLVS_COPIED_clients,
	XLVS_COPIED_client_rates,
	XLVS_COPIED_MAX,
};

#define COPY_KEY_WORDS 11
#define COPY_BYTES 360

struct copy_key {
	enum xlvs_copied of;
	__u32 key[COPY_KEY_WORDS];
};

/* An entry that packets have deleted is `gone`, one that they made was not there. */
struct copy {
	__u32 gone;
	__u32 was_there;
	__u64 now[COPY_BYTES / 8];
	__u64 was[COPY_BYTES / 8];
};

struct copied_load {
	__u32 gone;
	__u32 was_there;
	__u64 now[sizeof(struct xlvs_destination_load) / 8];
	__u64 was[sizeof(struct xlvs_destination_load) / 8];
};

struct copied_ports {
	__u32 gone;
	__u32 was_there;
	__u64 now[sizeof(struct xlvs_local_ports) / 8];
	__u64 was[sizeof(struct xlvs_local_ports) / 8];
};

#define OVERLAY_MAP(name, copy_type, entries)    \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, entries);    \
		__type(key, struct copy_key);    \
		__type(value, copy_type);        \
	} name SEC(".maps");                     \
	static const copy_type blank_of_##name = {}

/*
 * A program may have 64 maps, so copies of different maps share one. A packet looks at
 * some chains of lines, and perhaps at every server of its service: of these there are
 * many, and the loader makes room for as many as there can be.
 */
OVERLAY_MAP(copies, struct copy, 2048);
OVERLAY_MAP(copied_destinations, struct copy, 16384);
OVERLAY_MAP(copied_loads, struct copied_load, 16384);
OVERLAY_MAP(copied_ports, struct copied_ports, 256);

/* The key of the look-up being made: the stack has no room for it (kernel 6.1: 512 bytes for
 * all frames together). One packet is explained at a time. */
static struct copy_key copy_of;

static __always_inline void copy_key_set(__u32 of, const void *at, __u32 length)
{
	const __u32 *word = at;

	copy_of.of = of;
#pragma unroll
	for (__u32 i = 0; i < COPY_KEY_WORDS; i++)
		copy_of.key[i] = i < length / sizeof(*word) ? word[i] : 0;
}

/* `fresh` is done to a new copy, `now`. */
#define OVERLAY(map, key_type, value_type, in, copy_type, fresh)                           \
	static __always_inline copy_type *copy_of_##map(const key_type *at)                \
	{                                                                                  \
		copy_type *c;                                                              \
		value_type *live, *now;                                                    \
                                                                                           \
		_Static_assert(sizeof(value_type) <= sizeof(c->now), "COPY_BYTES");        \
		_Static_assert(sizeof(key_type) <= sizeof(copy_of.key), "COPY_KEY_WORDS"); \
		copy_key_set(XLVS_COPIED_##map, at, sizeof(*at));                          \
		c = live_lookup(&in, &copy_of);                                            \
		if (c)                                                                     \
			return c;                                                          \
		live = live_lookup(&map, at);                                              \
		if (!live || live_update(&in, &copy_of, &blank_of_##in, BPF_NOEXIST))      \
			return NULL;                                                       \
		c = live_lookup(&in, &copy_of);                                            \
		if (!c)                                                                    \
			return NULL;                                                       \
		now = (value_type *)c->now;                                                \
		bpf_probe_read_kernel(now, sizeof(*now), live);                            \
		fresh;                                                                     \
		bpf_probe_read_kernel(c->was, sizeof(*now), now);                          \
		c->was_there = 1;                                                          \
		return c;                                                                  \
	}                                                                                  \
	static __always_inline value_type *overlay_##map(const key_type *at)               \
	{                                                                                  \
		copy_type *c = copy_of_##map(at);                                          \
                                                                                           \
		return c && !c->gone ? (value_type *)c->now : NULL;                        \
	}

/* Of a hash also what is made and deleted. */
#define OVERLAY_HASH(map, key_type, value_type)                                                \
	OVERLAY(map, key_type, value_type, copies, struct copy, (void)0)                       \
	static __always_inline long overlay_update_##map(const key_type *at,                   \
							 const value_type *value, __u64 flags) \
	{                                                                                      \
		struct copy *c;                                                                \
                                                                                               \
		if (!at || !value)                                                             \
			return -1;                                                             \
		c = copy_of_##map(at);                                                         \
		if (c && !c->gone && flags == BPF_NOEXIST)                                     \
			return -1;                                                             \
		if (!c) {                                                                      \
			live_update(&copies, &copy_of, &blank_of_copies, BPF_NOEXIST);         \
			c = live_lookup(&copies, &copy_of);                                    \
		}                                                                              \
		if (!c)                                                                        \
			return -1;                                                             \
		bpf_probe_read_kernel(c->now, sizeof(*value), value);                          \
		c->gone = 0;                                                                   \
		return 0;                                                                      \
	}                                                                                      \
	static __always_inline long overlay_delete_##map(const key_type *at)                   \
	{                                                                                      \
		struct copy *c = at ? copy_of_##map(at) : NULL;                                \
                                                                                               \
		if (!c || c->gone)                                                             \
			return -1;                                                             \
		c->gone = 1;                                                                   \
		return 0;                                                                      \
	}

#define OVERLAY_ARRAY(map, value_type) OVERLAY(map, __u32, value_type, copies, struct copy, (void)0)

/* The daemon's: so that all look-ups are of one moment, and because the verifier takes a
 * global function to write whatever it is given. */
OVERLAY_ARRAY(settings, struct xlvs_settings)
OVERLAY_ARRAY(services, struct xlvs_service)
OVERLAY(destinations, __u32, struct xlvs_destination, copied_destinations, struct copy, (void)0)
/* Packets'. A line may be locked just now: whoever holds it lets go before we would come. */
OVERLAY(connections4, __u32, struct xlvs_line4, copies, struct copy, now->lock = 0)
OVERLAY(connections6, __u32, struct xlvs_line6, copies, struct copy, now->lock = 0)
OVERLAY(destination_load, __u32, struct xlvs_destination_load, copied_loads, struct copied_load,
	(void)0)
OVERLAY(local_ports, __u32, struct xlvs_local_ports, copied_ports, struct copied_ports, (void)0)
OVERLAY_ARRAY(schedules, struct xlvs_schedule)
OVERLAY_ARRAY(regions4, __u32)
OVERLAY_ARRAY(regions6, __u32)
OVERLAY_ARRAY(table, struct xlvs_table)
OVERLAY_ARRAY(service_hints, __u32)
OVERLAY_ARRAY(next_hops, struct xlvs_next_hop_row)
OVERLAY_ARRAY(table_counts, struct xlvs_table_counts)
OVERLAY_ARRAY(service_stats, struct xlvs_stats)
OVERLAY_ARRAY(destination_stats, struct xlvs_stats)
OVERLAY(locality_tables, __u32, struct xlvs_locality_table, copies, struct copy, now->lock = 0)
OVERLAY_ARRAY(locality_rounds, struct xlvs_locality_rounds)
OVERLAY_ARRAY(load, struct xlvs_load)
OVERLAY_ARRAY(answers, struct xlvs_answers)
OVERLAY_ARRAY(reasons, struct xlvs_reason_stats)
OVERLAY_ARRAY(stream_counts, __u64)
OVERLAY_HASH(templates, struct xlvs_tenant, struct xlvs_template)
OVERLAY_HASH(controlled, struct xlvs_tenant, struct xlvs_tenant)
OVERLAY_HASH(call_ids, struct xlvs_tenant, struct xlvs_call_id)
OVERLAY_HASH(streams, struct xlvs_tenant, struct xlvs_stream)
OVERLAY_HASH(localities, struct xlvs_locality_key, struct xlvs_locality)
OVERLAY_HASH(locality_more, struct xlvs_locality_more_key, struct xlvs_locality_server)
OVERLAY_HASH(fragments, struct xlvs_fragment_key, struct xlvs_fragment)

OVERLAY_ARRAY(admitted, struct xlvs_admitted)
OVERLAY_HASH(clients, struct xlvs_client, __u32)
OVERLAY_HASH(client_rates, struct xlvs_client, __u64)

/* What would have been asked of the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xlvs_event);
} asked SEC(".maps");

/* `map` is a constant wherever this is inlined: one case is left. */
static __always_inline void *overlay_lookup(void *map, const void *key)
{
#define OVERLAID(name)      \
	if (map == &(name)) \
	return overlay_##name(key)
	OVERLAID(settings);
	OVERLAID(services);
	OVERLAID(destinations);
	OVERLAID(schedules);
	OVERLAID(destination_load);
	OVERLAID(local_ports);
	OVERLAID(connections4);
	OVERLAID(connections6);
	OVERLAID(regions4);
	OVERLAID(regions6);
	OVERLAID(table);
	OVERLAID(service_hints);
	OVERLAID(next_hops);
	OVERLAID(table_counts);
	OVERLAID(service_stats);
	OVERLAID(destination_stats);
	OVERLAID(load);
	OVERLAID(answers);
	OVERLAID(reasons);
	OVERLAID(templates);
	OVERLAID(controlled);
	OVERLAID(call_ids);
	OVERLAID(streams);
	OVERLAID(stream_counts);
	OVERLAID(fragments);
	OVERLAID(localities);
	OVERLAID(locality_more);
	OVERLAID(locality_tables);
	OVERLAID(locality_rounds);
	OVERLAID(admitted);
	OVERLAID(clients);
	OVERLAID(client_rates);
#undef OVERLAID
	/* Decide nothing, and a program may have 64 maps. */
	if (map == &arrivals || map == &counted) {
		void *none = NULL;

		/* Or clang leaves out arguments that nobody needs, which the verifier wants. */
		if (map == &counted)
			live_lookup(&controlled, key);
		opaque(none);
		return none;
	}
	return live_lookup(map, key);
}

/* Others than these do not link: a program that writes one more map needs a row above. */
extern long overlay_of_this_map_is_missing(void);

static __always_inline long overlay_update(void *map, const void *key, const void *value,
					   __u64 flags)
{
	if (map == &templates)
		return overlay_update_templates(key, value, flags);
	if (map == &controlled)
		return overlay_update_controlled(key, value, flags);
	if (map == &call_ids)
		return overlay_update_call_ids(key, value, flags);
	if (map == &streams)
		return overlay_update_streams(key, value, flags);
	if (map == &fragments)
		return overlay_update_fragments(key, value, flags);
	if (map == &localities)
		return overlay_update_localities(key, value, flags);
	if (map == &locality_more)
		return overlay_update_locality_more(key, value, flags);
	if (map == &clients)
		return overlay_update_clients(key, value, flags);
	if (map == &counted || map == &syn_pending)
		return 0;
	if (map == &client_rates)
		return overlay_update_client_rates(key, value, flags);
	return overlay_of_this_map_is_missing();
}

static __always_inline long overlay_delete(void *map, const void *key)
{
	if (map == &templates)
		return overlay_delete_templates(key);
	if (map == &controlled)
		return overlay_delete_controlled(key);
	if (map == &call_ids)
		return overlay_delete_call_ids(key);
	if (map == &streams)
		return overlay_delete_streams(key);
	if (map == &localities)
		return overlay_delete_localities(key);
	if (map == &locality_more)
		return overlay_delete_locality_more(key);
	if (map == &clients)
		return overlay_delete_clients(key);
	if (map == &counted || map == &syn_pending)
		return -1;
	return overlay_of_this_map_is_missing();
}

static __always_inline void *overlay_event(void *ring, __u64 size)
{
	__u32 zero = 0;

	(void)size;
	return ring == &sync_events ? NULL : live_lookup(&asked, &zero);
}

#endif
