/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A SYN says who its client is. What is learnt later is of no use here: the host has a
 * connection with the local address by then.
 */
#ifndef XLVS_UNFULLNAT_LEARN_H
#define XLVS_UNFULLNAT_LEARN_H

#include "clientaddress/option.h"
#include "unfullnat/packet.h"

/* The kernel's numbers of TCP states (enum in linux/bpf.h). */
static __always_inline bool un_state_is_live(__u32 state)
{
	return state != BPF_TCP_LISTEN && state != BPF_TCP_TIME_WAIT && state != BPF_TCP_CLOSE;
}

/* Has the host a connection between these, other than one that waits for its end? */
static __always_inline bool un_is_live(struct __sk_buff *skb, const struct un_flow *flow, bool v4)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	bool live;

	if (v4) {
		tuple.ipv4.saddr = flow->peer.word[3];
		tuple.ipv4.daddr = flow->host.word[3];
		tuple.ipv4.sport = flow->peer_port;
		tuple.ipv4.dport = flow->host_port;
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &flow->peer, sizeof(flow->peer));
		__builtin_memcpy(tuple.ipv6.daddr, &flow->host, sizeof(flow->host));
		tuple.ipv6.sport = flow->peer_port;
		tuple.ipv6.dport = flow->host_port;
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return false;
	live = un_state_is_live(sk->state);
	bpf_sk_release(sk);
	return live;
}

/* Who the SYN is of; false: it does not say. */
static __always_inline bool un_told(struct __sk_buff *skb, const struct un_packet *p, __u32 kind,
				    struct un_end *client)
{
	struct client_scan scan = { .kind = kind };
	struct client_address said;
	__u32 length;

	if (bpf_skb_load_bytes(skb, p->l4, scan.header, sizeof(struct tcphdr)))
		return false;
	/* 0 to 40 behind the fixed header, in a way that kernel 6.1's verifier follows. */
	length = (scan.header[12] >> 4) * 4 - sizeof(struct tcphdr);
	opaque(length);
	if (length > CLIENT_HEADER_MAX - sizeof(struct tcphdr) ||
	    bpf_skb_load_bytes(skb, p->l4, scan.header, length + sizeof(struct tcphdr)))
		return false;
	client_option_scan(&scan);
	if (!scan.found) {
		un_count(UN_WITHOUT);
		return false;
	}
	if (!client_option_read(&scan, p->v4, &said)) {
		un_count(UN_MALFORMED);
		return false;
	}
	client->address = said.address;
	client->port = said.port;
	client->pad = 0;
	return true;
}

static __always_inline bool un_same(const struct un_end *a, const struct un_end *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

/* Remembers both ways; false: it cannot be. */
static __always_inline bool un_remember(struct __sk_buff *skb, const struct un_packet *p,
					const struct un_end *client)
{
	struct un_flow out = { .peer = client->address,
			       .host = p->flow.host,
			       .peer_port = client->port,
			       .host_port = p->flow.host_port };
	struct un_end local = { .address = p->flow.peer, .port = p->flow.peer_port };
	struct un_end *known = bpf_map_lookup_elem(&un_ways_back, &out);

	/* One connection by two virtual addresses, or by two directors: the host could not tell
	 * them apart. The later one is shown with the local address. */
	if (known && !un_same(known, &local) && un_is_live(skb, &out, p->v4)) {
		un_count(UN_COLLISION);
		return false;
	}
	if (bpf_map_update_elem(&un_ways_back, &out, &local, BPF_ANY) ||
	    bpf_map_update_elem(&un_clients, &p->flow, client, BPF_ANY)) {
		un_count(UN_NO_MEMORY);
		bpf_map_delete_elem(&un_ways_back, &out);
		return false;
	}
	return true;
}

static __noinline int un_syn_of_director(struct __sk_buff *skb, struct un_packet *p, __u32 kind)
{
	struct un_end *before = bpf_map_lookup_elem(&un_clients, &p->flow);
	struct un_end client;
	bool told = un_told(skb, p, kind, &client);

	if (before && !(told && un_same(before, &client))) {
		/* The director has given its local port to somebody else. */
		struct un_flow old = { .peer = before->address,
				       .host = p->flow.host,
				       .peer_port = before->port,
				       .host_port = p->flow.host_port };

		bpf_map_delete_elem(&un_ways_back, &old);
		bpf_map_delete_elem(&un_clients, &p->flow);
		before = NULL;
	}
	if (told && un_remember(skb, p, &client) && !before)
		un_count(UN_SHOWN);
	return 0;
}

/* A client that comes by itself, and may have come by a director before. */
static __noinline int un_syn_of_client(struct __sk_buff *skb, struct un_packet *p)
{
	if (bpf_map_lookup_elem(&un_ways_back, &p->flow) && !un_is_live(skb, &p->flow, p->v4))
		bpf_map_delete_elem(&un_ways_back, &p->flow);
	return 0;
}

#endif
