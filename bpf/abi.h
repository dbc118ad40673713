/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys, values and enums that the data plane shares with user space. This is
 * the only definition: Python reads it from the BTF of the loaded object
 * (src/xlvs/datapath/layout.py), so it cannot drift.
 *
 * Rules of this file
 *  - One address form: 16 bytes, IPv4 as ::ffff:a.b.c.d. Network byte order is
 *    spelled __be16/__be32; everything else is host order.
 *  - Every map has one writer, named beside its value: "daemon" or "packets".
 *    What both need is split in two maps, so neither can undo the other.
 *  - Padding is explicit and zero: values are compared and fingerprinted as bytes.
 *  - Keys of array maps are plain __u32.
 */
#ifndef XLVS_ABI_H
#define XLVS_ABI_H

/* Enums vanish from BTF unless something uses them; maps.h anchors these. */

enum xlvs_method {
	XLVS_METHOD_NAT = 0,
	XLVS_METHOD_DR = 1,
	XLVS_METHOD_TUN = 2,
	XLVS_METHOD_FULLNAT = 3,
};

enum xlvs_scheduler {
	XLVS_SCHED_NONE = 0, /* known to the control plane only: no new connection is scheduled */
	XLVS_SCHED_RR = 1,
	XLVS_SCHED_WRR = 2,
	XLVS_SCHED_LC = 3,
	XLVS_SCHED_WLC = 4,
};

/* IPVS's states under IPVS's names and in its order (ip_vs.h, IP_VS_TCP_S_*). */
enum xlvs_state {
	XLVS_STATE_NONE = 0,
	XLVS_STATE_ESTABLISHED = 1,
	XLVS_STATE_SYN_SENT = 2,
	XLVS_STATE_SYN_RECV = 3,
	XLVS_STATE_FIN_WAIT = 4,
	XLVS_STATE_TIME_WAIT = 5,
	XLVS_STATE_CLOSE = 6,
	XLVS_STATE_CLOSE_WAIT = 7,
	XLVS_STATE_LAST_ACK = 8,
	XLVS_STATE_LISTEN = 9,
	XLVS_STATE_SYNACK = 10,
	XLVS_STATE_UDP = 11,
	XLVS_STATE_MAX = 12,
};

/*
 * Why a packet left the data plane the way it did. The enumerator is the index
 * of its counter and, in lower case without the prefix, its name everywhere.
 * PASS_*: to the director's own stack, bytes unchanged. DROP_*: surely ours and
 * not to be forwarded. FWD_*: sent on. REPLY_*: answered by the data plane.
 */
enum xlvs_reason {
	XLVS_REASON_NONE = 0,

	XLVS_REASON_FWD_NAT,
	XLVS_REASON_FWD_DR,
	XLVS_REASON_FWD_TUN,
	XLVS_REASON_FWD_FULLNAT,
	XLVS_REASON_FWD_LOCAL,
	XLVS_REASON_FWD_FRAGMENTED, /* NAT: translated; the stack routes and fragments it */
	XLVS_REASON_FWD_REPLY,      /* real server to client, translated back */
	XLVS_REASON_FWD_ICMP_IN,    /* ICMP error about a connection, towards the real server */
	XLVS_REASON_FWD_ICMP_OUT,   /* ICMP error about a connection, towards the client */

	XLVS_REASON_REPLY_NO_DESTINATION, /* service without usable server: port unreachable */
	XLVS_REASON_REPLY_TTL_EXCEEDED,
	XLVS_REASON_REPLY_TOO_BIG,      /* fragmentation needed / packet too big */
	XLVS_REASON_REPLY_TUNNEL_ERROR, /* ICMP about a tunnel packet, turned into one for the client */

