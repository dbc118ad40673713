/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the instructions go: the program counter, every 10 007 ns of guest time
 * (the kernel's least is 10 000), counted by the kernel's symbols, and by source lines
 * in BPF programs.
 */
#include "tool.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PERIOD 10007
#define PAGES 1024 /* of 256 samples each, a power of two */
#define PAGE 4096
#define NAME 64
#define SYMBOLS_SHOWN 40
#define LINES_SHOWN 80

struct symbol {
	uint64_t address;
	uint64_t samples;
	char name[NAME];
};

struct sample {
	struct perf_event_header header;
	uint64_t ip;
};

static struct perf_event_mmap_page *ring;
static int event = -1;

void samples_begin(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.size = sizeof(attr),
					.sample_period = PERIOD,
					.sample_type = PERF_SAMPLE_IP,
					.exclude_idle = 1 };

	event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
	if (event < 0)
		die("perf_event_open");
	ring = mmap(NULL, (1 + PAGES) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);
	if (ring == MAP_FAILED)
		die("mapping samples");
}

void samples_end(void)
{
	if (event >= 0)
		ioctl(event, PERF_EVENT_IOC_DISABLE, 0);
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static int by_samples(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->samples > y->samples ? -1 : x->samples < y->samples;
}

static struct symbol *read_symbols(size_t *count)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	struct symbol *all = NULL;
	size_t room = 0, n = 0;
	char line[512];

	if (!f)
		die("/proc/kallsyms");
	while (fgets(line, sizeof(line), f)) {
		if (n == room) {
			room = room ? room * 2 : 1 << 16;
			all = realloc(all, room * sizeof(*all));
			if (!all)
				die("memory");
		}
		all[n] = (struct symbol){};
		if (sscanf(line, "%lx %*c %63s", &all[n].address, all[n].name) == 2)
			n++;
	}
	fclose(f);
	qsort(all, n, sizeof(*all), by_address);
	*count = n;
	return all;
}

static struct symbol *find(struct symbol *all, size_t n, uint64_t ip)
{
	size_t low = 0, high = n;

	while (low + 1 < high) {
		size_t middle = (low + high) / 2;

		if (all[middle].address <= ip)
			low = middle;
		else
			high = middle;
	}
	return all + low;
}

static void count_sample(struct symbol *all, size_t n, uint64_t ip)
{
	struct symbol *symbol = find(all, n, ip);
	struct source_line *line;

	symbol->samples++;
	if (strncmp(symbol->name, "bpf_prog_", 9))
		return;
	line = line_of(symbol->address, ip);
	if (line)
		line->samples++;
}

static void print_symbols(struct symbol *all, size_t n)
{
	qsort(all, n, sizeof(*all), by_samples);
	printf(",\"symbols\":{");
	for (size_t i = 0; i < n && i < SYMBOLS_SHOWN && all[i].samples; i++)
		printf("%s\"%s\":%llu", i ? "," : "", all[i].name,
		       (unsigned long long)all[i].samples);
	printf("}");
}

static void print_lines(void)
{
	struct source_line *line;
	size_t n;

	line = lines_sorted(&n);
	printf(",\"lines\":{");
	for (size_t i = 0; i < n && i < LINES_SHOWN && line[i].samples; i++)
		printf("%s\"%s:%u\":%llu", i ? "," : "", line[i].file, line[i].line,
		       (unsigned long long)line[i].samples);
	printf("}");
}

void samples_print(void)
{
	struct symbol *all;
	uint64_t total = 0;
	size_t n;

	if (event < 0)
		return;
	all = read_symbols(&n);
	lines_read();
	for (uint64_t at = ring->data_tail; at < ring->data_head;) {
		struct sample *s = (void *)((char *)ring + PAGE + at % (PAGES * PAGE));

		if (s->header.type == PERF_RECORD_SAMPLE) {
			count_sample(all, n, s->ip);
			total++;
		}
		at += s->header.size;
	}
	printf(",\"samples\":%llu", (unsigned long long)total);
	print_symbols(all, n);
	print_lines();
	free(all);
}
