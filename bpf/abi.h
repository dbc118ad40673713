/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys, values and enums that the data plane shares with user space. This is
 * the only definition: Python reads it from the BTF of the loaded object
 * (src/xlvs/datapath/layout.py), so it cannot drift.
 *
 * Rules of this file
 *  - One address form: 16 bytes, IPv4 as ::ffff:a.b.c.d; only what a packet looks up
 *    by an IPv4 address has four. Network byte order is spelled __be16/__be32;
 *    everything else is host order.
 *  - Times are ticks: the kernel's jiffies modulo 2^32, compared by difference only.
 *    Reading them costs a fifteenth of the clock (xlvs_geometry has their rate).
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
	XLVS_SCHED_MH = 5,
	XLVS_SCHED_SED = 6,
	XLVS_SCHED_NQ = 7,
	XLVS_SCHED_FO = 8,
	XLVS_SCHED_OVF = 9,
	XLVS_SCHED_SH = 10,
	XLVS_SCHED_DH = 11,
	XLVS_SCHED_LBLC = 12,
	XLVS_SCHED_LBLCR = 13,
	XLVS_SCHED_TWOS = 14,
};

/*
 * The protocols that have connections: three bits of a connection's word. AH and ESP
 * follow the UDP connection of their key exchange. A template's has TEMPLATE added, so
 * no packet finds it; IP is for templates of marks, which serve all protocols.
 */
enum xlvs_protocol {
	XLVS_PROTOCOL_TCP = 0,
	XLVS_PROTOCOL_UDP = 1,
	XLVS_PROTOCOL_SCTP = 2,
	XLVS_PROTOCOL_IP = 3,
	XLVS_PROTOCOL_TEMPLATE = 4,
};

/*
 * IPVS's states under IPVS's names and in its order (ip_vs.h, IP_VS_TCP_S_* and
 * IP_VS_SCTP_S_*). ABANDONED: a template that no packet finds any more. From RESET on: TCP
 * that an operator has closed; neither end knows it yet, the client was told, the server was.
 */
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
	XLVS_STATE_SCTP_INIT1 = 12,
	XLVS_STATE_SCTP_INIT = 13,
	XLVS_STATE_SCTP_COOKIE_SENT = 14,
	XLVS_STATE_SCTP_COOKIE_REPLIED = 15,
	XLVS_STATE_SCTP_COOKIE_WAIT = 16,
	XLVS_STATE_SCTP_COOKIE = 17,
	XLVS_STATE_SCTP_COOKIE_ECHOED = 18,
	XLVS_STATE_SCTP_ESTABLISHED = 19,
	XLVS_STATE_SCTP_SHUTDOWN_SENT = 20,
	XLVS_STATE_SCTP_SHUTDOWN_RECEIVED = 21,
	XLVS_STATE_SCTP_SHUTDOWN_ACK_SENT = 22,
	XLVS_STATE_SCTP_REJECTED = 23,
	XLVS_STATE_SCTP_CLOSED = 24,
	XLVS_STATE_ABANDONED = 25,
	XLVS_STATE_RESET = 26,
	XLVS_STATE_RESET_CLIENT = 27,
	XLVS_STATE_RESET_SERVER = 28,
	XLVS_STATE_MAX = 29,
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
	XLVS_REASON_REPLY_TOO_BIG,       /* fragmentation needed / packet too big */
	XLVS_REASON_REPLY_TUNNEL_ERROR,  /* ICMP about a tunnel packet, made one for the client */
	XLVS_REASON_REPLY_NO_CONNECTION, /* nat_icmp_send: the server's packet has no connection */
	XLVS_REASON_REPLY_RESET, /* RST: an operator closed it; profile modern: its server is gone */
	XLVS_REASON_REPLY_SYN_COOKIE, /* SYN proxy: a SYN, answered for the servers */

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
	XLVS_REASON_PASS_CACHE_BYPASS, /* no usable server: on to where it is addressed */
	XLVS_REASON_PASS_LOCAL_CLIENT, /* XDP: answer to a client on the director: TC delivers it */
	XLVS_REASON_PASS_TOO_BIG,      /* reply above the client side's MTU: the stack answers */
	XLVS_REASON_PASS_SYN_ACK,      /* XDP, SYN proxy: a server's: TC makes two packets of it */

	XLVS_REASON_DROP_DESTINATION_REMOVED,
	XLVS_REASON_DROP_TABLE_FULL,
	XLVS_REASON_DROP_LOCAL_PORTS, /* no free local address and port for FULLNAT */
	XLVS_REASON_DROP_NO_NEXT_HOP, /* neighbour or route to real server or client unresolved */
	XLVS_REASON_DROP_TOO_BIG,   /* for the next hop, and DF is clear: would need fragmenting */
	XLVS_REASON_DROP_HEADROOM,  /* the kernel refused to grow or shrink the frame */
	XLVS_REASON_DROP_CONTENDED, /* scheduler state kept changing under us */
	XLVS_REASON_DROP_INTERNAL,  /* cannot happen; a bug if it counts */
	XLVS_REASON_DROP_ICMP_NOT_FORWARDED, /* its TTL, or no server: no error about an error */
	XLVS_REASON_DROP_ICMP_CHECKSUM,      /* about a connection of ours, and damaged */
	XLVS_REASON_DROP_LOADED,             /* drop_packet: memory is short */
	XLVS_REASON_DROP_NO_CALL_ID,         /* pe sip: a datagram without a Call-ID */
	XLVS_REASON_DROP_NO_CONNECTION,      /* nat_icmp_send: a RST that nobody waits for */
	XLVS_REASON_DROP_ANSWER_RATE,        /* an ICMP error too many in this second */
	XLVS_REASON_DROP_SYN_DATA, /* in a SYN, where the PROXY protocol's header is to be first */
	XLVS_REASON_DROP_SYN_COOKIE, /* SYN proxy: no handshake's packet, and no connection's */
	/* A new connection refused by what its service says of clients (admission.h); in the
	 * order of struct xlvs_refusals. */
	XLVS_REASON_DROP_DENIED,
	XLVS_REASON_DROP_NOT_ALLOWED,
	XLVS_REASON_DROP_CLIENT_CONNECTIONS,
	XLVS_REASON_DROP_CLIENT_RATE,
	XLVS_REASON_DROP_SERVICE_CONNECTIONS,
	XLVS_REASON_DROP_SERVICE_RATE,

	XLVS_REASON_MAX,
};

