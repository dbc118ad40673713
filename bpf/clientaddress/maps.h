/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a real server's programs for client addresses know. Pinned by name: another version
 * of the programs goes on with what these remember.
 */
#ifndef XLVS_CLIENTADDRESS_MAPS_H
#define XLVS_CLIENTADDRESS_MAPS_H

#include "clientaddress/option.h"
#include "clientaddress/prefix.h"

/* Connections by what became of them. Python has them in the same order. */
enum client_count {
	CLIENT_BY_SYN,       /* the client is known from the SYN */
	CLIENT_BY_ACK,       /* from the packet that completed the handshake */
	CLIENT_LATER,        /* from a later packet; counted under CLIENT_WITHOUT before */
	CLIENT_WITHOUT,      /* from a director, without an option */
	CLIENT_NOT_BELIEVED, /* has an option, and is not from a director */
	CLIENT_MALFORMED,    /* from a director; the option is not of this family's form */
	CLIENT_SECOND,       /* there was another option behind the one that counts */
	CLIENT_NO_MEMORY,
	CLIENT_COUNTS,
};

/* Lives as long as the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, int);
	__type(value, struct client_address);
} client_of SEC(".maps");

/* Directors' local addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, CLIENT_BELIEVED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct client_prefix);
	__type(value, __u32);
} client_believed SEC(".maps");

/* Entry 0: the option's kind. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} client_kind SEC(".maps");

/* By enum client_count. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLIENT_COUNTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} client_counts SEC(".maps");

static __always_inline void client_count(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&client_counts, &what);

	if (count)
		(*count)++;
}

#endif
