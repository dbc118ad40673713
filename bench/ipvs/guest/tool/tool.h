/* SPDX-License-Identifier: Apache-2.0 */
/* What the tool does, by file. */
#ifndef BENCH_IPVS_TOOL_H
#define BENCH_IPVS_TOOL_H

#include "bpf.h"

#include <stdbool.h>
#include <stddef.h>

struct generator {
	const char *ifname, *to, *from; /* device, MAC of the next hop, own MAC */
	const char *address;            /* IPv4 address to send to */
	bool udp;
	uint8_t flags;        /* TCP's */
	uint32_t mask, start; /* flow of packet i: (start + i) & mask */
	uint32_t packets;
	int batch, slices;
	bool profile;
};

/* generator.c */
int generate(const struct generator *g);

/* ends.c */
int sink(const char *folder);
int seen(const char *folder);
int forward(const char *folder, const char *ifname, const char *to, const char *from);

/* samples.c */
void samples_begin(void);
void samples_end(void);
void samples_print(void); /* a JSON fragment, nothing without samples_begin() */

/* lines.c */
struct source_line {
	uint64_t address; /* of machine code that it was made into */
	uint64_t samples;
	const char *file;
	uint32_t line;
};
void lines_read(void);
struct source_line *line_of(uint64_t function, uint64_t address); /* null: it has no lines */
struct source_line *lines_sorted(size_t *n); /* by samples; ends the use of line_of() */

/* main.c */
int mac(const char *text, uint8_t *bytes);

#endif
