/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The real server's end of FULLNAT: programs that ask accept() or getpeername() for the other
 * end of a TCP connection hear of the client, not of the director's local address. Nothing
 * else of the host changes: packets, routes, netfilter and ss know the local address.
 *
 * Three programs on a cgroup, which act on the sockets of all processes below it:
 *  - xlvs_client_learn remembers with the socket who the client is;
 *  - xlvs_client_peer4 and xlvs_client_peer6 tell it. accept() asks by the same way.
 *
 * The socket is locked from its birth until the first of them has run, and accept() waits for
 * the lock: no program can ask too early.
 */
#include "clientaddress/learn.h"

SEC("sockops")
int xlvs_client_learn(struct bpf_sock_ops *ops)
{
	int on = 1, was = 0;

	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		/* Who keeps SYNs already, also with the link header (2), goes on as it is. */
		bpf_getsockopt(ops, SOL_TCP, TCP_SAVE_SYN, &was, sizeof(was));
		if (!was)
			bpf_setsockopt(ops, SOL_TCP, TCP_SAVE_SYN, &on, sizeof(on));
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		client_established(ops);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		client_unknown_option(ops);
		break;
	}
	/* ops->reply stays as it is: it may be another program's answer. */
	return 1;
}

static __always_inline const struct client_address *client_of_socket(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&client_of, sk, 0, 0) : NULL;
}

SEC("cgroup/getpeername4")
int xlvs_client_peer4(struct bpf_sock_addr *ctx)
{
	const struct client_address *client = client_of_socket(ctx);

	if (client) {
		ctx->user_ip4 = client->address.word[3];
		ctx->user_port = client->port;
	}
	return 1;
}

/* Also IPv4's connections of a listener of both families: they have the mapped form here. */
SEC("cgroup/getpeername6")
int xlvs_client_peer6(struct bpf_sock_addr *ctx)
{
	const struct client_address *client = client_of_socket(ctx);

	if (client) {
		ctx->user_ip6[0] = client->address.word[0];
		ctx->user_ip6[1] = client->address.word[1];
		ctx->user_ip6[2] = client->address.word[2];
		ctx->user_ip6[3] = client->address.word[3];
		ctx->user_port = client->port;
	}
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
