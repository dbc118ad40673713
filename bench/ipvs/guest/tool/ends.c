/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at the ends of the measured way: sinks that count, and the least director. */
#include "tool.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The sinks' map: packets by protocol of the outer header, and where the last one went. */
struct seen {
	uint64_t packets[254];
	uint64_t address, port; /* of the last packet, as on the wire */
};

#define IPV4_PROTOCOL 23
#define IPV4_DESTINATION 30
#define DESTINATION_PORT 36

/* r2 = data; a jump that is taken when fewer than `need` bytes are there. */
static int frame(bool tc, int need)
{
	LOAD(BPF_W, 2, 1, tc ? offsetof(struct __sk_buff, data) : offsetof(struct xdp_md, data));
	LOAD(BPF_W, 3, 1,
	     tc ? offsetof(struct __sk_buff, data_end) : offsetof(struct xdp_md, data_end));
	MOV(4, 2);
	ALUI(BPF_ADD, 4, need);
	return JUMP(BPF_JGT, 4, 3);
}

static void load_and_pin(bool tc, const char *name, const char *folder)
{
	pin(load(tc ? BPF_PROG_TYPE_SCHED_CLS : BPF_PROG_TYPE_XDP, name), folder,
	    tc ? "tc" : "xdp");
}

int sink(const char *folder)
{
	int map = array_map(sizeof(struct seen));

	pin(map, folder, "seen");
	for (int tc = 0; tc < 2; tc++) {
		int cut;

		begin();
		cut = frame(tc, DESTINATION_PORT + 2);
		LOAD(BPF_B, 5, 2, IPV4_PROTOCOL);
		ALUI(BPF_LSH, 5, 3);
		LOAD(BPF_W, 6, 2, IPV4_DESTINATION);
		LOAD(BPF_H, 7, 2, DESTINATION_PORT);
		emit_map_value(1, map, 0);
		STORE(BPF_DW, 1, offsetof(struct seen, address), 6);
		STORE(BPF_DW, 1, offsetof(struct seen, port), 7);
		ALU(BPF_ADD, 1, 5);
		LOAD(BPF_DW, 6, 1, 0);
		ALUI(BPF_ADD, 6, 1);
		STORE(BPF_DW, 1, 0, 6);
		land(cut);
		MOVI(0, tc ? 2 /* TC_ACT_SHOT */ : XDP_DROP);
		EXIT();
		load_and_pin(tc, "sink", folder);
	}
	return 0;
}

int seen(const char *folder)
{
	struct seen s;
	struct in_addr to;

	array_read(pinned(folder, "seen"), &s);
	to.s_addr = s.address;
	printf("{\"tcp\":%llu,\"udp\":%llu,\"ipip\":%llu,\"last\":\"%s:%d\"}\n",
	       (unsigned long long)s.packets[IPPROTO_TCP],
	       (unsigned long long)s.packets[IPPROTO_UDP],
	       (unsigned long long)s.packets[IPPROTO_IPIP], inet_ntoa(to), ntohs(s.port));
	return 0;
}

int forward(const char *folder, const char *ifname, const char *to, const char *from)
{
	unsigned int ifindex = if_nametoindex(ifname);
	uint8_t macs[12];
	int32_t words[3];

	if (!ifindex || mac(to, macs) || mac(from, macs + 6))
		die("interface or addresses");
	memcpy(words, macs, sizeof(macs));
	for (int tc = 0; tc < 2; tc++) {
		int cut;

		begin();
		cut = frame(tc, sizeof(macs));
		for (int i = 0; i < 3; i++)
			STOREI(BPF_W, 2, 4 * i, words[i]);
		MOVI(1, ifindex);
		MOVI(2, 0);
		CALL(BPF_FUNC_redirect);
		EXIT();
		land(cut);
		MOVI(0, tc ? 2 /* TC_ACT_SHOT */ : XDP_DROP);
		EXIT();
		load_and_pin(tc, "least", folder);
	}
	return 0;
}