/*
 * What is done to segments besides sending them on, and what could not be done: not reasons, for
 * such a packet has its own. Named everywhere as reasons are.
 */
enum xlvs_stream_event {
	XLVS_STREAM_EVENT_TOA = 0,     /* TOA was put in */
	XLVS_STREAM_EVENT_TOA_NO_ROOM, /* not: a header has no room for so many options */
	XLVS_STREAM_EVENT_TOA_MTU,     /* not: the packet would be too big for the way */
	XLVS_STREAM_EVENT_TOA_GSO,     /* not: a frame of many segments */
	XLVS_STREAM_EVENT_TOA_REFUSED, /* not: the kernel did not make the frame longer */
	XLVS_STREAM_EVENT_TOA_FORGED,  /* the client had sent one: it was taken out */
	XLVS_STREAM_EVENT_TOA_MPTCP,   /* put in where an offer of Multipath TCP was */
	XLVS_STREAM_EVENT_PROXY,       /* the PROXY protocol's header was put in front */
	XLVS_STREAM_EVENT_PROXY_GSO,   /* not: a frame of many segments */

	XLVS_STREAM_EVENT_MAX,
};

/* ---- services ---------------------------------------------------------- */

struct xlvs_addr {
	__be32 word[4];
};

/* services_by_key4: HASH -> __u32 service id, IPv4 services. Writer: daemon. */
struct xlvs_service_key4 {
	__be32 address;
	__be16 port;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad;
};

/* services_by_key: HASH -> __u32 service id, all others. Writer: daemon. */
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
	__u32 hash_base;  /* mh, sh: number of the first slot in hash_slots */
	__u32 hash_size;  /* their number of slots; 0: no server, mh: none has a weight */
};

/*
 * hash_slots: ARRAY_OF_MAPS, of ARRAYs of XLVS_SLOT_PAGE slots each; slot n is in page
 * n / XLVS_SLOT_PAGE. A server list names a range within one page. Writer: daemon, before
 * the list that names it is committed. `previous` and `changed_at` are for stateless
 * services: packets of connections that are older than the change go on to where
 * they went before.
 */
#define XLVS_SLOT_PAGE 65536
struct xlvs_hash_slot {
	__u32 destination; /* id */
	__u32 previous;    /* id of the owner before, or XLVS_NO_DESTINATION */
	__u32 changed_at;  /* tick; only if there is a previous one */
	__u32 pad;
};
#define XLVS_NO_DESTINATION 0xffffffffu

enum xlvs_service_flags {
	XLVS_SERVICE_USED = 1 << 0,
	XLVS_SERVICE_ONE_PACKET = 1 << 1, /* UDP: each datagram is scheduled anew (ipvsadm -o) */
	XLVS_SERVICE_PERSISTENT = 1 << 2,
	XLVS_SERVICE_STATELESS = 1 << 3, /* mh by DR and TUN: the hash decides, no table is kept */
	/* mh-, sh-fallback: hash again if the server is unfit. */
	XLVS_SERVICE_HASH_FALLBACK = 1 << 4,
	XLVS_SERVICE_HASH_PORT = 1 << 5, /* mh-port, sh-port: the client's port counts too */
	XLVS_SERVICE_SIP = 1 << 6,       /* persistence by the SIP Call-ID (--pe sip) */
	XLVS_SERVICE_OWN_TIMEOUTS = 1 << 7,
	XLVS_SERVICE_STANDBY = 1 << 8, /* its address is another director's: no role tells it */
	/* FULLNAT: an option of TCP tells servers the client's address. */
	XLVS_SERVICE_TOA = 1 << 9,
	XLVS_SERVICE_SYN_PROXY = 1 << 11,   /* who proves itself to us is taken */
	XLVS_SERVICE_SYN_COOKIES = 1 << 12, /* and who does not, no more: SYNs are answered */
	/* NAT, FULLNAT: a header in front of the client's stream does, of one version. */
	XLVS_SERVICE_PROXY_V1 = 1 << 16,
	XLVS_SERVICE_PROXY_V2 = 1 << 17,
	XLVS_SERVICE_PROXY_MARK = 1 << 18, /* v2: with the service's mark */
	XLVS_SERVICE_PROXY_ID = 1 << 19,   /* v2: with a unique id of the connection */
	XLVS_SERVICE_ADMISSION = 1 << 24,  /* not every client, or not always: see admissions */
	XLVS_SERVICE_ADMISSION_OTHER = 1 << 25, /* which of its two admissions is in force */
};

