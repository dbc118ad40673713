/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who the client of a new connection is. In the order of time: the SYN, if the kernel kept it
 * (not with SYN cookies, nor if the listener is older than we are); the packet that completes
 * the handshake; packets after that, where the option did not fit into those two.
 */
#ifndef XLVS_CLIENTADDRESS_LEARN_H
#define XLVS_CLIENTADDRESS_LEARN_H

#include <bpf/bpf_core_read.h>

#include "clientaddress/maps.h"
#include "lib/address.h"

/* <netinet/tcp.h> is not for a BPF target. */
#define SOL_TCP 6

/* The kernel's own; only whether it has MPTCP is asked. */
struct mptcp_sock {
} __attribute__((preserve_access_index));

/* The packet's TCP header: the kernel shows it, and nothing behind it. */
static __always_inline void client_header_of_packet(struct bpf_sock_ops *ops,
						    struct client_scan *scan)
{
	void *data = (void *)(long)ops->skb_data, *end = (void *)(long)ops->skb_data_end;

#pragma unroll
	for (__u32 at = 0; at < CLIENT_HEADER_MAX; at += sizeof(__u32)) {
		if (data + at + sizeof(__u32) > end)
			break;
		*(__u32 *)&scan->header[at] = *(__u32 *)(data + at);
	}
}

/* The connection's other end as packets have it; true if it is of IPv4. */
static __always_inline bool client_peer(struct bpf_sock_ops *ops, struct xlvs_addr *peer)
{
	if (ops->family == AF_INET) {
		address_from_v4(peer, ops->remote_ip4);
		return true;
	}
	peer->word[0] = ops->remote_ip6[0];
	peer->word[1] = ops->remote_ip6[1];
	peer->word[2] = ops->remote_ip6[2];
	peer->word[3] = ops->remote_ip6[3];
	return address_is_v4(peer);
}

static __always_inline bool client_remember(struct bpf_sock_ops *ops, struct client_address *client)
{
	struct bpf_sock *sk = ops->sk;
	void *mptcp;

	if (!sk || !bpf_sk_storage_get(&client_of, sk, client, BPF_SK_STORAGE_GET_F_CREATE))
		return false;
	/* What accept() gives of an MPTCP connection is another socket. A value that is there
	 * already, of the first subflow, stays. */
	if (bpf_core_type_exists(struct mptcp_sock)) {
		mptcp = bpf_skc_to_mptcp_sock(sk);
		if (mptcp)
			bpf_sk_storage_get(&client_of, mptcp, client, BPF_SK_STORAGE_GET_F_CREATE);
	}
	return true;
}

/* `by`: the counter of connections that are learnt from this header. */
static __always_inline void client_take(struct bpf_sock_ops *ops, const struct client_scan *scan,
					bool v4, __u32 by)
{
	struct client_address client;

	if (scan->found > 1)
		client_count(CLIENT_SECOND);
	if (!client_option_read(scan, v4, &client))
		client_count(CLIENT_MALFORMED);
	else
		client_count(client_remember(ops, &client) ? by : CLIENT_NO_MEMORY);
}

static __always_inline __u8 client_kind_now(void)
{
	__u32 zero = 0, *kind = bpf_map_lookup_elem(&client_kind, &zero);

	return kind ? *kind : 0;
}

static __always_inline void client_established(struct bpf_sock_ops *ops)
{
	struct client_prefix peer = { .length = 128 };
	struct client_scan scan = { .kind = client_kind_now() };
	bool v4 = client_peer(ops, &peer.address);
	__u32 by = CLIENT_BY_SYN;

	if (bpf_getsockopt(ops, SOL_TCP, TCP_BPF_SYN, scan.header, CLIENT_HEADER_MAX) > 0)
		client_option_scan(&scan);
	if (!scan.found) {
		by = CLIENT_BY_ACK;
		client_header_of_packet(ops, &scan);
		client_option_scan(&scan);
	}
	if (!bpf_map_lookup_elem(&client_believed, &peer)) {
		if (scan.found)
			client_count(CLIENT_NOT_BELIEVED);
		return;
	}
	if (scan.found) {
		client_take(ops, &scan, v4, by);
		return;
	}
	client_count(CLIENT_WITHOUT);
	/* Other programs may want the flag, too: it is never taken back. It costs only packets
	 * that have an option which the kernel does not know. */
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags |
					       BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG);
}

static __always_inline void client_unknown_option(struct bpf_sock_ops *ops)
{
	struct client_prefix peer = { .length = 128 };
	struct client_scan scan = { .kind = client_kind_now() };
	bool v4 = client_peer(ops, &peer.address);
	struct bpf_sock *sk = ops->sk;

	if (!sk || bpf_sk_storage_get(&client_of, sk, 0, 0) ||
	    !bpf_map_lookup_elem(&client_believed, &peer))
		return;
	client_header_of_packet(ops, &scan);
	client_option_scan(&scan);
	if (scan.found)
		client_take(ops, &scan, v4, CLIENT_LATER);
}

#endif