	XLVS_REASON_PASS_NOT_IP,
	XLVS_REASON_PASS_NO_SERVICE, /* not ours: no connection and no service */
	XLVS_REASON_PASS_DISABLED,   /* no service at all is configured */
	XLVS_REASON_PASS_PROTOCOL,   /* not TCP, UDP or ICMP */
	XLVS_REASON_PASS_FRAGMENT,
	XLVS_REASON_PASS_EXTENSION_HEADERS, /* more IPv6 extension headers than are read */
	XLVS_REASON_PASS_MALFORMED,
	XLVS_REASON_PASS_NOT_SYN, /* service known, but the packet opens no connection */
	XLVS_REASON_PASS_ICMP,    /* ICMP that is the host's own business */
	XLVS_REASON_PASS_ICMP_NO_CONNECTION,
	XLVS_REASON_PASS_NOT_FOR_HOST, /* the frame is addressed to another station */
	XLVS_REASON_PASS_MARTIAN, /* no client can have this source address: the stack drops it */
	XLVS_REASON_PASS_TTL_EXCEEDED, /* reply with TTL 1: the stack answers the real server */
	XLVS_REASON_PASS_TOO_BIG,      /* reply above the client side's MTU: the stack answers */

	XLVS_REASON_DROP_DESTINATION_REMOVED,
	XLVS_REASON_DROP_TABLE_FULL,
	XLVS_REASON_DROP_LOCAL_PORTS, /* no free local address and port for FULLNAT */
	XLVS_REASON_DROP_NO_NEXT_HOP, /* neighbour or route to the real server or client unresolved */
	XLVS_REASON_DROP_TOO_BIG, /* too big for the next hop and DF is clear: would need fragmenting */
	XLVS_REASON_DROP_HEADROOM,           /* the kernel refused to grow or shrink the frame */
	XLVS_REASON_DROP_CONTENDED,          /* scheduler state kept changing under us */
	XLVS_REASON_DROP_INTERNAL,           /* cannot happen; a bug if it counts */
	XLVS_REASON_DROP_ICMP_NOT_FORWARDED, /* about a connection whose method carries no such ICMP */
	XLVS_REASON_DROP_ICMP_CHECKSUM,      /* about a connection of ours, and damaged */

	XLVS_REASON_MAX,
};

/* ---- services ---------------------------------------------------------- */

struct xlvs_addr {
	__be32 word[4];
};

/* services_by_key: HASH -> __u32 service id. Writer: daemon. */
struct xlvs_service_key {
	struct xlvs_addr address; /* VIP; all zero for a mark */
	__u32 fwmark;             /* 0 unless the service is a mark */
	__be16 port;
	__u8 protocol; /* IPPROTO_*; for a mark 0 */
	__u8 family;   /* AF_INET 2 or AF_INET6 10 */
};

/* One version of a service's server list, in IPVS's order: newest first. */
struct xlvs_server_list {
	__u32 base; /* first index in service_destinations */
	__u32 count;
	__u32 gcd;        /* wrr: greatest common divisor of the weights above 0, 1 if none */
	__u32 max_weight; /* wrr: greatest weight minus (gcd - 1), 0 if none */
};

enum xlvs_service_flags {
	XLVS_SERVICE_USED = 1 << 0,
	XLVS_SERVICE_ONE_PACKET = 1 << 1, /* UDP: each datagram is scheduled anew (ipvsadm -o) */
	XLVS_SERVICE_PERSISTENT = 1 << 2, /* kept for listings; not yet in the data path */
};

/*
 * services: ARRAY by service id. Writer: daemon, except the lists, which only
 * the commit program (control.bpf.c) changes together with the cursor.
 */
struct xlvs_service {
	__u32 flags;       /* enum xlvs_service_flags */
	__u32 scheduler;   /* enum xlvs_scheduler */
	__u32 local_base;  /* FULLNAT: first index in local_addresses */
	__u32 local_count; /* FULLNAT: number of local addresses */
	struct xlvs_service_key key;
	__u32 pad;
};

/*
 * schedules: ARRAY by service id. Writer: packets and the commit program.
 * word = generation (16 bits) | cursor (16) | current weight (32). The
 * generation's lowest bit chooses the list; a packet that finds the word changed
 * when it wants to store the next cursor starts over, so a decision belongs to
 * exactly one list and no lock is held.
 */