/*
 * services: ARRAY by service id. Packets that remember the id find a USED record by its
 * key, without services_by_key. Writer: daemon, except the lists, which only the commit
 * program (control.bpf.c) changes together with the cursor.
 */
struct xlvs_service {
	__u32 flags;       /* enum xlvs_service_flags */
	__u32 scheduler;   /* enum xlvs_scheduler */
	__u32 persistence; /* ticks that a template lives; 0: not persistent */
	struct xlvs_service_key key;
	struct xlvs_addr mask; /* of a client's address in a template; IPv4: the last word */
	__u32 timeout_tcp;     /* OWN_TIMEOUTS: ticks of ESTABLISHED, 0: the settings' */
	__u32 timeout_tcp_fin;
	__u32 timeout_udp;
	/* SYN proxy: what clients are promised in the servers' name */
	__u16 syn_mss;
	__u8 syn_offers; /* enum xlvs_syn_offers */
	__u8 syn_scale;  /* of the window */
};

enum xlvs_syn_offers {
	XLVS_SYN_STAMPS = 1 << 0, /* time stamps; without them neither of the others */
	XLVS_SYN_SACK = 1 << 1,
	XLVS_SYN_SCALE = 1 << 2,
};

/*
 * What a real server's SYN-ACK says, in a word: the lower half is its MSS, 0 if it named none;
 * what follows a scale in bits. What it was not asked for it says nothing of.
 */
enum xlvs_syn_says {
	XLVS_SYN_SAYS_SCALE = 1 << 20, /* of windows: the bits from XLVS_SYN_SAYS_SCALE_SHIFT on */
	XLVS_SYN_SAYS_NO_STAMPS = 1 << 24,
	XLVS_SYN_SAYS_NO_SACK = 1 << 25,
	XLVS_SYN_SAYS_NO_SCALE = 1 << 26,
};
#define XLVS_SYN_SAYS_SCALE_SHIFT 16
#define XLVS_SYN_SAYS_SCALE_BITS (15 << XLVS_SYN_SAYS_SCALE_SHIFT)
#define XLVS_SYN_SAYS_NO (XLVS_SYN_SAYS_NO_STAMPS | XLVS_SYN_SAYS_NO_SACK | XLVS_SYN_SAYS_NO_SCALE)

/*
 * In the settings: the secrets, and the time. A slot is a number of time that directors with
 * the same secret have in common; the secrets change with its upper bits, and there are two,
 * so that the next one is there before it is used. `others`: made of another secret, whose
 * cookies are good as well: that of before, or one that other directors have already.
 */
#define XLVS_SYN_COOKIE_EPOCH 1024 /* slots */
struct xlvs_syn_cookies {
	__u64 offset; /* added to the kernel's 64-bit jiffies, modulo 2^64 */
	__u64 key[8]; /* two words each, by the lowest bit of the epoch; from 4 on: the others */
	__u32 slot_ticks;
	__u32 others; /* 1: there are */
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
	__u32 portless_until; /* as of destination_load, of any of the service's servers */
	__u32 pad;
};
#define XLVS_CURSOR_HEAD 0xffffu /* before the first server */

/* Input of the commit program: the new list of one service. */
struct xlvs_commit {
	__u32 service;
	__u32 scheduler;  /* enum xlvs_scheduler, the new one */
	__u32 reset;      /* 1: forget the cursor (new service or other scheduler) */
	__u32 generation; /* output: the new one */
	struct xlvs_server_list list;
	/* Old cursor i becomes remap[remap_base + i]: the map has service_destinations' indices. */
	__u32 remap_base;
	__u32 remap_count; /* number of servers of the old list */
};

/* ---- lblc and lblcr ---------------------------------------------------- */

/*
 * A server as what is remembered names it. An id may become somebody else's: `check` is
 * made of the server's address and port.
 */
struct xlvs_locality_server {
	__u32 destination; /* id */
	__u32 check;
};

/* localities: HASH, the servers of a virtual address. Writer: packets and the sweep. */
struct xlvs_locality_key {
	struct xlvs_addr address;
	__u32 service; /* id */
};

struct xlvs_locality {
	__u32 epoch;                       /* locality_tables'; of another one: forgotten */
	__u32 used_at;                     /* tick of the last new connection */
	__u32 changed_at;                  /* tick at which a server came to the set or left it */
	__u32 count;                       /* of servers, above 0; lblc: 1 */
	struct xlvs_locality_server first; /* that came before the others */
};

/* locality_more: HASH, lblcr: the other servers of a set. Writer: as of localities. */
struct xlvs_locality_more_key {
	struct xlvs_locality_key of;
	__u32 index; /* 1 up to, not including, count: in the order in which they came */
};

/* locality_tables: ARRAY by service id. Writer: packets, the commit program and the sweep. */
struct xlvs_locality_table {
	__u32 lock;    /* held by whoever changes localities of the service */
	__u32 epoch;   /* raised to forget all at once */
	__u32 entries; /* of this epoch */
	__u32 round;   /* of the sweep: for which `surplus` was counted */
	__u32 surplus; /* entries that the sweep shall still end in this round */
};

/* locality_rounds: ARRAY of one. Writer: the sweep, and packets the first field. */
struct xlvs_locality_rounds {
	__u32 used;   /* there may be entries */
	__u32 due;    /* tick of the next round, or of going on with this one; 0: not known yet */
	__u32 number; /* of the last round that is over */
	__u32 ended;  /* in this tick */
};

/* ---- destinations ------------------------------------------------------ */

