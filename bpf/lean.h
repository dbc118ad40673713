/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lean way: what nearly all packets are. IPv4 without options in a plain
 * Ethernet frame, TCP or UDP, of an established connection that lives in its first line,
 * or the first of a new one, and whatever is not ours. It decides and counts as the
 * pipeline does, in one pass over 54 bytes and without struct packet; whenever something
 * is not plain it has changed nothing, and the packet goes the pipeline's way.
 */
#ifndef XLVS_LEAN_H
#define XLVS_LEAN_H

#include "forward/tun.h"
#include "forward/way_back.h"
#include "stages/6_account.h"
#include "table.h"

/* Below any hook's verdict, of which TC_ACT_UNSPEC is -1. */
#define LEAN_NOT (-2) /* not plain: the pipeline's */
/* Plain; what follows needs struct packet, by lean_describe(): */
#define LEAN_NEW (-3)       /* surely of no connection: open one */
#define LEAN_STATELESS (-4) /* for an address that has a stateless service */

/* The headers, one behind the other. (In a packed struct each byte would be a load.) */
#define LEAN_BYTES (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define lean_ip(eth) ((struct iphdr *)((eth) + 1))
#define lean_tcp(eth) ((struct tcphdr *)(lean_ip(eth) + 1))
#define lean_udp(eth) ((struct udphdr *)(lean_ip(eth) + 1))
#define lean_ports(eth) ((struct port_pair *)(lean_ip(eth) + 1))

/* What a plain established connection's word has among these, and nothing else. */
#define LEAN_WORD                                                                                 \
	(XLVS_CONNECTION_STATE | WORD_PROTOCOL | XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED | \
	 XLVS_CONNECTION_HALF_OPEN | XLVS_CONNECTION_ON_DIRECTOR | XLVS_CONNECTION_ANSWER |       \
	 XLVS_CONNECTION_SPECIAL)

enum lean_found {
	LEAN_ABSENT, /* no connection */
	LEAN_FOUND,
	LEAN_ODD, /* one that is not plain, or perhaps one */
};

struct lean {
	__u32 word; /* in: what LEAN_WORD must be; out: the connection's */
	__u32 now;
	__u32 destination;
	__u32 extra;
	__be32 vip; /* out, of an answer */
	__be16 vport;
	__u16 length; /* IP bytes */
	struct packet_wire wire;
};

/* The headers' length. */
static __always_inline __u32 lean_headers(const struct ethhdr *h)
{
	return sizeof(struct iphdr) + (lean_ip(h)->protocol == IPPROTO_TCP ?
					       lean_tcp(h)->doff * 4 :
					       (__u32)sizeof(struct udphdr));
}

/* A plain TCP or UDP header? Fills l->word and l->length. */
static __always_inline bool lean_plain(hook_ctx *ctx, struct ethhdr *h, struct lean *l)
{
	if (!hook_plain(ctx, h) || *(__u8 *)lean_ip(h) != 0x45 ||
	    lean_ip(h)->frag_off & bpf_htons(IPV4_FRAGMENT_MASK) || lean_ip(h)->ttl <= 1)
		return false;
	l->length = bpf_ntohs(lean_ip(h)->tot_len);
	if (ETH_HLEN + l->length > hook_frame_length(ctx) || checksum_of_ipv4_header(lean_ip(h)))
		return false;
	if (lean_ip(h)->protocol == IPPROTO_TCP) {
		__u8 flags = ((__u8 *)lean_tcp(h))[13];

		flags &= TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK;
		if ((flags != TCP_ACK && flags != TCP_SYN) || lean_tcp(h)->doff < 5 ||
		    lean_headers(h) > l->length)
			return false;
		/* No connection is live and only claimed: to a SYN all are odd. */
		l->word = XLVS_CONNECTION_LIVE |
			  XLVS_PROTOCOL_TCP << XLVS_CONNECTION_PROTOCOL_SHIFT |
			  (flags == TCP_SYN ? XLVS_CONNECTION_CLAIMED : XLVS_STATE_ESTABLISHED);
		return true;
	}
	if (lean_ip(h)->protocol != IPPROTO_UDP ||
	    bpf_ntohs(lean_udp(h)->len) < sizeof(struct udphdr) || lean_headers(h) > l->length)
		return false;
	l->word = XLVS_CONNECTION_LIVE | XLVS_STATE_UDP |
		  XLVS_PROTOCOL_UDP << XLVS_CONNECTION_PROTOCOL_SHIFT;
	return true;
}

