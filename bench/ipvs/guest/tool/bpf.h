/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf(2) without a library, and an assembler of a few lines: the tool is linked
 * statically and runs in a guest that has little else.
 */
#ifndef BENCH_IPVS_BPF_H
#define BENCH_IPVS_BPF_H

#include <linux/bpf.h>
#include <stdint.h>
#include <stdnoreturn.h>

noreturn void die(const char *what);
int bpf(int command, union bpf_attr *attr);

int array_map(uint32_t value_size); /* of one element */
void array_read(int map, void *value);
void pin(int fd, const char *folder, const char *name);
int pinned(const char *folder, const char *name);

/* Begins a program, appends to it, loads it. */
void begin(void);
int emit(uint8_t op, int dst, int src, int16_t off, int32_t imm);
void emit_map_value(int dst, int map, int off);      /* dst = address of map[0] + off */
void land(int jump);                                 /* a jump's target is here */
int load(enum bpf_prog_type type, const char *name); /* the name is in profiles */

#define MOV(d, s) emit(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI(d, v) emit(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, v)
#define ALU(op, d, s) emit(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALUI(op, d, v) emit(BPF_ALU64 | (op) | BPF_K, d, 0, 0, v)
#define LOAD(size, d, s, o) emit(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, o, s) emit(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define STOREI(size, d, o, v) emit(BPF_ST | BPF_MEM | (size), d, 0, o, v)
#define TO_BE16(d) emit(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, 16)
#define CALL(f) emit(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT() emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define JUMP(op, d, s) emit(BPF_JMP | (op) | BPF_X, d, s, 0, 0)

#endif
