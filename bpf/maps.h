/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps. They are pinned by name, so every object of an instance, and every
 * later version of it, uses the same ones. Sizes are defaults: the loader sets
 * them before the first load.
 */
#ifndef XLVS_MAPS_H
#define XLVS_MAPS_H

#include "lib/base.h"

#define XLVS_MAP_ARRAY(name, value_type, entries, flags) \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_ARRAY);        \
		__uint(map_flags, flags);                \
		__uint(max_entries, entries);            \
		__type(key, __u32);                      \
		__type(value, value_type);               \
		__uint(pinning, LIBBPF_PIN_BY_NAME);     \
	} name SEC(".maps")

#define XLVS_MAP_PERCPU(name, value_type, entries)       \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, entries);            \
		__type(key, __u32);                      \
		__type(value, value_type);               \
		__uint(pinning, LIBBPF_PIN_BY_NAME);     \
	} name SEC(".maps")

#define XLVS_MAP_HASH(name, key_type, value_type, entries) \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_HASH);           \
		__uint(max_entries, entries);              \
		__type(key, key_type);                     \
		__type(value, value_type);                 \
		__uint(pinning, LIBBPF_PIN_BY_NAME);       \
	} name SEC(".maps")

/* Written by the daemon, read by packets. */
XLVS_MAP_HASH(services_by_key4, struct xlvs_service_key4, __u32, 4096);
XLVS_MAP_HASH(services_by_key, struct xlvs_service_key, __u32, 4096);
XLVS_MAP_ARRAY(services, struct xlvs_service, 4096, 0);
XLVS_MAP_ARRAY(service_destinations, __u32, 65536, 0);
XLVS_MAP_ARRAY(remap, __u32, 65536, 0);
XLVS_MAP_ARRAY(destinations, struct xlvs_destination, 16384, 0);
XLVS_MAP_ARRAY(port_blocks, struct xlvs_port_block, 1024, 0);
XLVS_MAP_ARRAY(port_rows, __u32, 4096, 0);
XLVS_MAP_ARRAY(addresses, struct xlvs_addresses, 1, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(geometry, struct xlvs_geometry, 1, 0);
XLVS_MAP_ARRAY(settings, struct xlvs_settings, 1, 0);
XLVS_MAP_HASH(real_servers, struct xlvs_service_key, __u32, 16384);
XLVS_MAP_HASH(interfaces, __u32, struct xlvs_interface, 1024);

/*
 * Pages of slots, which the daemon makes as services need them: ten thousand tables of mh are
 * 650 MB, and most directors have none. All pages are alike, so that the verifier knows how
 * long they are and both look-ups are a few instructions in the program. (They have sizes and
 * no types: to kernels before 6.2 a map with BTF is not alike one without, which the daemon's are.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2048);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(max_entries, XLVS_SLOT_PAGE);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct xlvs_hash_slot));
		});
} hash_slots SEC(".maps");

/* Written by packets, read by the daemon. */
XLVS_MAP_ARRAY(schedules, struct xlvs_schedule, 4096, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(destination_load, struct xlvs_destination_load, 16384, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(local_ports, struct xlvs_local_ports, 1024, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(connections4, struct xlvs_line4, 251253, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(connections6, struct xlvs_line6, 65567, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(regions4, __u32, 3926, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(regions6, __u32, 1025, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(table, struct xlvs_table, 1, BPF_F_MMAPABLE);
/* Which service was last found here? (stages/3_service.h) */
#define XLVS_SERVICE_HINTS 4096
XLVS_MAP_ARRAY(service_hints, __u32, XLVS_SERVICE_HINTS, 0);
XLVS_MAP_ARRAY(next_hops, struct xlvs_next_hop_row, 1024, 0);
XLVS_MAP_PERCPU(table_counts, struct xlvs_table_counts, 1);
XLVS_MAP_PERCPU(service_stats, struct xlvs_stats, 4096);
XLVS_MAP_PERCPU(destination_stats, struct xlvs_stats, 16384);
XLVS_MAP_ARRAY(load, struct xlvs_load, 1, 0);
XLVS_MAP_PERCPU(answers, struct xlvs_answers, 1);
XLVS_MAP_PERCPU(reasons, struct xlvs_reason_stats, XLVS_REASON_MAX);

/* Persistence. They take memory only for what there is: their sizes are bounds. */
#define XLVS_MAP_GROWING(name, key_type, value_type, entries) \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_HASH);              \
		__uint(map_flags, BPF_F_NO_PREALLOC);         \
		__uint(max_entries, entries);                 \
		__type(key, key_type);                        \
		__type(value, value_type);                    \
		__uint(pinning, LIBBPF_PIN_BY_NAME);          \
	} name SEC(".maps")

XLVS_MAP_GROWING(templates, struct xlvs_tenant, struct xlvs_template, 524288);
XLVS_MAP_GROWING(controlled, struct xlvs_tenant, struct xlvs_tenant, 524288);
XLVS_MAP_GROWING(call_ids, struct xlvs_tenant, struct xlvs_call_id, 524288);

/* TCP connections whose segments are changed. */
XLVS_MAP_GROWING(streams, struct xlvs_tenant, struct xlvs_stream, 524288);
XLVS_MAP_PERCPU(stream_counts, __u64, XLVS_STREAM_EVENT_MAX);

/* SYN proxy. */
XLVS_MAP_GROWING(syn_pending, struct xlvs_tenant, struct xlvs_syn_pending, 65536);

/* Rules of marks, written by the daemon: two sets while one takes the other's place. */
#define XLVS_MAP_PREFIXES(name, key_type, entries)    \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);  \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, entries);         \
		__type(key, key_type);                \
		__type(value, __u32);                 \
		__uint(pinning, LIBBPF_PIN_BY_NAME);  \
	} name SEC(".maps")

XLVS_MAP_PREFIXES(mark_to, struct xlvs_mark_address, 131072);
XLVS_MAP_PREFIXES(mark_from, struct xlvs_mark_address, 131072);
XLVS_MAP_PREFIXES(mark_ports, struct xlvs_mark_port, 131072);
XLVS_MAP_GROWING(mark_classes, struct xlvs_mark_classes, struct xlvs_mark, 262144);

/* Lists of clients, written by the daemon; each set twice while a list changes. */
XLVS_MAP_PREFIXES(client_prefixes, struct xlvs_client_prefix, 1048576);
XLVS_MAP_GROWING(client_sets, __u64, __u32, 4096);
XLVS_MAP_ARRAY(admissions, struct xlvs_admission, 8192, 0);

/* Limits. */
XLVS_MAP_ARRAY(admitted, struct xlvs_admitted, 4096, BPF_F_MMAPABLE);
XLVS_MAP_PERCPU(arrivals, struct xlvs_arrivals, 4096);
XLVS_MAP_GROWING(clients, struct xlvs_client, __u32, 524288);
XLVS_MAP_GROWING(counted, struct xlvs_tenant, struct xlvs_counted, 524288);

/* A bound for clients whose rate is remembered: who did not come for longest begins anew. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct xlvs_client);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} client_rates SEC(".maps");

/* A bound for packets whose fragments are under way at once; the oldest gives way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct xlvs_fragment_key);
	__type(value, struct xlvs_fragment);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} fragments SEC(".maps");

/* lblc and lblcr. */
XLVS_MAP_GROWING(localities, struct xlvs_locality_key, struct xlvs_locality, 262144);
XLVS_MAP_GROWING(locality_more, struct xlvs_locality_more_key, struct xlvs_locality_server, 131072);
XLVS_MAP_ARRAY(locality_tables, struct xlvs_locality_table, 4096, 0);
XLVS_MAP_ARRAY(locality_rounds, struct xlvs_locality_rounds, 1, 0);

/* The sweep's timer: it runs as long as the map is pinned, without the daemon. */
struct sweeper {
	struct bpf_timer timer;
};
XLVS_MAP_ARRAY(sweepers, struct sweeper, 1, 0);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

/* Of 16 bytes each in the ring. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} sync_events SEC(".maps");
XLVS_MAP_ARRAY(synced, struct xlvs_synced, XLVS_SYNCED_BATCH, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(sync_batch, struct xlvs_batch, 1, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(sync_timers, struct sweeper, 1, 0);
XLVS_MAP_ARRAY(closings, struct xlvs_closing, XLVS_CLOSING_BATCH, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(closing_batch, struct xlvs_batch, 1, BPF_F_MMAPABLE);
XLVS_MAP_ARRAY(closing_timers, struct sweeper, 1, 0);

/* Enums and structs that no map names would be missing in BTF: these keep them. */
struct xlvs_anchor {
	enum xlvs_method method;
	enum xlvs_scheduler scheduler;
	enum xlvs_state state;
	enum xlvs_reason reason;
	enum xlvs_service_flags service_flags;
	enum xlvs_destination_flags destination_flags;
	enum xlvs_connection_flags connection_flags;
	enum xlvs_address_role address_role;
	enum xlvs_protocol protocol;
	enum xlvs_tunnel tunnel;
	enum xlvs_tunnel_flags tunnel_flags;
	enum xlvs_mark_matters mark_matters;
	struct xlvs_commit commit;
	struct xlvs_now now;
	struct xlvs_event event;
	enum xlvs_synced_flags synced_flags;
	enum xlvs_synced_result synced_result;
	enum xlvs_closing_result closing_result;
	enum xlvs_stream_event stream_event;
	enum xlvs_syn_offers syn_offers;
	enum xlvs_syn_says syn_says;
	enum xlvs_stream_flags stream_flags;
	enum xlvs_stream_syn stream_syn;
	struct xlvs_hash_slot hash_slot;
	enum xlvs_counts counts;
};
const volatile struct xlvs_anchor xlvs_abi_anchor = {};

/* Look-ups of array maps cannot fail with an index below their size; the null
 * check is the verifier's, and the caller treats null as an internal error. */
static __always_inline struct xlvs_settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct xlvs_geometry *geometry_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&geometry, &zero);
}

#endif
