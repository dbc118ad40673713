/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The benchmark's own programs: a wrapper that makes each repetition of a test run
 * a fresh packet of the next flow, and floors to compare with. A test run gives
 * every repetition the packet as the one before left it; so the wrapper takes off
 * what was put in front, writes all header bytes again and tail-calls the program
 * under test through a constant slot, which the JIT turns into a jump.
 */
#ifndef XLVS_BENCH_H
#define XLVS_BENCH_H

#ifndef HOOK_VERDICT_PASS
#error "include a hook adapter (hook_xdp.h or hook_tc.h) first"
#endif

#include "lib/siphash.h"

#define BENCH_FRAME 80 /* bytes of every frame, from the Ethernet header on, */
#define BENCH_SYN 74   /* but of Linux's SYN over IPv4, and its answer */

enum bench_kind {
	BENCH_TCP4,
	BENCH_UDP4,
	BENCH_TCP6,
	BENCH_REPLY4, /* TCP over IPv4, from the real server that has the flow */
	BENCH_PROOF4, /* TCP over IPv4: acknowledges the cookie that the flow's SYN would get */
};

/* What the wrapper makes; the bench writes it before each run. */
struct bench_case {
	__u64 count;   /* packets so far: the next one's flow is made of it */
	__u32 mask;    /* number of flows - 1, a power of two less one */
	__u32 half;    /* half the bits of mask */
	__u32 mixed;   /* 1: visit the flows in an order of no pattern; 0: one after the other */
	__u32 kind;    /* enum bench_kind */
	__u32 ip_sum;  /* one's complement sum of the IPv4 header without what varies */
	__u32 l4_sum;  /* of pseudo header and payload without what varies */
	__u32 address; /* of flow 0's client, IPv4 or the last four bytes of IPv6, host order */
	__u32 server;  /* REPLY: address of the real server of flow 0, host order */
	__u32 server_mask; /* REPLY: number of real servers - 1 */
	__u32 misses;      /* look-ups of the hash floors that found nothing */
	__u32 length;      /* of the frame: BENCH_FRAME or BENCH_SYN */
	__u32 tail;        /* 1: the program under test changes the frame's length at its end */
	/* PROOF: what the director makes cookies of, struct xlvs_syn_cookies */
	__u32 slot_ticks;
	__u64 offset;
	__u64 key[4];
	__u32 isn; /* of the SYN */
	__u32 mss; /* which of the cookies' */
	__u8 frame[BENCH_FRAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_case);
} bench_case SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

struct bench_key12 {
	__be32 src, dst;
	__be16 sport, dport;
};

/* As large as the key of a connection in either family. */
struct bench_key40 {
	struct xlvs_addr src, dst;
	__be16 sport, dport;
	__u32 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* as many as the row has flows: the bench sets it */
	__type(key, struct bench_key12);
	__type(value, __u64);
} bench_hash12 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* as many as the row has flows: the bench sets it */
	__type(key, struct bench_key40);
	__type(value, __u64);
} bench_hash40 SEC(".maps");

static __always_inline struct bench_case *bench_now(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&bench_case, &zero);
}

/* The flow of the next packet: every step is a permutation of 0 .. mask. */
static __always_inline __u32 bench_flow(struct bench_case *b)
{
	__u32 flow = b->count++ & b->mask;

	if (b->mixed) {
		flow = flow * 0x9e3779b1 & b->mask;
		flow ^= flow >> b->half;
		flow = flow * 0x85ebca6b & b->mask;
	}
	return flow;
}

/* Bits of a flow's number that make its port; the others make its address. */
#define BENCH_PORT_BITS 15
#define BENCH_PORT_FIRST 1024

/*
 * Writes what varies with the flow: an address's last four bytes and a port, and
 * the checksums over them. Offsets are constants; ip_check 0: there is none.
 */
static __always_inline void bench_place(const struct bench_case *b, __u8 *frame, __u32 flow,
					__u32 address_at, __u32 port_at, __u32 ip_check,
					__u32 l4_check, sum_t more)
{
	__be32 address = bpf_htonl(b->address + (flow >> BENCH_PORT_BITS));
	__be16 port = bpf_htons(BENCH_PORT_FIRST + (flow & ((1 << BENCH_PORT_BITS) - 1)));

	*(__be32 *)(frame + address_at) = address;
	*(__be16 *)(frame + port_at) = port;
	if (ip_check)
		*(__u16 *)(frame + ip_check) = ~sum_fold16((sum_t)b->ip_sum + address + more);
	*(__u16 *)(frame + l4_check) = ~sum_fold16((sum_t)b->l4_sum + address + port + more);
}

/*
 * What the client acknowledges: as in bpf/syn_cookie.h, whose maps are none of ours. A row whose
 * director makes something else of it fails.
 */
