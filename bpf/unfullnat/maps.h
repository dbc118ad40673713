/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What un-FULLNAT knows. Attached programs keep it; a newer `up` takes it over by its names. */
#ifndef XLVS_UNFULLNAT_MAPS_H
#define XLVS_UNFULLNAT_MAPS_H

#include "clientaddress/prefix.h"
#include "lib/base.h"

#define UN_CONNECTIONS 65536

/* What became of connections; of packets, where it says so. Python has them in the same order. */
enum un_count {
	UN_SHOWN,     /* the host sees the client */
	UN_WITHOUT,   /* a SYN from a director, without an option */
	UN_MALFORMED, /* a SYN whose option is not of this family's form */
	UN_COLLISION, /* the client's address and port have a connection to the same port already */
	UN_FRAGMENTS, /* packets: fragments from a director are not changed */
	UN_LOST,      /* packets: answers whose way back is not known any more */
	UN_NO_MEMORY,
	UN_COUNTS,
};

/* The two ends of a connection as packets have them. */
struct un_flow {
	struct xlvs_addr peer; /* the director's local address, or the client */
	struct xlvs_addr host;
	__be16 peer_port;
	__be16 host_port;
};

struct un_end {
	struct xlvs_addr address;
	__be16 port;
	__be16 pad;
};

/* By what comes in, peer: local address. The client. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, UN_CONNECTIONS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct un_flow);
	__type(value, struct un_end);
} un_clients SEC(".maps");

/* By what goes out, peer: client. The director's local address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, UN_CONNECTIONS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct un_flow);
	__type(value, struct un_end);
} un_ways_back SEC(".maps");

/* Directors' local addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, CLIENT_BELIEVED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct client_prefix);
	__type(value, __u32);
} un_believed SEC(".maps");

struct un_settings {
	__u32 mark; /* of packets whose answers go back to a director */
	__u32 kind; /* the option's */
};

/* Entry 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct un_settings);
} un_settings SEC(".maps");

/* By enum un_count. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, UN_COUNTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} un_counts SEC(".maps");

static __always_inline void un_count(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&un_counts, &what);

	if (count)
		(*count)++;
}

static __always_inline bool un_is_believed(const struct xlvs_addr *address)
{
	struct client_prefix prefix = { .length = 128, .address = *address };

	return bpf_map_lookup_elem(&un_believed, &prefix);
}

#endif
