// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The packet generator and the sink of the end-to-end benchmarks.
 *
 * The generator runs as a test run with live frames: each frame that it makes leaves
 * by a device. Frames come back to it with whatever the path wrote into them, so it
 * writes all bytes every time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME 60 /* bytes; with the checksum that a card would add 64 */
#define SOURCE_AT 26
#define PORT_AT 34
#define IP_CHECK_AT 24
#define TCP_CHECK_AT 50
#define UDP_CHECK_AT 40
#define PORT_BITS 14
#define PORT_FIRST 1024
#define SINK_PORT 9

struct e2e_case {
	__u32 mask;    /* number of flows - 1, a power of two less one */
	__u32 address; /* of flow 0's client, host order */
	__u32 ip_sum;  /* one's complement sum of the IPv4 header without the client's address */
	__u32 l4_sum;  /* of pseudo header and segment without address and port */
	__u32 tcp;     /* 1: TCP; 0: UDP */
	__u32 ifindex; /* where frames leave */
	__u8 frame[FRAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct e2e_case);
} e2e_case SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} e2e_count SEC(".maps");

static __always_inline __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int e2e_generate(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, flow;
	struct e2e_case *c = bpf_map_lookup_elem(&e2e_case, &zero);
	__be32 address;
	__be16 port;
	__u16 check;

	if (!c || frame + FRAME > end)
		return XDP_ABORTED;
	__builtin_memcpy(frame, c->frame, FRAME);
	flow = bpf_get_prandom_u32() & c->mask;
	address = bpf_htonl(c->address + (flow >> PORT_BITS));
	port = bpf_htons(PORT_FIRST + (flow & ((1 << PORT_BITS) - 1)));
	*(__be32 *)(frame + SOURCE_AT) = address;
	*(__be16 *)(frame + PORT_AT) = port;
	*(__u16 *)(frame + IP_CHECK_AT) = folded((__u64)c->ip_sum + address);
	check = folded((__u64)c->l4_sum + address + port);
	if (c->tcp)
		*(__u16 *)(frame + TCP_CHECK_AT) = check;
	else
		*(__u16 *)(frame + UDP_CHECK_AT) = check ?: 0xffff; /* RFC 768: 0 is "none" */
	return bpf_redirect(c->ifindex, 0);
}

/* The least that a director at XDP does: new MACs, and on by the device of the case. */
SEC("xdp")
int e2e_forward(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	struct e2e_case *c = bpf_map_lookup_elem(&e2e_case, &zero);

	if (!c || frame + FRAME > end)
		return XDP_ABORTED;
	__builtin_memcpy(frame, c->frame, 2 * ETH_ALEN);
	return bpf_redirect(c->ifindex, 0);
}

/* Counts and drops what the generator has sent, also in a tunnel; passes the rest. */
SEC("xdp")
int e2e_sink(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 zero = 0;
	__u64 *count;

	if ((void *)(udp + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_IPIP &&
	    (ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(SINK_PORT)))
		return XDP_PASS;
	count = bpf_map_lookup_elem(&e2e_count, &zero);
	if (count)
		++*count;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
