/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a real server's programs know. The maps are filled before the programs are attached
 * and never change after that.
 */
#ifndef XLVS_REALSERVER_MAPS_H
#define XLVS_REALSERVER_MAPS_H

#include "lib/address.h"

#define REALSERVER_ADDRESSES 1024

/* A virtual address: which tunnels lead to it, and what they take of a packet. */
struct decap_virtual {
	__u8 tunnels;  /* 1 << enum xlvs_tunnel */
	__u8 overhead; /* bytes of a tunnel's headers; 0: SYN/ACKs keep their MSS */
	__be16 port;   /* GUE */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REALSERVER_ADDRESSES);
	__type(key, struct xlvs_addr);
	__type(value, struct decap_virtual);
} decap_inner SEC(".maps");

/* Addresses of this host that a director may send tunnel packets to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REALSERVER_ADDRESSES);
	__type(key, struct xlvs_addr);
	__type(value, __u8);
} decap_outer SEC(".maps");

#endif
