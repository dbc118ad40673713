/* SPDX-License-Identifier: Apache-2.0 */
/* The measuring tool inside the guest. It prints JSON. */
#include "tool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

static const char usage[] =
	"tool sink FOLDER                   pin counting sinks: FOLDER/xdp, FOLDER/tc\n"
	"tool seen FOLDER                   packets that they saw, where the last one went\n"
	"tool forward FOLDER IF TO FROM     pin the least director, with these two MACs\n"
	"tool send IF TO FROM ADDRESS udp|tcp FLAGS MASK START PACKETS BATCH SLICES PROFILE\n"
	"                                   send packets, print the time of each slice\n"
	"tool gro IF                        receive offload: a veth accepts redirected frames\n"
	"tool fifo PID                      real-time priority\n"
	"tool selftest                      instructions per ns\n";

int mac(const char *text, uint8_t *b)
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", b, b + 1, b + 2, b + 3, b + 4,
		      b + 5) == 6 ?
		       0 :
		       -1;
}

static int gro(const char *ifname)
{
	struct ethtool_value value = { .cmd = ETHTOOL_SGRO, .data = 1 };
	struct ifreq request = { .ifr_data = (void *)&value };
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (s < 0 || ioctl(s, SIOCETHTOOL, &request))
		die("gro");
	return 0;
}

static int fifo(int pid)
{
	struct sched_param p = { .sched_priority = 50 };

	if (sched_setscheduler(pid, SCHED_FIFO, &p))
		die("fifo");
	return 0;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int selftest(void)
{
	uint64_t ns = 0;

	for (int i = 0; i < 2; i++) { /* the first pass warms the page tables up */
		uint64_t n = 1000000, a = now();

		__asm__ volatile("1: dec %0; nop; nop; jnz 1b" : "+r"(n));
		ns = now() - a;
	}
	printf("{\"instructions\":4000000,\"ns\":%llu}\n", (unsigned long long)ns);
	return 0;
}

static uint32_t number(const char *text)
{
	return strtoul(text, NULL, 0);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	char **v = argv + 2;

	if (!strcmp(command, "sink") && argc == 3)
		return sink(v[0]);
	if (!strcmp(command, "seen") && argc == 3)
		return seen(v[0]);
	if (!strcmp(command, "forward") && argc == 6)
		return forward(v[0], v[1], v[2], v[3]);
	if (!strcmp(command, "send") && argc == 14) {
		struct generator g = { .ifname = v[0],
				       .to = v[1],
				       .from = v[2],
				       .address = v[3],
				       .udp = !strcmp(v[4], "udp"),
				       .flags = number(v[5]),
				       .mask = number(v[6]),
				       .start = number(v[7]),
				       .packets = number(v[8]),
				       .batch = number(v[9]),
				       .slices = number(v[10]),
				       .profile = number(v[11]) };
		return generate(&g);
	}
	if (!strcmp(command, "gro") && argc == 3)
		return gro(v[0]);
	if (!strcmp(command, "fifo") && argc == 3)
		return fifo(number(v[0]));
	if (!strcmp(command, "selftest"))
		return selftest();
	fputs(usage, stderr);
	return 2;
}