/* Is this the packet's connection? Copies it, as entry_copy() does, and restarts its timer. */
static __always_inline enum lean_found lean_entry(struct xlvs_entry4 *e, struct ethhdr *h,
						  struct lean *l, bool answer, __u32 timeout,
						  __u32 hz)
{
	__u32 word = READ_ONCE(e->entry.word), expires, ends = l->now + timeout;

	if ((word ^ l->word) & (WORD_PROTOCOL | XLVS_CONNECTION_LIVE))
		return LEAN_ABSENT;
	if (answer) {
		if (READ_ONCE(e->src) != lean_ip(h)->daddr ||
		    READ_ONCE(e->sport) != lean_ports(h)->dest || word & XLVS_CONNECTION_SHADOWED ||
		    word_method(word) != XLVS_METHOD_NAT)
			return LEAN_ABSENT;
		if (word & XLVS_CONNECTION_NO_OUTPUT)
			return LEAN_ODD; /* the first answer assures the template */
	} else if (READ_ONCE(e->src) != lean_ip(h)->saddr ||
		   READ_ONCE(e->sport) != lean_ports(h)->source ||
		   READ_ONCE(e->dst) != lean_ip(h)->daddr ||
		   READ_ONCE(e->dport) != lean_ports(h)->dest) {
		return LEAN_ABSENT;
	}
	if ((word & LEAN_WORD) != l->word)
		return LEAN_ODD;
	expires = READ_ONCE(e->entry.expires);
	l->destination = READ_ONCE(e->entry.destination);
	l->extra = READ_ONCE(*(const __u32 *)&e->entry.block);
	l->vip = READ_ONCE(e->dst);
	l->vport = READ_ONCE(e->dport);
	/* A time-out that shrinks has to tell the sweep: the pipeline does. */
	if (!word_same(word, READ_ONCE(e->entry.word)) || clock_over(l->now, expires) ||
	    (__s32)(ends - expires) < -(__s32)(hz / 8))
		return LEAN_ODD;
	l->word = word;
	if (expires - ends > hz / 8)
		WRITE_ONCE(e->entry.expires, ends + hz / 8);
	return LEAN_FOUND;
}

static __always_inline enum lean_found lean_find(struct ethhdr *h, struct lean *l, bool answer,
						 const struct xlvs_settings *s)
{
	__be32 client = answer ? lean_ip(h)->daddr : lean_ip(h)->saddr;
	__be16 port = answer ? lean_ports(h)->dest : lean_ports(h)->source;
	struct xlvs_geometry *g = geometry_get();
	struct xlvs_line4 *line;
	enum lean_found found;
	__u32 timeout;

	if (!g)
		return LEAN_ODD;
	timeout = s->timeout[lean_ip(h)->protocol == IPPROTO_TCP ? XLVS_STATE_ESTABLISHED :
								   XLVS_STATE_UDP];
	line = line4_get(place_index(place_mix(g, (__u64)client << 16 | port), g->lines4));
	if (!line)
		return LEAN_ODD;
	found = lean_entry(&line->way[0], h, l, answer, timeout, g->hz);
	if (found == LEAN_ABSENT)
		found = lean_entry(&line->way[1], h, l, answer, timeout, g->hz);
	return found == LEAN_ABSENT && READ_ONCE(line->passed) ? LEAN_ODD : found;
}

/* The packet's counters, all of them or none. */
static __always_inline void lean_account(const struct lean *l, const struct xlvs_destination *d,
					 bool answer, bool opened, __u32 reason)
{
	__u32 service = d->service, destination = l->destination;
	struct xlvs_stats *a = bpf_map_lookup_elem(&service_stats, &service);
	struct xlvs_stats *b = bpf_map_lookup_elem(&destination_stats, &destination);
	struct xlvs_reason_stats *r = bpf_map_lookup_elem(&reasons, &reason);

	if (!a || !b || !r)
		return;
	if (answer) {
		a->out_packets += l->wire.packets;
		a->out_bytes += l->wire.bytes;
		b->out_packets += l->wire.packets;
		b->out_bytes += l->wire.bytes;
	} else {
		a->in_packets += l->wire.packets;
		a->in_bytes += l->wire.bytes;
		b->in_packets += l->wire.packets;
		b->in_bytes += l->wire.bytes;
	}
	if (opened) {
		a->connections++;
		b->connections++;
	}
	r->packets += l->wire.packets;
	r->bytes += l->wire.bytes;
}

/*
 * Gives the transport checksum the differences that the packet is about to make. Returns
 * the headers, which TC's helpers move, or null and nothing was changed.
 */