enum xlvs_destination_flags {
	XLVS_DESTINATION_AVAILABLE = 1 << 0, /* in its service's list; clear: connections remain */
	XLVS_DESTINATION_LOCAL = 1 << 2,     /* the address is the director's own */
	XLVS_DESTINATION_RESOLVED = 1 << 3,  /* next_hop is valid */
	XLVS_DESTINATION_CLIENT_PORT = 1 << 4, /* connections keep the port that clients ask for */
	/* With CLIENT_PORT: but for port 21, which is the server's. */
	XLVS_DESTINATION_FTP = 1 << 5,
	XLVS_DESTINATION_COUNTED = 1 << 6, /* some of its connections may be in `counted` */
};

/* As in ip_vs.h: IP_VS_CONN_F_TUNNEL_TYPE_*. */
enum xlvs_tunnel {
	XLVS_TUNNEL_IPIP = 0,
	XLVS_TUNNEL_GUE = 1,
	XLVS_TUNNEL_GRE = 2,
};

enum xlvs_tunnel_flags {
	XLVS_TUNNEL_CHECKSUM = 1 << 0,        /* --tun-csum */
	XLVS_TUNNEL_REMOTE_CHECKSUM = 1 << 1, /* --tun-remcsum */
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
	__u32 service;  /* service id */
	__u32 port_row; /* FULLNAT: its place in port_rows; 0: none */
	__be16 port;
	__u8 method;           /* enum xlvs_method */
	__u8 family;           /* of address */
	__u32 route_ifindex;   /* device of the route, as the kernel names it (a VLAN device) */
	__u32 upper_threshold; /* connections, 0: none (ipvsadm -x) */
	__u32 lower_threshold; /* 0: three quarters of the upper one (ipvsadm -y) */
	__u32 overload_epoch;  /* raised by the daemon to clear an overload, see below */
	__be16 tunnel_port;    /* GUE: outer UDP port */
	__u8 tunnel_type;      /* enum xlvs_tunnel */
	__u8 tunnel_flags;     /* enum xlvs_tunnel_flags */
};

#define XLVS_PATH_MTU_MET (1u << 31) /* a packet was sent since it was learnt */

