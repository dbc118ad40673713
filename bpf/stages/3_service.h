/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 3: is the packet for a virtual service, and does it open a connection? */
#ifndef XLVS_SERVICE_H
#define XLVS_SERVICE_H

#include "maps.h"
#include "packet.h"
#include "stages/marks.h"

/* The service of this port of the packet's destination. */
static __always_inline __u32 *service_by_key(const struct packet *p, __be16 port)
{
	union {
		struct xlvs_service_key4 v4;
		struct xlvs_service_key v6;
	} key;

	if (p->family == AF_INET) {
		key.v4 = (struct xlvs_service_key4){
			.address = p->tuple.dst.word[3],
			.port = port,
			.protocol = p->tuple.protocol,
		};
		return bpf_map_lookup_elem(&services_by_key4, &key.v4);
	}
	key.v6 = (struct xlvs_service_key){
		.address = p->tuple.dst,
		.port = port,
		.protocol = p->tuple.protocol,
		.family = p->family,
	};
	return bpf_map_lookup_elem(&services_by_key, &key.v6);
}

/* Is it the service that the packet is addressed to, and is there such a service now? */
static __always_inline bool service_is(const struct xlvs_service *s, const struct packet *p)
{
	const struct xlvs_service_key *key = &s->key;

	return READ_ONCE(s->flags) & XLVS_SERVICE_USED && !key->fwmark &&
	       key->port == p->tuple.dport && key->protocol == p->tuple.protocol &&
	       key->family == p->family && address_equal(&key->address, &p->tuple.dst);
}

/* The service of the packet's mark. */
static __noinline __u32 *service_by_mark(__u32 mark, __u8 family)
{
	struct xlvs_service_key key = { .fwmark = mark, .family = family };

	return mark ? bpf_map_lookup_elem(&services_by_key, &key) : NULL;
}

/*
 * Not the service's own port: an FTP service's data connections (active ones come from
 * port 20, but passive ones are asked for by the client), then a service of all ports.
 */
static __noinline __u32 *service_by_other_port(const struct packet *p,
					       const struct xlvs_settings *s)
{
	__u16 port = bpf_ntohs(p->tuple.dport);
	__u32 *found;

	if (s->ftp_services && p->tuple.protocol == IPPROTO_TCP &&
	    (port == FTP_DATA_PORT || port >= 1024)) {
		found = service_by_key(p, bpf_htons(FTP_PORT));
		if (found)
			return found;
	}
	return s->zero_ports ? service_by_key(p, 0) : NULL;
}

/*
 * The service that the packet's address and port name, and its id, or null. What it was when a
 * packet last asked is tried first: a look-up in a hash map costs six times as much. A
 * hint may be wrong, for the service itself says who it is.
 */
static __noinline struct xlvs_service *service_find_exact(const struct packet *p, __u32 *id)
{
	__u32 mixed = (p->tuple.dst.word[3] + p->tuple.dport + p->tuple.protocol) * 0x9e3779b1u;
	__u32 slot = mixed / (0x100000000 / XLVS_SERVICE_HINTS), *found;
	__u32 *hint = bpf_map_lookup_elem(&service_hints, &slot);
	struct xlvs_service *s;

	if (!hint)
		return NULL;
	*id = READ_ONCE(*hint);
	s = bpf_map_lookup_elem(&services, id);
	if (s && service_is(s, p))
		return s;
	found = service_by_key(p, p->tuple.dport);
	if (!found)
		return NULL;
	*id = *found;
	WRITE_ONCE(*hint, *id);
	return bpf_map_lookup_elem(&services, id);
}

/*
 * The service that a client's packet is for and its id, or null. As in IPVS a mark wins
 * over an address, and a port over all ports.
 */
static __always_inline struct xlvs_service *service_find(hook_ctx *ctx, const struct packet *p,
							 const struct xlvs_settings *s, __u32 *id)
{
	struct xlvs_service *service;
	__u32 *found;

	if (unlikely(s->marks)) {
		found = service_by_mark(mark_of(ctx, p, s), p->family);
		if (found) {
			*id = *found;
			return bpf_map_lookup_elem(&services, id);
		}
	}
	service = service_find_exact(p, id);
	if (likely(service))
		return service;
	if (!s->zero_ports && !s->ftp_services)
		return NULL;
	found = service_by_other_port(p, s);
	if (!found)
		return NULL;
	*id = *found;
	return bpf_map_lookup_elem(&services, id);
}

/*
 * Can the source be a client's? The stack drops loopback, multicast, broadcast and
 * "this network" sources (RFC 1812 5.3.7, RFC 4291 2.5.3 and 2.7) and its own VIP's
 * before IPVS sees them. Other addresses of the director are not known here. What comes
 * from lo was sent from here, mostly by the VIP to itself.
 */
static __always_inline bool service_source_possible(hook_ctx *ctx, const struct packet *p)
{
	const struct xlvs_addr *a = &p->tuple.src;
	__u32 v4 = bpf_ntohl(a->word[3]);

	if (unlikely(hook_ingress(ctx) == LOOPBACK_IFINDEX || p->icmp_type))
		return true; /* or it is not the source: an ICMP error's client is quoted */
	if (address_equal(a, &p->tuple.dst))
		return false;
	if (p->family == AF_INET)
		return v4 >> 24 != 0 && v4 >> 24 != 127 && v4 >> 28 != 0xe && v4 != 0xffffffff;
	if (bpf_ntohl(a->word[0]) >> 24 == 0xff)
		return false;
	return a->word[0] || a->word[1] || a->word[2] || v4 > 1;
}

/*
 * IPVS: TCP opens with a SYN that carries no RST; sloppy_tcp takes all but RST. SCTP opens
 * with an INIT; sloppy_sctp takes all but an ABORT.
 */
static __always_inline bool service_opens(const struct packet *p, const struct xlvs_settings *s)
{
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_SCTP)
		return true;
	if (p->tcp_flags & TCP_RST)
		return false;
	return p->tcp_flags & TCP_SYN ||
	       (p->protocol == IPPROTO_TCP ? s->sloppy_tcp : s->sloppy_sctp);
}

#endif