struct xlvs_schedule {
	__u64 word;
	struct xlvs_server_list list[2];
};
#define XLVS_CURSOR_HEAD 0xffffu /* before the first server */

/* Input of the commit program: the new list of one service. */
struct xlvs_commit {
	__u32 service;
	__u32 scheduler;  /* enum xlvs_scheduler, the new one */
	__u32 reset;      /* 1: forget the cursor (new service or other scheduler) */
	__u32 generation; /* output: the new one */
	struct xlvs_server_list list;
	__u32 remap_base; /* old cursor i becomes remap[remap_base + i]; in service_destinations' index space of map remap */
	__u32 remap_count; /* number of servers of the old list */
};

/* ---- destinations ------------------------------------------------------ */

enum xlvs_destination_flags {
	XLVS_DESTINATION_AVAILABLE = 1 << 0, /* in its service's list; clear: connections remain */
	XLVS_DESTINATION_LOCAL = 1 << 2,     /* the address is the director's own */
	XLVS_DESTINATION_RESOLVED = 1 << 3,  /* next_hop is valid */
};

struct xlvs_next_hop {
	__u32 ifindex; /* of the device that carries the frame (a VLAN's parent) */
	__u16 vlan;    /* 802.1Q id, 0: untagged */
	__u16 mtu;     /* IP bytes, 0xffff at most */
	__u8 dst_mac[6];
	__u8 src_mac[6];
};

/* destinations: ARRAY by destination id. Writer: daemon. */
struct xlvs_destination {
	struct xlvs_addr address;
	struct xlvs_addr gateway;       /* on-link address to resolve: the server or its router */
	struct xlvs_addr tunnel_source; /* TUN: outer source address */
	struct xlvs_next_hop next_hop;
	__u32 flags; /* enum xlvs_destination_flags */
	__s32 weight;
	__u32 service;    /* service id */
	__u32 port_block; /* FULLNAT: local_ports index for the service's first local address */
	__be16 port;
	__u8 method;           /* enum xlvs_method */
	__u8 family;           /* of address */
	__u32 route_ifindex;   /* device of the route, as the kernel names it (a VLAN device) */
	__u32 upper_threshold; /* connections, 0: none (ipvsadm -x) */
	__u32 lower_threshold; /* 0: three quarters of the upper one (ipvsadm -y) */
	__u32 overload_epoch;  /* raised by the daemon to clear an overload, see below */
};

/* destination_load: ARRAY by destination id. Writer: packets (atomics). */
struct xlvs_destination_load {
	__u32 active;
	__u32 inactive;
	__u32 path_mtu;       /* learnt from ICMP about tunnel packets, 0: none */
	__u32 path_mtu_until; /* ms, see xlvs_connection.last_seen */
	__u32 overloaded;     /* overload_epoch + 1 while overloaded, in that epoch; else 0 */
	__u32 pad;
};

/* service_stats, destination_stats: PERCPU_ARRAY by id. Writer: packets. */
struct xlvs_stats {
	__u64 connections;
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};

/* reasons: PERCPU_ARRAY by enum xlvs_reason. Writer: packets. */
struct xlvs_reason_stats {
	__u64 packets;
	__u64 bytes;
};

/* ---- FULLNAT's local addresses ----------------------------------------- */

#define XLVS_LOCAL_PORT_FIRST 1024
#define XLVS_LOCAL_PORT_WORDS 1008 /* 64 512 ports, 1024 .. 65535 */
#define XLVS_LOCAL_PORT_SUMMARY 16

/* local_addresses: ARRAY; services name a range of it. Writer: daemon. */
struct xlvs_local_address {
	struct xlvs_addr address;
};

/*
 * local_ports: ARRAY by block; a block is one (local address, real server
 * address, port, protocol). Writer: packets (atomics). A summary bit is set when
 * its word of ports is full.
 */
struct xlvs_local_ports {
	__u32 used;
	__u32 cursor; /* where the next search begins: ports are reused as late as possible */
	__u64 exhausted;
	__u64 full[XLVS_LOCAL_PORT_SUMMARY];
	__u64 taken[XLVS_LOCAL_PORT_WORDS];
};

