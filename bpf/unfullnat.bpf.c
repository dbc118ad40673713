/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * FULLNAT taken back at the real server: its whole kernel sees the client, with firewall, logs
 * and ss. Two programs of clsact on the interface that the directors' packets come in by:
 *  - xlvs_unfullnat_in: the director's local address becomes the client's, which the SYN told
 *    by its option; the packet gets a mark;
 *  - xlvs_unfullnat_out: answers to clients go to the director's local address again.
 *
 * The mark makes the kernel send answers by this interface, whatever its way to clients is: it
 * gives it to connections (tcp_fwmark_accept) and answers (fwmark_reflect), a rule leads to a
 * table of routes, and there to a neighbour that nobody is. Who the director's neighbour is is
 * asked for each packet here, so one director that is gone does not matter to the others.
 */
#include <linux/pkt_cls.h>

#include "unfullnat/learn.h"

#define TCP_FLAG_SYN_ONLY 0x02
#define TCP_FLAGS_SYN_ACK 0x12

static __always_inline const struct un_settings *un_settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&un_settings, &zero);
}

/*
 * The option has done its work; programs that are told clients by it (clientaddress.bpf.c)
 * would not believe it from a client. The director's is in front of all others.
 */
static __always_inline int un_blank_option(struct __sk_buff *skb, const struct un_packet *p,
					   __u32 kind)
{
	const __u32 at = p->l4 + sizeof(struct tcphdr);
	const __u32 length = p->v4 ? CLIENT_OPTION_V4 : CLIENT_OPTION_V6;
	__u32 was[CLIENT_OPTION_V6 / 4] = {}, is[CLIENT_OPTION_V6 / 4];
	__u8 first[2], offset;
	sum_t diff = 0;

	if (bpf_skb_load_bytes(skb, p->l4 + 12, &offset, sizeof(offset)) ||
	    (offset >> 4) * 4 < sizeof(struct tcphdr) + length ||
	    bpf_skb_load_bytes(skb, at, first, sizeof(first)) || first[0] != kind ||
	    first[1] != length)
		return 0;
	__builtin_memset(is, TCP_OPTION_NOP, sizeof(is));
	if (p->v4 ? bpf_skb_load_bytes(skb, at, was, CLIENT_OPTION_V4) :
		    bpf_skb_load_bytes(skb, at, was, CLIENT_OPTION_V6))
		return -1;
#pragma unroll
	for (__u32 i = 0; i < CLIENT_OPTION_V6 / 4; i++)
		if (i < length / 4)
			diff = sum_replace32(diff, was[i], is[i]);
	if (un_checksum(skb, p->l4 + offsetof(struct tcphdr, check), 0, diff))
		return -1;
	return p->v4 ? bpf_skb_store_bytes(skb, at, is, CLIENT_OPTION_V4, 0) :
		       bpf_skb_store_bytes(skb, at, is, CLIENT_OPTION_V6, 0);
}

/* UNSPEC in every case but a drop: other people's filters run after this one. */
SEC("tc")
int xlvs_unfullnat_in(struct __sk_buff *skb)
{
	const struct un_settings *settings = un_settings_get();
	struct un_packet p = {};
	struct un_end *client;

	if (!settings)
		return TC_ACT_UNSPEC;
	switch (un_classify(skb, &p, true)) {
	case UN_TCP:
		break;
	case UN_ERROR:
		client = bpf_map_lookup_elem(&un_clients, &p.flow);
		if (client && un_rewrite_quoted(skb, &p, client))
			return TC_ACT_SHOT;
		return TC_ACT_UNSPEC;
	case UN_FRAGMENT:
		if (un_is_believed(&p.flow.peer))
			un_count(UN_FRAGMENTS);
		return TC_ACT_UNSPEC;
	default:
		return TC_ACT_UNSPEC;
	}
	if (unlikely((p.flags & TCP_FLAGS_SYN_ACK) == TCP_FLAG_SYN_ONLY)) {
		if (!un_is_believed(&p.flow.peer)) {
			un_syn_of_client(skb, &p);
			return TC_ACT_UNSPEC;
		}
		un_syn_of_director(skb, &p, settings->kind);
	}
	client = bpf_map_lookup_elem(&un_clients, &p.flow);
	if (!client)
		return TC_ACT_UNSPEC;
	if (un_blank_option(skb, &p, settings->kind) || un_rewrite_tcp(skb, &p, client))
		return TC_ACT_SHOT;
	skb->mark = settings->mark;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int xlvs_unfullnat_out(struct __sk_buff *skb)
{
	const struct un_settings *settings = un_settings_get();
	struct un_packet p = {};
	struct un_end *local;
	int kind, failed;

	if (!settings)
		return TC_ACT_UNSPEC;
	kind = un_classify(skb, &p, false);
	if (kind != UN_TCP && kind != UN_ERROR)
		return TC_ACT_UNSPEC;
	local = bpf_map_lookup_elem(&un_ways_back, &p.flow);
	if (!local) {
		if (skb->mark != settings->mark)
			return TC_ACT_UNSPEC;
		/* It is on its way to the neighbour that nobody is. */
		un_count(UN_LOST);
		return TC_ACT_SHOT;
	}
	failed = kind == UN_TCP ?
			 un_rewrite_tcp(skb, &p, local) :
			 un_rewrite_quoted(skb, &p, local) || un_readdress_error(skb, &p, local);
	if (failed)
		return TC_ACT_SHOT;
	/* The way to the director is the host's own, not that of the rule. */
	if (skb->mark == settings->mark)
		skb->mark = 0;
	return bpf_redirect_neigh(skb->ifindex, NULL, 0, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
