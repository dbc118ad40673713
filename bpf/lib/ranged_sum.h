/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One's complement sum over bytes of the frame; for rare packets only. */
#ifndef XLVS_RANGED_SUM_H
#define XLVS_RANGED_SUM_H

#include "lib/checksum.h"

#define RANGED_CHUNK 32 /* the stack is short */
#define RANGED_CHUNKS_MAX (65536 / RANGED_CHUNK)

struct ranged_sum {
	hook_ctx *ctx;
	__u32 at;
	__u32 left;
	__u32 sum;
	__u32 failed;
};

static long ranged_sum_chunk(__u32 i, void *data)
{
	struct ranged_sum *s = data;
	__u8 bytes[RANGED_CHUNK] = {};
	__u32 n = s->left < RANGED_CHUNK ? s->left : RANGED_CHUNK;

	(void)i;
	if (!s->left)
		return 1;
	n = length_up_to(RANGED_CHUNK, n);
	if (hook_load(s->ctx, s->at, bytes, n)) {
		s->failed = 1;
		return 1;
	}
	s->sum = bpf_csum_diff(NULL, 0, (__be32 *)bytes, sizeof(bytes), s->sum);
	s->at += n;
	s->left -= n;
	return 0;
}

/* Adds `len` bytes at `off` to *sum. An odd `len` must be the last range added. */
static __always_inline int ranged_sum(hook_ctx *ctx, __u32 off, __u32 len, __u32 *sum)
{
	struct ranged_sum s = { .ctx = ctx, .at = off, .left = len, .sum = *sum };

	bpf_loop(RANGED_CHUNKS_MAX, ranged_sum_chunk, &s, 0);
	*sum = s.sum;
	return s.failed || s.left ? -1 : 0;
}

#endif
