/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the stages know about a packet. Offsets, never pointers: pointers die
 * when the frame grows, offsets are re-based by whoever grows it.
 */
#ifndef XLVS_PACKET_H
#define XLVS_PACKET_H

#include "connection.h"
#include "lib/address.h"

/* Headers are read within this many bytes; what reaches further is passed. */
#define PACKET_HEADERS_MAX 256

#define TCP_OPTIONS_MAX 40 /* a data offset of 15 words, less the fixed header */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* The first four bytes of TCP and UDP. */
struct port_pair {
	__be16 source, dest;
};

/* RFC 9260 3.1. */
struct sctp_header {
	__be16 source, dest;
	__be32 tag;
	__le32 checksum;
};

/* What a packet's first chunk does to a connection (RFC 9260 3.2); DATA stands for all others. */
enum sctp_chunk {
	CHUNK_DATA,
	CHUNK_INIT,
	CHUNK_INIT_ACK,
	CHUNK_ABORT,
	CHUNK_SHUTDOWN,
	CHUNK_SHUTDOWN_ACK,
	CHUNK_ERROR,
	CHUNK_COOKIE_ECHO,
	CHUNK_COOKIE_ACK,
	CHUNK_SHUTDOWN_COMPLETE,
	CHUNK_MAX, /* the packet has none */
};

#define IPV4_FRAGMENT_MASK 0x3fff   /* MF and the offset */
#define IPV4_FRAGMENT_OFFSET 0x1fff /* in units of eight bytes */
#define IPV4_DF 0x4000

enum packet_fragment {
	FRAGMENT_NOT,
	FRAGMENT_FIRST,
	FRAGMENT_LATER, /* without a transport header: the tuple is its first one's */
};

/* What a frame is on the wire: the packets that a GSO frame stands for. */
struct packet_wire {
	__u32 packets;
	__u32 bytes;   /* IP bytes of all of them */
	__u32 segment; /* IP bytes of the largest */
};

struct packet {
	/* parse: as seen on the wire. For an ICMP error the tuple is the quoted
	 * packet's, reversed: the key under which its connection is known. */
	struct xlvs_tuple tuple;
	/* what a translated packet becomes; known from the look-up of an answer on */
	struct xlvs_tuple to;
	struct connection c;
	/* forward: where it goes */
	struct xlvs_next_hop next_hop;
	struct xlvs_addr neighbour;
	/* lib/tcp_options.h; a byte more than there are, for the length of the last kind */
	__u8 options[TCP_OPTIONS_MAX + 4];
	__u8 options_seen[TCP_OPTIONS_MAX];
	struct xlvs_client client; /* admission: if `admitted` */
	struct xlvs_stream stream; /* proved: of the connection that is to be opened */
	__u32 young_since; /* table_open: half-open connections that began later are young */

	/* What is above is written before it is read; from here on it begins as 0. */
	__u32 length;    /* IP bytes, from the IP header on, as its length field says */
	__u16 l3;        /* offset of the IP header */
	__u16 l4;        /* offset of the transport header */
	__u16 quoted_l3; /* ICMP error: offset of the quoted IP header */
	__u16 quoted_l4;
	__u8 family;   /* AF_INET or AF_INET6 */
	__u8 protocol; /* of the packet itself, unlike tuple.protocol */
	__u8 ttl;
	__u8 tos;
	__u8 tcp_flags;     /* SCTP: SYN for an INIT, RST for what opens nothing ever */
	__u8 sctp_chunk;    /* enum sctp_chunk */
	__u8 fragment;      /* enum packet_fragment */
	__u8 icmp_type;     /* 0 unless it is an ICMP error */
	__u8 tags;          /* 802.1Q tags inside the frame (XDP) */
	__u8 dont_fragment; /* IPv4 DF; always 1 for IPv6 */
	__u8 udp_checksum_absent;
	__u8 roles; /* enum xlvs_address_role: dst's, and whether src may be a server */
	/* pipeline */
	__u8 pmtu_disc;     /* net.ipv4.vs.pmtu_disc */
	__u8 reply;         /* 1: from the server */
	__u8 opened;        /* 1: this packet opened its connection */
	__u8 stateless;     /* 1: sent by a stateless service's slot, without a connection */
	__u8 one_packet;    /* 1: the connection is for this packet only, and in no table */
	__u8 listed;        /* 1: the service's lists let its client come */
	__u8 admitted;      /* enum xlvs_counts: where its connection is counted already */
	__u8 proved;        /* 1: its client has acknowledged a SYN cookie */
	__u8 refused;       /* 1: it has become the reset that tells its client, to be sent */
	__u8 templated;     /* 1: packet_template() is the template that its server comes from */
	__u8 from_director; /* 1: seen on the way out, sent by a server on the director itself */
	__u8 unresolved;    /* forward: family of `neighbour`, whose MAC is to be resolved, or 0 */
	struct packet_wire wire; /* parse */
	__u32 fragment_id;
	__u32 special; /* flags of the service that opens, as SERVICE_SPECIAL keeps them */
	/* pipeline: read once per packet */
	__u32 now; /* tick, lib/clock.h */
	__u32 hz;  /* ticks per second; from table_find() on */
};

/*
 * One packet at a time is on a CPU: its description is not on the stack, of which the
 * kernel gives 512 bytes to all functions together. (XDP and TC ingress run to their end
 * in softirq, TC egress with softirqs off; a test run's packet may be overtaken by a live
 * one, which finds the same map but begins by clearing it: only the test suffers.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, struct packet);
} packets SEC(".maps");

static __always_inline struct packet *packet_begin(void)
{
	__u32 zero = 0;
	struct packet *p = bpf_map_lookup_elem(&packets, &zero);

	if (p)
		__builtin_memset(&p->length, 0, sizeof(*p) - offsetof(struct packet, length));
	return p;
}

/* The template of the packet, as if a packet had opened it (persistence.h). */
static __always_inline struct packet *packet_template(void)
{
	__u32 one = 1;

	return bpf_map_lookup_elem(&packets, &one);
}

/* For what the daemon asks of connections: no packet takes its place. */
static __always_inline struct packet *packet_asked(void)
{
	__u32 two = 2;

	return bpf_map_lookup_elem(&packets, &two);
}

/*
 * A bounds-checked view of `type` at offset `off` of the frame, or null. The
 * offset is masked by comparison because the verifier forgets the range of a
 * value that was stored in the packet struct.
 */
#define view(ctx, off, type)                                         \
	({                                                           \
		__u32 off_ = (off);                                  \
		void *at_ = NULL;                                    \
		opaque(off_);                                        \
		if (off_ <= PACKET_HEADERS_MAX) {                    \
			at_ = hook_data(ctx) + off_;                 \
			if (at_ + sizeof(type) > hook_data_end(ctx)) \
				at_ = NULL;                          \
		}                                                    \
		(type *)at_;                                         \
	})

#endif
