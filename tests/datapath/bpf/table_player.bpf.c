// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Plays many clients of one service, and their servers, against the director's program:
 * each repetition of a test run looks at what became of the packet before, makes the
 * next one and tail-calls the director. A test run gives every repetition the packet as
 * the one before left it, so nothing has to be watched from outside.
 */
#include "hook_xdp.h"

#define PLAYER_FRAME 80
#define PLAYER_CLIENTS 256
#define PLAYER_FLAGS_AT 13 /* in a TCP header */

enum player_act { ACT_SYN, ACT_ACK, ACT_FIN, ACT_RST, ACT_REPLY, ACT_MAX };

/* What is known of a client: where its SYN went, last byte of the MAC address (0: nowhere),
 * and the source port that the server saw. */
struct player_client {
	__u16 owner;
	__be16 port;
};

struct player {
	__u64 random;
	__u64 sent;    /* client's packets that went to the right server */
	__u64 unsent;  /* that went nowhere: their connection is over, or there is no room */
	__u64 opened;  /* SYNs that went to some server */
	__u64 lost;    /* of a safe client, and not sent */
	__u64 strayed; /* that went to another server than their SYN, or with another port */
	__u64 replies; /* that reached their client */
	__u64 strayed_replies;
	__u32 v6;
	__u32 clients;        /* a power of two */
	__u32 first;          /* port of client 0 */
	__u32 safe;           /* clients below are established: they only send ACKs */
	__u32 strict;         /* 1: nobody else plays these clients */
	__u32 in_turn;        /* 1: one client after the other, each a SYN; 0: at random */
	__u32 until[ACT_MAX]; /* 256ths: an act is chosen below its number */
	__u32 act;            /* of the packet before; ACT_MAX: there was none */
	__u32 client;
	__u32 reply_sum; /* of the reply's IPv4 header without the server's last byte */
	struct player_client of[PLAYER_CLIENTS];
	__u8 request[PLAYER_FRAME];
	__u8 reply[PLAYER_FRAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct player);
} player_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} player_target SEC(".maps");

static __always_inline void player_judge(struct player *t, const __u8 *frame)
{
	struct player_client *c = &t->of[t->client & (PLAYER_CLIENTS - 1)];
	__be16 port = *(__be16 *)(frame + (t->v6 ? 54 : 34));

	if (t->act == ACT_REPLY) {
		port = *(__be16 *)(frame + (t->v6 ? 56 : 36));
		if (frame[4] != 1 || frame[5] != 0xfe)
			t->unsent++;
		else if (port != bpf_htons(t->first + t->client))
			t->strayed_replies++;
		else
			t->replies++;
		return;
	}
	if (frame[4] != 2) {
		t->unsent++;
		if (t->client < t->safe)
			t->lost++;
		return;
	}
	if (t->act == ACT_SYN) {
		t->opened++;
		c->owner = frame[5];
		c->port = port;
	} else if (t->strict && (c->owner != frame[5] || c->port != port)) {
		t->strayed++;
	} else {
		t->sent++;
	}
}

static __always_inline __u32 player_random(struct player *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random >> 24;
}

static __always_inline void player_choose(struct player *t)
{
	__u32 r = player_random(t), of256 = r & 255;

	if (t->in_turn) {
		t->client = t->client + 1;
		t->act = ACT_SYN;
		return;
	}
	t->client = r >> 8 & (t->clients - 1);
	t->act = ACT_REPLY;
	for (__u32 i = 0; i < ACT_REPLY; i++) {
		if (of256 < t->until[i]) {
			t->act = i;
			break;
		}
	}
	if (t->client < t->safe && t->act != ACT_REPLY)
		t->act = ACT_ACK;
	/* Nobody answers who has not been asked. */
	if (t->act == ACT_REPLY && !t->of[t->client & (PLAYER_CLIENTS - 1)].owner)
		t->act = ACT_SYN;
}

static __always_inline void player_request(const struct player *t, __u8 *frame)
{
	static const __u8 flags[] = { 0x02, 0x10, 0x11, 0x04 };
	__u32 l4 = t->v6 ? 54 : 34;

	__builtin_memcpy(frame, t->request, PLAYER_FRAME);
	opaque(l4);
	l4 &= 63;
	*(__be16 *)(frame + l4) = bpf_htons(t->first + t->client);
	if (t->act == ACT_SYN)
		frame[l4 + PLAYER_FLAGS_AT] = flags[ACT_SYN];
	else if (t->act == ACT_FIN)
		frame[l4 + PLAYER_FLAGS_AT] = flags[ACT_FIN];
	else if (t->act == ACT_RST)
		frame[l4 + PLAYER_FLAGS_AT] = flags[ACT_RST];
	else
		frame[l4 + PLAYER_FLAGS_AT] = flags[ACT_ACK];
}

static __always_inline void player_reply(const struct player *t, __u8 *frame)
{
	const struct player_client *c = &t->of[t->client & (PLAYER_CLIENTS - 1)];
	__u32 server = c->owner & 15;

	__builtin_memcpy(frame, t->reply, PLAYER_FRAME);
	if (t->v6) {
		frame[37] = 0x10 + server;
		*(__be16 *)(frame + 56) = c->port;
	} else {
		frame[29] = 10 + server;
		*(__u16 *)(frame + 24) = ~sum_fold16((sum_t)t->reply_sum + ((10 + server) << 8));
		*(__be16 *)(frame + 36) = c->port;
	}
}

SEC("xdp")
int player(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct player *t = bpf_map_lookup_elem(&player_map, &zero);
	__u8 *frame = hook_data(ctx);

	if (!t || (void *)frame + PLAYER_FRAME > hook_data_end(ctx))
		return XDP_ABORTED;
	if (t->act < ACT_MAX)
		player_judge(t, frame);
	player_choose(t);
	if (t->act == ACT_REPLY)
		player_reply(t, frame);
	else
		player_request(t, frame);
	bpf_tail_call_static(ctx, &player_target, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
