/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPF_PROG_TEST_RUN with live frames: an XDP program writes all headers (so that
 * recycled pages are harmless), takes the next flow's number from a counter and
 * redirects the frame out of the interface. The packet is received, forwarded and
 * consumed by softirqs on the same CPU before the next batch begins. The program
 * itself takes the time, at the first packet of each slice: entering and leaving the
 * system call waits for RCU, milliseconds in which the guest is idle.
 */
#include "tool.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FRAME 60 /* 64 on the wire */
#define IP 14
#define L4 34
#define PORT 80
#define MARKS 64 /* time stamps in a run */
#define NO_MARKS (1u << 30)

/* The program's map. */
struct progress {
	uint64_t packets;
	uint64_t mark[MARKS];
};

/* The frame without what differs from flow to flow, and sums over it. */
struct model {
	uint8_t bytes[FRAME];
	uint32_t ip_sum, l4_sum;
	int sum_at; /* the transport checksum's offset */
};

static uint32_t sum16(const uint8_t *p, int n)
{
	uint32_t sum = 0;

	for (int i = 0; i < n; i += 2)
		sum += p[i] | p[i + 1] << 8;
	return sum;
}

static void model(const struct generator *g, struct model *m)
{
	int l4_length = g->udp ? FRAME - L4 : 20;
	uint8_t ip[20] = { 0x45, 0,
			   0,    20 + l4_length,
			   0,    0,
			   0x40, 0,
			   64,   g->udp ? IPPROTO_UDP : IPPROTO_TCP,
			   0,    0,
			   10,   78 };
	uint8_t *f = m->bytes, *l4 = f + L4;

	memset(m, 0, sizeof(*m));
	if (mac(g->to, f) || mac(g->from, f + 6) || inet_pton(AF_INET, g->address, ip + 16) != 1)
		die("addresses");
	f[12] = 8; /* IPv4 */
	memcpy(f + IP, ip, sizeof(ip));
	l4[3] = PORT;
	if (g->udp) {
		l4[5] = l4_length;
		m->sum_at = L4 + 6;
	} else {
		l4[4] = 1; /* some sequence numbers */
		l4[7] = 2;
		l4[11] = 3;
		l4[12] = 5 << 4;
		l4[13] = g->flags;
		l4[14] = 0x40;
		m->sum_at = L4 + 16;
	}
	m->ip_sum = sum16(f + IP, 20);
	m->l4_sum = sum16(f + IP + 12, 8) + sum16(l4, l4_length) + htons(l4_length) +
		    htons(f[IP + 9]);
}

static void emit_fold(int sum, int scratch) /* sum = ~folded, 16 bits */
{
	for (int i = 0; i < 2; i++) {
		MOV(scratch, sum);
		ALUI(BPF_RSH, scratch, 16);
		ALUI(BPF_AND, sum, 0xffff);
		ALU(BPF_ADD, sum, scratch);
	}
	ALUI(BPF_XOR, sum, 0xffff);
}

/* r7 = packets so far, of which there is one more; notes the time where a slice begins. */
static void emit_progress(int map, uint32_t slice)
{
	int between;

	emit_map_value(1, map, 0);
	LOAD(BPF_DW, 7, 1, offsetof(struct progress, packets));
	MOV(8, 7);
	ALUI(BPF_ADD, 8, 1);
	STORE(BPF_DW, 1, offsetof(struct progress, packets), 8);
	MOV(8, 7);
	ALUI(BPF_AND, 8, slice - 1);
	between = emit(BPF_JMP | BPF_JNE | BPF_K, 8, 0, 0, 0);
	CALL(BPF_FUNC_ktime_get_ns);
	MOV(8, 7);
	ALUI(BPF_RSH, 8, __builtin_ctz(slice));
	ALUI(BPF_AND, 8, MARKS - 1);
	ALUI(BPF_LSH, 8, 3);
	emit_map_value(1, map, offsetof(struct progress, mark));
	ALU(BPF_ADD, 1, 8);
	STORE(BPF_DW, 1, 0, 0);
	land(between);
}

static int program(const struct generator *g, const struct model *m, int map, uint32_t slice)
{
	int32_t words[FRAME / 4];
	int cut;

	memcpy(words, m->bytes, sizeof(words));
	begin();
	LOAD(BPF_W, 2, 1, offsetof(struct xdp_md, data_end));
	LOAD(BPF_W, 6, 1, offsetof(struct xdp_md, data));
	MOV(3, 6);
	ALUI(BPF_ADD, 3, sizeof(words));
	cut = JUMP(BPF_JGT, 3, 2);
	for (int i = 0; i < (int)(L4 + 22) / 4; i++) /* payload is zero and stays it */
		STOREI(BPF_W, 6, 4 * i, words[i]);
	emit_progress(map, slice);
	ALUI(BPF_ADD, 7, g->start);
	emit(BPF_ALU | BPF_AND | BPF_K, 7, 0, 0, g->mask);
	MOV(8, 7); /* r8 = source port, from 32768 up */
	ALUI(BPF_AND, 8, 0x7fff);
	ALUI(BPF_OR, 8, 0x8000);
	TO_BE16(8);
	STORE(BPF_H, 6, L4, 8);
	ALUI(BPF_RSH, 7, 15); /* r7 = low half of the source address */
	/* TCP and UDP have clients of their own, as they would: none is of both. */
	ALUI(BPF_ADD, 7, g->udp ? 1 : 0x4001);
	TO_BE16(7);
	STORE(BPF_H, 6, IP + 14, 7);
	MOV(9, 7);
	ALUI(BPF_ADD, 9, m->ip_sum);
	emit_fold(9, 2);
	STORE(BPF_H, 6, IP + 10, 9);
	ALU(BPF_ADD, 8, 7);
	ALUI(BPF_ADD, 8, m->l4_sum);
	emit_fold(8, 2);
	STORE(BPF_H, 6, m->sum_at, 8);
	MOVI(1, if_nametoindex(g->ifname));
	MOVI(2, 0);
	CALL(BPF_FUNC_redirect);
	EXIT();
	land(cut);
	MOVI(0, XDP_DROP);
	EXIT();
	return load(BPF_PROG_TYPE_XDP, "generator");
}

static void print(const struct progress *p, uint32_t sent, uint32_t slice, int slices)
{
	printf("{\"sent\":%u,\"slice\":%u,\"ns\":[", sent, slice);
	for (int i = 0; slice < NO_MARKS && i < slices; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)(p->mark[1 + i] - p->mark[i]));
	printf("]");
	samples_print();
	printf("}\n");
}

int generate(const struct generator *g)
{
	int map = array_map(sizeof(struct progress));
	uint32_t sent = g->packets, slice = 1;
	union bpf_attr run = {};
	struct progress p;
	struct model m;

	model(g, &m);
	while (g->slices && slice * g->slices < sent) /* a power of two, and at least a batch */
		slice *= 2;
	if (slice < (uint32_t)g->batch || g->slices > MARKS - 1)
		slice = NO_MARKS; /* exactly as many packets as asked for */
	run.test.prog_fd = program(g, &m, map, slice);
	if (slice < NO_MARKS)
		sent = slice * g->slices + g->batch; /* the last mark is in the batch after */
	run.test.data_in = (uintptr_t)m.bytes;
	run.test.data_size_in = FRAME;
	run.test.repeat = sent;
	run.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	run.test.batch_size = g->batch;
	if (g->profile)
		samples_begin();
	if (bpf(BPF_PROG_TEST_RUN, &run))
		die("sending");
	samples_end();
	array_read(map, &p);
	print(&p, sent, slice, g->slices);
	return 0;
}
