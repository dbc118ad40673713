/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct bpf_insn code[256];
static int length;
static char verifier_log[1 << 16];

noreturn void die(const char *what)
{
	fprintf(stderr, "tool: %s: %s\n%s", what, strerror(errno), verifier_log);
	exit(1);
}

int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int array_map(uint32_t value_size)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY,
				.key_size = sizeof(uint32_t),
				.value_size = value_size,
				.max_entries = 1 };
	int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		die("making a map");
	return fd;
}

void array_read(int map, void *value)
{
	uint32_t key = 0;
	union bpf_attr attr = { .map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)value };

	if (bpf(BPF_MAP_LOOKUP_ELEM, &attr))
		die("reading a map");
}

void pin(int fd, const char *folder, const char *name)
{
	char path[256];
	union bpf_attr attr = { .pathname = (uintptr_t)path, .bpf_fd = fd };

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (bpf(BPF_OBJ_PIN, &attr))
		die(path);
}

int pinned(const char *folder, const char *name)
{
	char path[256];
	union bpf_attr attr = { .pathname = (uintptr_t)path };
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = bpf(BPF_OBJ_GET, &attr);
	if (fd < 0)
		die(path);
	return fd;
}

void begin(void)
{
	length = 0;
}

int emit(uint8_t op, int dst, int src, int16_t off, int32_t imm)
{
	if (length == sizeof(code) / sizeof(*code))
		die("the program is too long");
	code[length] = (struct bpf_insn){
		.code = op, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm
	};
	return length++;
}

void emit_map_value(int dst, int map, int off)
{
	emit(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_VALUE, 0, map);
	emit(0, 0, 0, 0, off);
}

void land(int jump)
{
	code[jump].off = length - jump - 1;
}

int load(enum bpf_prog_type type, const char *name)
{
	union bpf_attr attr = { .prog_type = type,
				.insns = (uintptr_t)code,
				.insn_cnt = length,
				.license = (uintptr_t) "Apache-2.0", /* no helper of GPL programs */
				.log_level = 1,
				.log_buf = (uintptr_t)verifier_log,
				.log_size = sizeof(verifier_log) };
	int fd;

	strncpy(attr.prog_name, name, sizeof(attr.prog_name) - 1);
	fd = bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0)
		die("loading a program");
	verifier_log[0] = 0;
	return fd;
}
