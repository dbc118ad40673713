/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet needs for a while and the stack has no room for, or the verifier no patience:
 * it follows the stack's numbers along every path. One packet at a time is on a CPU, see
 * `packets`. One map for all of them, for a program may have 64.
 */
#ifndef XLVS_SCRATCH_H
#define XLVS_SCRATCH_H

#include "lib/base.h"

#define SCRATCH_BYTES 320

struct scratch {
	__u8 bytes[SCRATCH_BYTES];
} __attribute__((aligned(8)));

/* Which of them: whose it is, besides whoever needs one for a moment. */
enum scratch_of {
	SCRATCH_MOMENT = 0,
	SCRATCH_SEGMENT,  /* lib/tcp_segment.h */
	SCRATCH_CALL_ID,  /* call_id.h */
	SCRATCH_SCHEDULE, /* schedulers/scheduler.h */
	SCRATCH_LOCALITY, /* schedulers/lblc.h */
	SCRATCH_MAX,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_MAX);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* A `type` in the scratch that is `of` it, or null. */
#define scratch_as(type, of)                                                             \
	({                                                                               \
		__u32 scratch_ = (of);                                                   \
                                                                                         \
		_Static_assert(sizeof(type) <= sizeof(struct scratch), "SCRATCH_BYTES"); \
		(type *)bpf_map_lookup_elem(&scratches, &scratch_);                      \
	})

static __always_inline struct scratch *scratch_get(void)
{
	return scratch_as(struct scratch, SCRATCH_MOMENT);
}

#endif
