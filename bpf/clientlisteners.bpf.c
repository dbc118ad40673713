/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listeners that are older than clientaddress.bpf.c: from now on they keep the SYNs of their
 * connections. Runs once, over the network namespace of who reads from it; an object of its
 * own, because without it only these listeners depend on the handshake's last packet.
 *
 * What is read: one byte for each listener that did not keep them.
 */
#include "lib/base.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define SOL_TCP 6
#define LISTENING 10 /* TCP_LISTEN of the kernel */
#define CGROUP_DEPTH_MAX 32

/* As much as is used of the kernel's own. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
struct sock_common {
	unsigned char skc_state;
};
struct sock {
	struct sock_cgroup_data sk_cgrp_data;
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};
#pragma clang attribute pop

/* Entry 0: the id of the cgroup whose listeners are meant, with all below it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} listeners_cgroup SEC(".maps");

static __always_inline bool listener_is_meant(struct sock_common *common)
{
	struct cgroup *cgroup = BPF_CORE_READ((struct sock *)common, sk_cgrp_data.cgroup);
	__u32 zero = 0;
	__u64 *wanted = bpf_map_lookup_elem(&listeners_cgroup, &zero);

	for (int i = 0; wanted && cgroup && i < CGROUP_DEPTH_MAX; i++) {
		struct cgroup_subsys_state *parent;

		if (BPF_CORE_READ(cgroup, kn, id) == *wanted)
			return true;
		parent = BPF_CORE_READ(cgroup, self.parent);
		cgroup = parent ? BPF_CORE_READ(parent, cgroup) : NULL;
	}
	return false;
}

SEC("iter/tcp")
int xlvs_client_listeners(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	int on = 1, was = 0;
	__u8 one = '+';

	if (!common || common->skc_state != LISTENING || !listener_is_meant(common))
		return 0;
	/* Who keeps them already, also with the link header (2), goes on as it is. */
	bpf_getsockopt(common, SOL_TCP, TCP_SAVE_SYN, &was, sizeof(was));
	if (!was && !bpf_setsockopt(common, SOL_TCP, TCP_SAVE_SYN, &on, sizeof(on)))
		bpf_seq_write(ctx->meta->seq, &one, sizeof(one));
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
