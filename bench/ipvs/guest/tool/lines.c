/* SPDX-License-Identifier: Apache-2.0 */
/* Source lines of the BPF programs that are loaded, by the address of their machine code. */
#include "tool.h"

#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct source_line *all;
static size_t count;

static void info(int fd, void *to, uint32_t size)
{
	union bpf_attr attr = { .info = { .bpf_fd = fd, .info_len = size, .info = (uintptr_t)to } };

	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr))
		die("information on a BPF object");
}

static void *memory(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die("memory");
	return p;
}

/* The strings of a BTF object; they are kept, the lines point into them. */
static const char *strings(uint32_t id)
{
	union bpf_attr attr = { .btf_id = id };
	int fd = bpf(BPF_BTF_GET_FD_BY_ID, &attr);
	struct bpf_btf_info about = {};
	struct btf_header *head;

	if (fd < 0)
		die("BTF");
	info(fd, &about, sizeof(about));
	head = memory(about.btf_size);
	about = (struct bpf_btf_info){ .btf = (uintptr_t)head, .btf_size = about.btf_size };
	info(fd, &about, sizeof(about));
	close(fd);
	return (char *)head + head->hdr_len + head->str_off;
}

/* The path from the folder bpf/ on. */
static const char *shorter(const char *path)
{
	const char *found = strstr(path, "bpf/");

	return found ? found : path;
}

static void add_program(int fd)
{
	struct bpf_prog_info about = {}, again = {};
	struct bpf_line_info *line;
	const char *text;
	uint64_t *address;
	uint32_t n;

	info(fd, &about, sizeof(about));
	n = about.nr_line_info;
	if (!n || n != about.nr_jited_line_info)
		return;
	line = memory(n * sizeof(*line));
	address = memory(n * sizeof(*address));
	again.nr_line_info = again.nr_jited_line_info = n;
	again.line_info_rec_size = sizeof(*line);
	again.jited_line_info_rec_size = sizeof(*address);
	again.line_info = (uintptr_t)line;
	again.jited_line_info = (uintptr_t)address;
	info(fd, &again, sizeof(again));
	text = strings(about.btf_id);
	all = realloc(all, (count + n) * sizeof(*all));
	if (!all)
		die("memory");
	for (uint32_t i = 0; i < n; i++)
		all[count++] = (struct source_line){
			.address = address[i],
			.file = shorter(text + line[i].file_name_off),
			.line = BPF_LINE_INFO_LINE_NUM(line[i].line_col),
		};
	free(line);
	free(address);
}

static int by_address(const void *a, const void *b)
{
	const struct source_line *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

void lines_read(void)
{
	union bpf_attr next = {};

	while (!bpf(BPF_PROG_GET_NEXT_ID, &next)) {
		union bpf_attr attr = { .prog_id = next.next_id };
		int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);

		if (fd >= 0) {
			add_program(fd);
			close(fd);
		}
		next.start_id = next.next_id;
	}
	qsort(all, count, sizeof(*all), by_address);
}

/* A line has many pieces of machine code: they are counted at the first that was met. */
struct source_line *line_of(uint64_t function, uint64_t address)
{
	size_t low = 0, high = count;

	while (low + 1 < high) {
		size_t middle = (low + high) / 2;

		if (all[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	if (!count || all[low].address < function || all[low].address > address)
		return NULL;
	for (size_t i = 0; i <= low; i++)
		if (all[i].line == all[low].line && !strcmp(all[i].file, all[low].file))
			return all + i;
	return all + low;
}

static int by_samples(const void *a, const void *b)
{
	const struct source_line *x = a, *y = b;

	return x->samples > y->samples ? -1 : x->samples < y->samples;
}

struct source_line *lines_sorted(size_t *n)
{
	qsort(all, count, sizeof(*all), by_samples);
	*n = count;
	return all;
}