/* destination_load: ARRAY by destination id. Writer: packets (atomics). A cache line each. */
struct xlvs_destination_load {
	__u32 active;
	__u32 inactive;
	__u32 path_mtu;       /* learnt from ICMP about tunnel packets, 0: none; PATH_MTU_MET */
	__u32 path_mtu_until; /* tick */
	__u32 overloaded;     /* overload_epoch + 1 while overloaded, in that epoch; else 0 */
	__u32 persistent;     /* templates */
	__u32 portless_until; /* tick: overloaded, as no local port was free; 0: see portless() */
	__u32 syn_says;       /* its last answers to SYNs of ours: MSS and enum xlvs_syn_says */
	__u32 syn_refused_at; /* tick: it did not do what its client had been promised */
	__u32 pad[7];
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

/*
 * real_servers: HASH of xlvs_service_key (address, port, protocol, family of a NAT server)
 * -> __u32, its destination id. Writer: daemon. Asked when a server's packet has no
 * connection, with nat_icmp_send or where a service has --pe sip.
 */

/* load: ARRAY of one. Writer: packets. */
struct xlvs_load {
	__u32 offered; /* new connections while drop_rate was not 0 */
};

/* answers: PERCPU_ARRAY of one: how many ICMP errors may be sent now. Writer: packets. */
struct xlvs_answers {
	__u64 credit; /* ticks * answer_rate, see answer_rate.h */
	__u32 at;     /* tick of the last one */
	__u32 pad;
};

/* ---- FULLNAT's local addresses ----------------------------------------- */

#define XLVS_LOCAL_PORT_FIRST 1024
#define XLVS_LOCAL_PORT_WORDS 1008 /* 64 512 ports, 1024 .. 65535 */
#define XLVS_LOCAL_PORT_SUMMARY 16

/*
 * port_blocks: ARRAY by block: whose ports they are; all zero: nobody's. Writer: daemon.
 * A block is not somebody else's before its last connection has ended.
 */
struct xlvs_port_block {
	struct xlvs_addr local;
	struct xlvs_addr server;
	__be16 port;   /* the server's; 0: whichever its clients say */
	__u8 protocol; /* 0: a mark's */
	__u8 pad;
};

/*
 * port_rows: ARRAY of __u32. Writer: daemon. A row says which blocks a destination's new
 * connections may take ports of, one for each local address: their number, at the row's
 * place, and then the blocks. It does not change while a destination names it. At place 0
 * is the empty one.
 */

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

/* ---- who may open connections ------------------------------------------ */

/*
 * admissions: ARRAY by 2 * service id, of two of which the service's flags say which is in
 * force: a new one is written beside it, then the flags change. Writer: daemon.
 * A limit is 0 if there is none. Rates are per second; a burst is what may come at once.
 */
#define XLVS_ADMISSION_LISTS 8
struct xlvs_admission {
	__u64 list[XLVS_ADMISSION_LISTS]; /* sets of client_prefixes: those that deny first */
	__u32 denies;
	__u32 allows;
	struct xlvs_addr client; /* mask of an address: what counts as one client */
	__u32 client_connections;
	__u32 client_rate;
	__u32 client_burst;
	__u32 service_connections;
	__u32 service_rate;
	__u32 service_burst;
};

/*
 * client_prefixes: LPM_TRIE -> __u32, the prefix's length plus 1. The set's number is a hash
 * of what is in it: it is written whole before a service names it, and a list that changes
 * is another set. It is even; IPv6 prefixes have the one behind it. Writer: daemon.
 */
struct xlvs_client_prefix {
	__u32 prefixlen; /* XLVS_CLIENT_SET_BITS more than the address's own */
	__u32 set[2];    /* its number, the lower half first */
	struct xlvs_addr address;
};
#define XLVS_CLIENT_SET_BITS 64

/* client_sets: HASH by a set's number -> __u32, 1 when it is whole. Writer: daemon. */

/* A service's client, as its admission counts them. */
struct xlvs_client {
	__u32 service; /* id */
	struct xlvs_addr address;
};

/*
 * client_rates: LRU_HASH by xlvs_client, and admitted by service: a bucket of tokens, one for
 * each new connection. Tick of the last one (32 bits) | tokens then, in parts of 1 / hz
 * (32); 0: nobody came yet. Writer: packets.
 *
 * clients: HASH by xlvs_client -> __u32, connections that it has (counted.h). Writer: packets
 * and the sweep.
 */

/* admitted: ARRAY by service id. Writer: packets (atomics). */
struct xlvs_admitted {
	__u64 bucket;
	__u32 connections; /* those that are counted */
	__u32 pad;
};

/* New connections refused. */
struct xlvs_refusals {
	__u64 denied;
	__u64 not_allowed;
	__u64 client_connections;
	__u64 client_rate;
	__u64 service_connections;
	__u64 service_rate;
};

/* Of a service with SYN proxy. */
struct xlvs_syn_load {
	__u64 syns;     /* of no connection, or of one whose client is not known to be there */
	__u64 proved;   /* clients that have acknowledged our number, or a server's */
	__u64 answered; /* SYNs, with a cookie */
	/* Refused: */
	__u64 unknown; /* it acknowledges none of our cookies, */
	__u64 expired; /* or one that is too old */
	__u64 odd;     /* SYNs that no client sends */
};

/* arrivals: PERCPU_ARRAY by service id: who asks it for connections. Writer: packets. */
struct xlvs_arrivals {
	struct xlvs_refusals refused;
	struct xlvs_syn_load syn;
};

enum xlvs_counts {
	XLVS_COUNTS_CLIENT = 1 << 0,  /* in clients */
	XLVS_COUNTS_SERVICE = 1 << 1, /* in admitted */
};

/* counted: HASH by tenant: connections that a limit counts. Writer: packets and the sweep. */
struct xlvs_counted {
	struct xlvs_client client;
	__u32 counts; /* enum xlvs_counts */
};

/* ---- connections ------------------------------------------------------- */

/*
 * A connection's word: state (5 bits) | protocol (3) | flags and method (12) |
 * generation (12). It changes by compare-and-swap only, so exactly one CPU accounts
 * for each transition. The generation tells a place's tenants apart.
 */
enum xlvs_connection_flags {
	XLVS_CONNECTION_LIVE = 1 << 8,        /* in the table */
	XLVS_CONNECTION_CLAIMED = 1 << 9,     /* being written: nobody's yet */
	XLVS_CONNECTION_INACTIVE = 1 << 10,   /* counted in InActConn, else in ActiveConn */
	XLVS_CONNECTION_NO_OUTPUT = 1 << 11,  /* no packet of the server's seen: IPVS's InOnly */
	XLVS_CONNECTION_CONTROLLED = 1 << 12, /* a template counts it, see controlled */
	XLVS_CONNECTION_HALF_OPEN = 1 << 13,  /* the client has not proved itself: may be evicted */
	XLVS_CONNECTION_ON_DIRECTOR = 1 << 14, /* the real server is the director itself */
	XLVS_CONNECTION_ANSWER = 1 << 15,   /* not a connection: leads answers of FULLNAT to one */
	XLVS_CONNECTION_SHADOWED = 1 << 18, /* a newer one has the same packets from the server */
	XLVS_CONNECTION_SPECIAL = 1 << 19,  /* its service says more, see SERVICE_SPECIAL */
};
#define XLVS_CONNECTION_STATE 0x1fu
#define XLVS_CONNECTION_PROTOCOL_SHIFT 5
#define XLVS_CONNECTION_METHOD_SHIFT 16 /* enum xlvs_method, fixed when it was made */
#define XLVS_CONNECTION_GENERATION_SHIFT 20

/* What a place of the table says besides whose it is. */
struct xlvs_entry {
	__u32 word;
	__u32 expires;     /* tick; ANSWER: where the connection is, line * ways + way */
	__u32 destination; /* id */
	/* FULLNAT: block and port of the local address. NAT and ANSWER: the way to the
	 * client, a row of next_hops + 1, and when it was looked up (NEXT_HOP_AGE). */
	__u16 block;
	__be16 local_port;
};

/*
 * connections4, connections6: ARRAYs of lines, one cache line each, mmapped by
 * readers. Writer: packets and the sweep. A connection lives in its hash's line or
 * in one of the XLVS_CHAIN - 1 behind it. `passed` is how many live behind this line
 * although it, or one before it, is theirs: a look-up ends at a line with none.
 * src and dst are the client's packets'; of an ANSWER the server's.
 */
#define XLVS_CHAIN 32
#define XLVS_WAYS4 2
#define XLVS_WAYS6 1

struct xlvs_entry4 {
	struct xlvs_entry entry;
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
};

struct xlvs_line4 {
	__u32 lock; /* held by whoever opens a connection whose first line this is */
	__u32 passed;
	struct xlvs_entry4 way[XLVS_WAYS4];
};

struct xlvs_entry6 {
	struct xlvs_entry entry;
	struct xlvs_addr src;
	struct xlvs_addr dst;
	__be16 sport;
	__be16 dport;
};

struct xlvs_line6 {
	__u32 lock;
	__u32 passed;
	struct xlvs_entry6 way[XLVS_WAYS6];
	__u32 pad;
};

/*
 * A place and its tenant: what refers to an entry from outside of its line. A tenant
 * whose place has gone to another one is not found any more.
 */
struct xlvs_tenant {
	__u32 at;
	__u32 generation; /* the word's, in place; the lowest bit: IPv6 */
};

/*
 * templates: HASH by tenant, what a template (an entry of the table whose protocol has
 * XLVS_PROTOCOL_TEMPLATE; src is the masked client, sport 0) says besides. Writer:
 * packets and the sweep.
 */
struct xlvs_template {
	__u32 controlled; /* connections that live under it */
	__u32 timeout;    /* ticks */
	__u32 assured;    /* 1: one of them was established */
	__u32 pad;
	/* Hash of the Call-ID, 0 without. Its text is in call_ids, and 16 bits of it are the
	 * template's sport, for a client has one template for each Call-ID. */
	__u64 call_id;
};

/* controlled: HASH by tenant (a connection), value: its template, a tenant. */

/*
 * streams: HASH by tenant, what a TCP connection whose segments are changed on their way
 * says besides. Writer: packets and the sweep. Sequence numbers are in host order.
 */
struct xlvs_stream {
	__u32 client_isn; /* of the client's SYN */
	__u32 flags;      /* enum xlvs_service_flags, when it began; enum xlvs_stream_flags */
	__u32 toa;        /* segments that had TOA */
	__u32 next_isn;   /* of the last SYN, which counts when the server answers it */
	__u32 begun;      /* tick */
	__u32 header;     /* length of the PROXY protocol's; 0: nothing is shifted */
	/* SYN proxy */
	__u32 syn;            /* enum xlvs_stream_syn */
	__u32 cookie;         /* the number that the client was told for the server's */
	__u32 delta;          /* what is added to the server's numbers */
	__u32 stamp;          /* the client's time stamp, when it acknowledged */
	__u32 promised_stamp; /* ours */
	__u32 stamp_delta;    /* what is added to the server's */
	__u32 again;          /* AGAIN: the number of another SYN that came since */
	__u16 mss;            /* the client's, as far as the cookie tells it */
	__u16 window;         /* the client's, in its units */
	__u8 client_scale;    /* of windows, in bits; 0 without SCALE */
	__u8 promised_scale;
	__u8 server_scale;
	__u8 pad;
};

enum xlvs_stream_syn {
	XLVS_STREAM_SYN_PROXY = 1 << 16, /* the client was answered before there was a server */
	XLVS_STREAM_ANSWERED = 1 << 17,  /* the server's number is known */
	XLVS_STREAM_AGAIN = 1 << 18,
	XLVS_STREAM_STAMPS = 1 << 19, /* client: */
	XLVS_STREAM_SACK = 1 << 20,
	XLVS_STREAM_SCALE = 1 << 21,
	XLVS_STREAM_SERVER_STAMPS = 1 << 22, /* and server: */
	XLVS_STREAM_SERVER_SCALE = 1 << 23,
};

enum xlvs_stream_flags {
	XLVS_STREAM_FAR = 1u << 29,    /* numbers may be near the first ones again: they wrap */
	XLVS_STREAM_HEADED = 1u << 30, /* the server has acknowledged the PROXY protocol's header */
	/* The server has shown that it has the client's first segment. */
	XLVS_STREAM_MET = 1u << 31,
};

/* stream_counts: PERCPU_ARRAY of __u64 by enum xlvs_stream_event. Writer: packets. */

/* call_ids: HASH by tenant, of templates with a Call-ID; the listing's. */
#define XLVS_CALL_ID_MAX 255 /* IPVS's IP_VS_PEDATA_MAXLEN */
struct xlvs_call_id {
	__u32 length;
	__u8 text[XLVS_CALL_ID_MAX];
	__u8 pad[2];
};

/* What a packet is looked up by. */
struct xlvs_tuple {
	struct xlvs_addr src;
	struct xlvs_addr dst;
	__be16 sport;
	__be16 dport;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad[3];
};

/*
 * syn_pending: HASH by tenant (SYN proxy): a server was sent a SYN and has not answered yet.
 * The daemon sends it again, for a client that waits for its server says nothing. Writer:
 * packets, the daemon deletes too.
 */
struct xlvs_syn_pending {
	__u32 since;       /* tick */
	__u32 destination; /* id */
	__u8 toa_kind;     /* of the option that tells it the client; 0: without */
	__u8 pad;
	__be16 client_port;
	struct xlvs_addr client;
	struct xlvs_tuple to; /* as the server sees it */
};

/* fragments: LRU_HASH, what the first fragment of a packet was found to be. Writer: packets. */
struct xlvs_fragment_key {
	struct xlvs_addr src;
	struct xlvs_addr dst;
	__be32 id;
	__u8 family;
	__u8 protocol; /* IPPROTO_*; IPv6: 0 */
	__u8 pad[2];
};

struct xlvs_fragment {
	__u32 until; /* tick */
	__u32 word;  /* word, destination and extra: of a packet that is alone */
	__u32 destination;
	__u32 extra;
	__be16 sport;
	__be16 dport;
	__u8 protocol; /* IPPROTO_* */
	__u8 alone;    /* 1: of no connection (stateless, one-packet scheduling) */
	__u8 pad[2];
};

/* geometry: ARRAY of one. Writer: the loader, once, before the first packet. */
struct xlvs_geometry {
	__u64 secret[2]; /* random: nobody outside knows which connections share a line */
	__u32 lines4;    /* the map has XLVS_CHAIN - 1 more, so a chain never wraps */
	__u32 lines6;
	__u32 hz;            /* ticks per second */
	__u32 half_open_max; /* beyond it a new half-open connection takes an old one's place */
	__u32 connections;   /* that lines4 is rated for */
	__u32 pad;
};

/*
 * regions4, regions6: ARRAYs of __u32, a tick by which the sweep has to look at 64
 * lines, 0: never. Writer: packets lower it, the sweep raises it (table_region.h).
 */
#define XLVS_REGION_LINES 64

/* table_counts: PERCPU_ARRAY of one. Writer: packets and the sweep. Sums are exact. */
struct xlvs_table_counts {
	__u64 created;
	__u64 ended;
	__u64 half_opened;
	__u64 half_closed; /* proved, evicted or ended */
	__u64 evicted;     /* half-open ones that made room */
	__u64 full;        /* connections refused: no room among established ones */
	__u64 told;        /* to sync_events */
	__u64 untold;      /* that had no room: the daemon has to read the table */
};

/* table: ARRAY of one. Writer: the sweep. */
struct xlvs_table {
	__u32 used; /* connections at the last tick of the sweep */
	__u32 half_open;
	__u32 high_water; /* most connections at a tick */
	__u32 sweep_at;   /* next region that the sweep looks at, IPv4 then IPv6 */
	__u64 sweeps;     /* ticks of the sweep: if it stands still, nothing expires */
	__u64 rounds;     /* times that it has seen the whole table */
};

/* Output of the program xlvs_now. */
struct xlvs_now {
	__u64 ticks;
};

/* next_hops: ARRAY; ways to clients, as the FIB gave them. Rows are never changed. */
struct xlvs_next_hop_row {
	__u32 state; /* 0: free, 1: being written, 2: valid */
	struct xlvs_next_hop next_hop;
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
	__u32 sloppy_sctp;
	__u32 schedule_icmp;
	__u32 cache_bypass;
	__u32 expire_quiescent_template;
	__u32 snat_reroute;
	__u32 secure_tcp;      /* 1: the other state table is in force */
	__u32 drop_rate;       /* every so many'th new connection is dropped, 0: none */
	__u32 drop_entry;      /* 1: the sweep ends half-open connections at random */
	__u32 lblc_expiration; /* ticks */
	__u32 lblcr_expiration;
	__u32 zero_ports;    /* number of services with port 0 */
	__u32 ftp_services;  /* number of services with TCP port 21: their data connections */
	__u32 sip_services;  /* number of services with --pe sip: their servers may begin a call */
	__u32 marks;         /* number of services that are marks */
	__u32 mark_set;      /* number of the set of rules in force, see mark_to */
	__u32 mark_rules;    /* number of rules in it; 0 switches them off */
	__u32 reset;         /* profile modern: a removed server's connections are reset */
	__u32 reschedule;    /* profile modern: its datagrams go to another server */
	__u32 answer_rate;   /* ICMP errors per second and CPU, 0: no limit */
	__u32 spread4;       /* TUN: bits of the outer source that vary by flow, IPv4 */
	__u32 spread6;       /* the same, IPv6; of the last word */
	__u32 local_clients; /* 1: clients on the director itself, by the device lo */
	__u32 sync;          /* 1: changes of connections are told to the daemon */
	__u32 toa_kind;      /* kind of TOA's option */
	__u32 syn_proxies;   /* number of services with SYN proxy */
	struct xlvs_addr spread_source4; /* TUN: prefix of outer sources, if spread4 */
	struct xlvs_addr spread_source6;
	__u32 timeout[XLVS_STATE_MAX]; /* ticks, by state */
	struct xlvs_syn_cookies syn_cookies;
};

/*
 * Rules that give packets a mark, by recursive flow classification (Gupta and McKeown,
 * SIGCOMM 1999): three look-ups by the longest prefix give three classes, and the rules
 * that decide for a combination of classes were worked out before, so the cost does not
 * grow with the rules. Writer: daemon (datapath/marks.py computes them).
 *
 * A set of rules is written whole under a number that no packet looks for, then
 * settings.mark_set names it, then the old one is deleted. Numbers are not used again
 * soon: a packet that finds the same number before and after its look-ups has met one
 * set, and all of it.
 */

/*
 * mark_to, mark_from: LPM_TRIE -> __u32 class. A class of mark_to says what else matters
 * to its rules; class 0: no rule can match.
 */
enum xlvs_mark_matters {
	XLVS_MARK_SOURCE = 1u << 30,
	XLVS_MARK_PORTS = 1u << 29,
};

struct xlvs_mark_address {
	__u32 prefixlen; /* XLVS_MARK_SET_BITS more than the address's own */
	__u32 set;
	struct xlvs_addr address;
};
#define XLVS_MARK_SET_BITS 32

/* mark_ports: LPM_TRIE -> __u32 class; of a whole protocol its number. */
struct xlvs_mark_port {
	__u32 prefixlen; /* XLVS_MARK_SET_BITS: any protocol; from _PROTOCOL_BITS on: ports */
	__u32 set;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad;
	__be16 port; /* the destination's */
};
#define XLVS_MARK_PROTOCOL_BITS 48
#define XLVS_MARK_PORT_CLASSES 256 /* from here on classes of ports */

/*
 * mark_classes: HASH -> struct xlvs_mark. Class 0 of source or ports stands for all those
 * that make no difference to the rules of this class of to.
 */
struct xlvs_mark_classes {
	__u32 set;
	__u32 to;
	__u32 source;
	__u32 ports;
};

/* As iptables' --set-xmark: the new mark is (mark & keep) ^ value. */
struct xlvs_mark {
	__u32 keep;
	__u32 value;
};

/*
 * addresses: ARRAY of one. Writer: daemon. Which role may an address have? Indexed by
 * a hash (lib/address.h and addresses.py), so a packet between addresses without a
 * role, most of what is not ours, is let go after two loads. Too many bits cost time
 * only; one too few loses packets, so roles are added first and taken away last.
 */
enum xlvs_address_role {
	XLVS_ADDRESS_VIRTUAL = 1 << 0,   /* of a service, also one removed whose connections live */
	XLVS_ADDRESS_LOCAL = 1 << 1,     /* FULLNAT's */
	XLVS_ADDRESS_SERVER = 1 << 2,    /* a real server whose answers pass the director */
	XLVS_ADDRESS_STATELESS = 1 << 3, /* of a stateless service */
};
#define XLVS_ADDRESS_SLOTS 65536
struct xlvs_addresses {
	__u8 roles[XLVS_ADDRESS_SLOTS];
};

/* interfaces: HASH by ifindex. Writer: daemon. */
struct xlvs_interface {
	struct xlvs_addr address4; /* source of ICMP errors of ours, all zero if none */
	struct xlvs_addr address6;
	__u32 carrier; /* ifindex of the device that carries the frames: it, or a VLAN's parent */
	__u16 vlan;
	__u16 mtu;
	__u8 mac[6];
	__u8 pad[2];
};

/*
 * Connection sync. sync_events: RINGBUF of struct xlvs_tenant: a connection whose client
 * has proved itself has begun, or changed its state. The daemon reads the entry when it
 * comes to it, so many changes of one connection cost as much as the last.
 */

enum xlvs_synced_flags {
	XLVS_SYNCED_TEMPLATE = 1 << 0,
	XLVS_SYNCED_MARK = 1 << 1,      /* a template of a mark's: of any protocol */
	XLVS_SYNCED_ASSURED = 1 << 2,   /* a template whose server has answered */
	XLVS_SYNCED_NO_OUTPUT = 1 << 3, /* no answer was seen yet */
	XLVS_SYNCED_STREAM = 1 << 4,    /* its segments are changed on their way */
};

enum xlvs_synced_result {
	XLVS_SYNCED_OPENED = 0,
	XLVS_SYNCED_UPDATED,
	XLVS_SYNCED_FULL,      /* no room in the table */
	XLVS_SYNCED_CONTENDED, /* a line stayed locked */
	XLVS_SYNCED_PORT,      /* FULLNAT: the local port is another connection's */
	XLVS_SYNCED_UNKNOWN,   /* no such destination, or a state that there is not */
	XLVS_SYNCED_OLDER,     /* ours had a packet since, or has begun since */
};

#define XLVS_SYNCED_BATCH 256

/* synced: ARRAY. Another director's connections, for sync_take.h to put into the table. Writer:
 * daemon, and of `result` whoever takes it. */
struct xlvs_synced {
	struct xlvs_addr src; /* the client; of a template masked */
	struct xlvs_addr dst;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 family;
	__u16 pad;
	__u32 destination;
	__u32 state;            /* enum xlvs_state */
	__u32 flags;            /* enum xlvs_synced_flags */
	__u32 left;             /* ticks that it lives on without packets */
	__u32 idle;             /* ticks since its last packet */
	__u32 template_timeout; /* ticks */
	__u16 block;            /* FULLNAT */
	__be16 local_port;
	struct xlvs_stream stream; /* STREAM */
	__u32 result;              /* enum xlvs_synced_result */
};

/*
 * sync_batch, closing_batch: ARRAYs of one. Which of `synced`, of `closings`, are to be
 * worked on. Writer: daemon, but `done`.
 */
struct xlvs_batch {
	__u32 entries; /* its first ones */
	__u32 begun;   /* number of this batch */
	__u32 done;    /* of the last one that was worked on */
};

/* ---- closing ----------------------------------------------------------- */

enum xlvs_closing_result {
	XLVS_CLOSING_GONE = 0,  /* it had ended already */
	XLVS_CLOSING_ENDED,     /* it is not in the table any more */
	XLVS_CLOSING_RESET,     /* its ends will be told when they send something */
	XLVS_CLOSING_CONTENDED, /* packets kept changing its state */
};

#define XLVS_CLOSING_BATCH 1024

/* closings: ARRAY. Connections that an operator ends, for close.h. Writer: as of synced. */
struct xlvs_closing {
	struct xlvs_tenant tenant;
	__u32 reset;  /* 1: TCP's ends are told by resets; 0: it is forgotten at once */
	__u32 result; /* enum xlvs_closing_result */
};

/* events: RINGBUF. A reply's next hop that XDP could not resolve. */
struct xlvs_event {
	__u32 kind; /* 1: resolve neighbour */
	__u32 ifindex;
	struct xlvs_addr address;
};

#endif