/* ---- connections ------------------------------------------------------- */

enum xlvs_connection_flags {
	XLVS_CONNECTION_LIVE = 1 << 8,       /* in the table */
	XLVS_CONNECTION_INACTIVE = 1 << 9,   /* counted in InActConn, else in ActiveConn */
	XLVS_CONNECTION_NO_OUTPUT = 1 << 10, /* no packet of the server's seen: IPVS's InOnly */
	XLVS_CONNECTION_REPLACED = 1 << 11,  /* a SYN reused its ports: only the sweep looks here */
};
#define XLVS_CONNECTION_STATE 0xffu

/*
 * connections: ARRAY by slot, mmapped by readers. Writer: packets and the sweep.
 * Two cache lines. word = state | flags, changed by compare-and-swap only, so
 * that exactly one CPU accounts for each transition.
 */
struct xlvs_connection {
	__u32 word;       /* state (8 bits) | enum xlvs_connection_flags */
	__u32 generation; /* of the slot; index entries with another one are stale */
	__u32 last_seen;  /* ms of CLOCK_MONOTONIC (coarse), modulo 2^32 */
	__u32 timeout;    /* ms */
	__u32 destination;
	__u32 service;
	__be16 client_port;
	__be16 virtual_port;
	__be16 destination_port;
	__be16 local_port; /* FULLNAT, else the client's */
	struct xlvs_addr client;
	struct xlvs_addr virtual_address;
	struct xlvs_addr server;
	struct xlvs_addr local; /* FULLNAT, else the client's */
	__u8 protocol;
	__u8 method; /* enum xlvs_method, fixed when the connection was made */
	__u8 family; /* of client and virtual address */
	__u8 server_family;
	__u32 port_block; /* FULLNAT: block of local_port */
	__u8 on_director; /* the real server is the director itself */
	__u8 pad[23];
};

/* connection_index: HASH, both directions. Writer: packets and the sweep. */
struct xlvs_tuple {
	struct xlvs_addr src;
	struct xlvs_addr dst;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 pad[3];
};
struct xlvs_slot {
	__u32 slot; /* bit 31: this is the server's direction */
	__u32 generation;
};
#define XLVS_SLOT_REPLY 0x80000000u

/* table: ARRAY of one. Writer: packets and the sweep. */
struct xlvs_table {
	__u32 used;       /* connections now */
	__u32 high_water; /* most connections at once */
	__u32 fresh;      /* slots ever handed out: the sweep looks no further */
	__u32 sweep_at;   /* next slot that the sweep looks at */
	__u64 created;
	__u64 expired;
	__u64 full;   /* connections refused because the table was full */
	__u64 sweeps; /* ticks of the sweep: if it stands still, nothing expires */
};

/* ---- settings and surroundings ----------------------------------------- */

/* settings: ARRAY of one. Writer: daemon. Names as in net.ipv4.vs.* */
struct xlvs_settings {
	__u32 services;           /* number of services; 0 switches the data path off, like IPVS */
	__u32 local_destinations; /* number of destinations on the director itself */
	__u32 conn_reuse_mode;
	__u32 expire_nodest_conn;
	__u32 sloppy_tcp;
	__u32 pmtu_disc;
	__u32 nat_icmp_send;
	__u32 pad;
	__u32 timeout[XLVS_STATE_MAX]; /* ms, by state */
};

/* interfaces: HASH by ifindex. Writer: daemon. */
struct xlvs_interface {
	struct xlvs_addr address4; /* source of ICMP errors of ours, all zero if none */
	struct xlvs_addr address6;
	__u32 carrier; /* ifindex of the device that carries the frames: itself, or a VLAN's parent */
	__u16 vlan;
	__u16 mtu;
	__u8 mac[6];
	__u8 pad[2];
};

/* events: RINGBUF. A reply's next hop that XDP could not resolve. */
struct xlvs_event {
	__u32 kind; /* 1: resolve neighbour */
	__u32 ifindex;
	struct xlvs_addr address;
};

#endif