static __always_inline struct ethhdr *lean_sum(hook_ctx *ctx, struct ethhdr *h, sum_t addresses,
					       sum_t ports)
{
	bool udp = lean_ip(h)->protocol == IPPROTO_UDP;

#ifdef HOOK_XDP
	(void)ctx;
	if (udp) {
		lean_udp(h)->check = checksum_update(lean_udp(h)->check, addresses + ports);
		if (!lean_udp(h)->check)
			lean_udp(h)->check = 0xffff; /* RFC 768: zero would mean "none" */
	} else {
		lean_tcp(h)->check = checksum_update(lean_tcp(h)->check, addresses + ports);
	}
#else
	if (hook_checksum_update(ctx,
				 ETH_HLEN + sizeof(struct iphdr) +
					 (udp ? offsetof(struct udphdr, check) :
						offsetof(struct tcphdr, check)),
				 addresses, ports, udp))
		return NULL;
	h = hook_data(ctx);
	if ((void *)h + LEAN_BYTES > hook_data_end(ctx))
		return NULL;
#endif
	return h;
}

/* Gives the packet other addresses and ports, and one hop less. Returns as lean_sum(). */
static __always_inline struct ethhdr *lean_rewrite(hook_ctx *ctx, struct ethhdr *h, __be32 src,
						   __be32 dst, __be16 source, __be16 dest)
{
	sum_t addresses = sum_replace32(sum_replace32(0, lean_ip(h)->saddr, src), lean_ip(h)->daddr,
					dst);
	sum_t ports = sum_replace16(sum_replace16(0, lean_ports(h)->source, source),
				    lean_ports(h)->dest, dest);

	h = lean_sum(ctx, h, addresses, ports);
	if (!h)
		return NULL;
	lean_ip(h)->check = checksum_update(lean_ip(h)->check,
					    sum_replace16(addresses, bpf_htons(0x0100), 0));
	lean_ip(h)->ttl--;
	lean_ip(h)->saddr = src;
	lean_ip(h)->daddr = dst;
	lean_ports(h)->source = source;
	lean_ports(h)->dest = dest;
	return h;
}

static __always_inline void lean_hop(struct ethhdr *h)
{
	lean_ip(h)->check = checksum_update(lean_ip(h)->check,
					    sum_replace16(0, bpf_htons(0x0100), 0));
	lean_ip(h)->ttl--;
}