static __always_inline __be32 bench_proof(const struct bench_case *b, const __u8 *frame)
{
	const __be32 *address = (const __be32 *)(frame + 26);
	const __be16 *port = (const __be16 *)(frame + 34);
	__u64 slot = (bpf_jiffies64() + b->offset) / b->slot_ticks;
	__u64 v[4];

	siphash24_begin(v, b->key + 2 * (slot / XLVS_SYN_COOKIE_EPOCH & 1));
	siphash24_word(v, (__u64)address[0] << 32 | address[1]);
	siphash24_word(v, (__u64)port[0] << 48 | (__u64)port[1] << 32 | b->isn);
	siphash24_word(v, slot << 3 | b->mss);
	return bpf_htonl(((__u32)siphash24_end(v, 3) << 5 | b->mss << 2 | (slot & 3)) + 1);
}

static __always_inline int bench_make(hook_ctx *ctx, struct bench_case *b)
{
	__u8 *frame = hook_data(ctx);
	__u32 flow = bench_flow(b);
	__be32 server, proof;

	if ((void *)frame + BENCH_SYN > hook_data_end(ctx))
		return -1;
	__builtin_memcpy(frame, b->frame, BENCH_SYN);
	if ((void *)frame + BENCH_FRAME <= hook_data_end(ctx))
		__builtin_memcpy(frame + BENCH_SYN, b->frame + BENCH_SYN, BENCH_FRAME - BENCH_SYN);
	switch (b->kind) {
	case BENCH_TCP4:
		bench_place(b, frame, flow, 26, 34, 24, 50, 0);
		break;
	case BENCH_UDP4:
		bench_place(b, frame, flow, 26, 34, 24, 40, 0);
		break;
	case BENCH_TCP6:
		bench_place(b, frame, flow, 34, 54, 0, 70, 0);
		break;
	case BENCH_PROOF4:
		bench_place(b, frame, flow, 26, 34, 24, 50, 0);
		proof = bench_proof(b, frame);
		*(__be32 *)(frame + 42) = proof;
		*(__u16 *)(frame + 50) = checksum_update(*(__u16 *)(frame + 50), proof);
		break;
	default:
		/* The servers have the flows in turn: rr, and they were made in order. */
		server = bpf_htonl(b->server + (flow & b->server_mask));
		*(__be32 *)(frame + 26) = server;
		bench_place(b, frame, flow, 30, 36, 24, 50, server);
	}
	return 0;
}

/* The hash floors' keys, from a frame that the wrapper made. */
static __always_inline int bench_key12_of(hook_ctx *ctx, struct bench_key12 *key)
{
	__u8 *frame = hook_data(ctx);

	if ((void *)frame + BENCH_FRAME > hook_data_end(ctx))
		return -1;
	__builtin_memcpy(key, frame + 26, sizeof(*key));
	return 0;
}

static __always_inline int bench_key40_of(hook_ctx *ctx, struct bench_key40 *key)
{
	struct bench_key12 k;

	if (bench_key12_of(ctx, &k))
		return -1;
	address_from_v4(&key->src, k.src);
	address_from_v4(&key->dst, k.dst);
	key->sport = k.sport;
	key->dport = k.dport;
	key->protocol = IPPROTO_TCP;
	return 0;
}

/* One look-up, or with `fill` one insertion. */
#define BENCH_HASH(bits, fill)                                                               \
	({                                                                                   \
		struct bench_case *b_ = bench_now();                                         \
		struct bench_key##bits key_ = {};                                            \
		__u64 value_ = 1;                                                            \
                                                                                             \
		if (!b_ || bench_key##bits##_of(ctx, &key_))                                 \
			return HOOK_VERDICT_PASS;                                            \
		if (fill ? bpf_map_update_elem(&bench_hash##bits, &key_, &value_, BPF_ANY) : \
			   !bpf_map_lookup_elem(&bench_hash##bits, &key_))                   \
			b_->misses++;                                                        \
		HOOK_VERDICT_DROP;                                                           \
	})

SEC(BENCH_SECTION)
int bench_wrapper(hook_ctx *ctx)
{
	struct bench_case *b = bench_now();

	if (!b || bench_restore(ctx, b->length, b->tail) || bench_make(ctx, b))
		return HOOK_VERDICT_PASS;
	bpf_tail_call_static(ctx, &bench_target, 0);
	return HOOK_VERDICT_PASS; /* no floor and no row ends like this */
}

SEC(BENCH_SECTION)
int bench_empty(hook_ctx *ctx)
{
	(void)ctx;
	return HOOK_VERDICT_DROP;
}

SEC(BENCH_SECTION)
int bench_turn(hook_ctx *ctx)
{
	struct ethhdr *eth = hook_data(ctx);
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > hook_data_end(ctx))
		return HOOK_VERDICT_PASS;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return bench_send_back(ctx);
}

SEC(BENCH_SECTION)
int bench_find12(hook_ctx *ctx)
{
	return BENCH_HASH(12, false);
}

SEC(BENCH_SECTION)
int bench_find40(hook_ctx *ctx)
{
	return BENCH_HASH(40, false);
}

SEC(BENCH_SECTION)
int bench_fill12(hook_ctx *ctx)
{
	return BENCH_HASH(12, true);
}

SEC(BENCH_SECTION)
int bench_fill40(hook_ctx *ctx)
{
	return BENCH_HASH(40, true);
}

char _license[] SEC("license") = "Dual BSD/GPL";

#endif