static __always_inline int lean_send(struct ethhdr *eth, const struct xlvs_next_hop *nh)
{
	__builtin_memcpy(eth->h_dest, nh->dst_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, nh->src_mac, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	return hook_send(nh->ifindex);
}

/* What is between a tunnel's headers, without a checksum. */
static __always_inline int lean_shim(hook_ctx *ctx, const struct lean *l,
				     const struct xlvs_destination *d, __u32 flow)
{
	__u32 at = ETH_HLEN + sizeof(struct tun_header4);

	if (d->tunnel_type == XLVS_TUNNEL_GUE) {
		struct tun_gue gue = tun_gue(d, AF_INET, l->length, flow);

		return hook_put(ctx, at, &gue);
	} else {
		struct tun_gre gre = tun_gre(AF_INET, false);

		return hook_put(ctx, at, &gre);
	}
}

/*
 * Puts the packet into a tunnel: its new headers, or null and nothing was changed.
 * `between`: bytes between the IP headers, without a checksum.
 */
static __always_inline struct ethhdr *lean_tunnel(hook_ctx *ctx, struct ethhdr *h,
						  const struct lean *l,
						  const struct xlvs_destination *d,
						  const struct xlvs_settings *s, __u32 between)
{
	bool df = s->pmtu_disc && lean_ip(h)->frag_off & bpf_htons(IPV4_DF);
	__be32 source = d->tunnel_source.word[3];
	enum hook_room kind = HOOK_ROOM_TUNNEL_V4;
	struct tun_header4 outer;
	struct ethhdr *inner;
	__u32 flow = 0;

	if (unlikely(s->spread4 | between)) {
		flow = tun_flow4(lean_ip(h)->saddr, lean_ip(h)->daddr, lean_ports(h)->source,
				 lean_ports(h)->dest);
		if (s->spread4 && d->tunnel_type != XLVS_TUNNEL_GUE)
			source = tun_spread(s->spread_source4.word[3], s->spread4, flow);
	}
	outer = tun_header4(
		d, source, lean_ip(h)->tos, l->length + between,
		tun_ttl_protocol(lean_ip(h)->ttl - 1, tun_protocol(d->tunnel_type, AF_INET)), df);
	if (unlikely(between))
		kind |= d->tunnel_type == XLVS_TUNNEL_GUE ? HOOK_ROOM_UDP : HOOK_ROOM_GRE;
	if (hook_make_room(ctx, sizeof(outer) + between, kind) ||
	    (unlikely(between) && lean_shim(ctx, l, d, flow)))
		return NULL;
	h = hook_data(ctx);
	opaque(between); /* or the compiler adds what becomes a huge number on its way */
	inner = (void *)h + sizeof(outer) + (between & 15);
	if ((void *)(lean_ip(h) + 2) > hook_data_end(ctx) ||
	    (void *)(lean_ip(inner) + 1) > hook_data_end(ctx))
		return NULL; /* cannot be */
	lean_hop(inner);
	/* TC: skb->csum covers it, and a header with its checksum adds nothing. */
	*(struct tun_header4 *)lean_ip(h) = outer;
	return h;
}

/*
 * A client's packet of the connection in l: counted and sent, or nothing. The reasons are
 * in the order of the methods: both are the ABI's.
 */
static __always_inline int lean_leave(hook_ctx *ctx, struct ethhdr *h, struct lean *l,
				      const struct xlvs_settings *s, bool opened)
{
	struct xlvs_destination *d = destination_get(l->destination);
	enum xlvs_method method = word_method(l->word);
	struct xlvs_port_block *block = NULL;
	struct xlvs_destination_load *load;
	__u32 between = 0, room = 0, index;

	if (!d || l->word & XLVS_CONNECTION_ON_DIRECTOR ||
	    (d->flags & (XLVS_DESTINATION_AVAILABLE | XLVS_DESTINATION_RESOLVED)) !=
		    (XLVS_DESTINATION_AVAILABLE | XLVS_DESTINATION_RESOLVED) ||
	    d->next_hop.vlan)
		return LEAN_NOT;
	if (method == XLVS_METHOD_TUN) {
		load = table_load(l->destination);
		if (d->family != AF_INET || tun_has_checksum(d) || !load || load->path_mtu)
			return LEAN_NOT;
		between = tun_shim_length(d->tunnel_type, false);
		room = sizeof(struct iphdr) + between;
	} else if (method != XLVS_METHOD_DR && lean_ip(h)->protocol == IPPROTO_UDP &&
		   !lean_udp(h)->check) {
		return LEAN_NOT;
	}
	if (l->wire.segment + room > d->next_hop.mtu)
		return LEAN_NOT;
	if (method == XLVS_METHOD_FULLNAT) {
		index = extra_block(l->extra);
		block = bpf_map_lookup_elem(&port_blocks, &index);
		if (!block)
			return LEAN_NOT;
	}
	if (method == XLVS_METHOD_TUN) {
		/* Twice, for what is known of the usual one. */
		h = likely(!between) ? lean_tunnel(ctx, h, l, d, s, 0) :
				       lean_tunnel(ctx, h, l, d, s, between);
		if (!h)
			return LEAN_NOT;
		lean_account(l, d, false, opened, XLVS_REASON_FWD_TUN);
		return lean_send(h, &d->next_hop);
	}
	if (method == XLVS_METHOD_DR)
		lean_hop(h);
	else if (block)
		h = lean_rewrite(ctx, h, block->local.word[3], d->address.word[3],
				 extra_port(l->extra), destination_port(d, lean_ports(h)->dest));
	else
		h = lean_rewrite(ctx, h, lean_ip(h)->saddr, d->address.word[3],
				 lean_ports(h)->source, destination_port(d, lean_ports(h)->dest));
	if (!h)
		return LEAN_NOT;
	lean_account(l, d, false, opened, XLVS_REASON_FWD_NAT + method);
	return lean_send(h, &d->next_hop);
}

/* From a client. */
static __always_inline int lean_in(hook_ctx *ctx, struct ethhdr *h, struct lean *l,
				   const struct xlvs_settings *s)
{
	switch (lean_find(h, l, false, s)) {
	case LEAN_FOUND:
		return lean_leave(ctx, h, l, s, false);
	case LEAN_ABSENT:
		return LEAN_NEW;
	default:
		return LEAN_NOT;
	}
}

/* From a NAT server. */
static __always_inline int lean_out(hook_ctx *ctx, struct ethhdr *h, struct lean *l,
				    const struct xlvs_settings *s)
{
	struct xlvs_next_hop_row *row;
	struct xlvs_destination *d;

	if ((lean_ip(h)->protocol == IPPROTO_UDP && !lean_udp(h)->check) ||
	    lean_find(h, l, true, s) != LEAN_FOUND)
		return LEAN_NOT;
	d = destination_get(l->destination);
	if (!d || !(d->flags & XLVS_DESTINATION_AVAILABLE) ||
	    d->address.word[3] != lean_ip(h)->saddr || !address_is_v4(&d->address) ||
	    destination_port(d, l->vport) != lean_ports(h)->source)
		return LEAN_NOT;
	row = way_back_known(l->extra, lean_ip(h)->daddr, l->now);
	if (!row || l->wire.segment > row->next_hop.mtu || row->next_hop.vlan)
		return LEAN_NOT;
	h = lean_rewrite(ctx, h, l->vip, lean_ip(h)->daddr, l->vport, lean_ports(h)->dest);
	if (!h)
		return LEAN_NOT;
	lean_account(l, d, true, false, XLVS_REASON_FWD_REPLY);
	return lean_send(h, &row->next_hop);
}

/* What parse() would say of a packet that is LEAN_NEW or LEAN_STATELESS. */
static __always_inline void lean_describe(hook_ctx *ctx, struct packet *p,
					  const struct xlvs_settings *s, __u8 roles)
{
	struct ethhdr *h = hook_data(ctx);

	if ((void *)h + LEAN_BYTES > hook_data_end(ctx))
		return;
	p->now = clock_ticks();
	p->pmtu_disc = s->pmtu_disc;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + sizeof(struct iphdr);
	p->family = AF_INET;
	p->length = bpf_ntohs(lean_ip(h)->tot_len);
	p->wire = hook_measure(ctx, p->length, lean_headers(h));
	p->protocol = p->tuple.protocol = lean_ip(h)->protocol;
	p->ttl = lean_ip(h)->ttl;
	p->tos = lean_ip(h)->tos;
	p->dont_fragment = !!(lean_ip(h)->frag_off & bpf_htons(IPV4_DF));
	p->roles = roles;
	address_from_v4(&p->tuple.src, lean_ip(h)->saddr);
	address_from_v4(&p->tuple.dst, lean_ip(h)->daddr);
	p->tuple.sport = lean_ports(h)->source;
	p->tuple.dport = lean_ports(h)->dest;
	if (p->protocol == IPPROTO_TCP)
		p->tcp_flags = ((__u8 *)lean_tcp(h))[13];
	else
		p->udp_checksum_absent = !lean_udp(h)->check;
}

/*
 * The packet that opened p->c, or that needs no connection: counted and sent like those
 * that have one. The hook's verdict, or LEAN_NOT and nothing was done.
 */
subprogram int lean_forward(hook_ctx *ctx, struct packet *p, const struct xlvs_settings *s)
{
	struct ethhdr *h = hook_data(ctx);
	struct lean l;

	if (!p || !s || (void *)h + LEAN_BYTES > hook_data_end(ctx))
		return LEAN_NOT;
	l.word = p->c.word;
	l.destination = p->c.destination;
	l.extra = p->c.extra;
	l.length = p->length;
	l.wire = p->wire;
	return lean_leave(ctx, h, &l, s, p->opened);
}

/* The hook's verdict, or LEAN_*. */
subprogram int lean(hook_ctx *ctx, const struct xlvs_settings *s)
{
	struct ethhdr *h = hook_data(ctx);
	struct xlvs_reason_stats *r;
	__u32 reason = XLVS_REASON_PASS_NO_SERVICE;
	struct lean l = {};
	__u8 roles;

	if (!s || !s->services || (void *)h + LEAN_BYTES > hook_data_end(ctx) ||
	    !lean_plain(ctx, h, &l))
		return LEAN_NOT;
	l.wire = hook_measure(ctx, l.length, lean_headers(h));
	roles = table_roles(address_slot_v4(lean_ip(h)->saddr), address_slot_v4(lean_ip(h)->daddr));
	l.now = clock_ticks();
	switch (roles) {
	case 0:
		break;
	case XLVS_ADDRESS_VIRTUAL:
		return lean_in(ctx, h, &l, s);
	case XLVS_ADDRESS_SERVER:
		return lean_out(ctx, h, &l, s);
	case XLVS_ADDRESS_VIRTUAL | XLVS_ADDRESS_STATELESS:
		return LEAN_STATELESS;
	default:
		return LEAN_NOT; /* of several roles: a server's packet to a VIP may be an answer */
	}
	r = bpf_map_lookup_elem(&reasons, &reason);
	if (!r)
		return LEAN_NOT;
	r->packets++;
	r->bytes += l.length;
	return HOOK_VERDICT_PASS;
}

#endif
