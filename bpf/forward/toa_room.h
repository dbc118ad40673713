/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A SYN of IPv6 that offers Multipath TCP has no room for TOA. The offer goes then, and the
 * connection is one of plain TCP (RFC 8684 3.7), whose client is known. Joining another one
 * (MP_JOIN) stays: without that its SYN would be of no use.
 */
#ifndef XLVS_TOA_ROOM_H
#define XLVS_TOA_ROOM_H

#include "lib/tcp_options.h"
#include "../stream.h"

struct toa_room {
	struct packet *p;
	__u32 at;
};

/* What is behind the offer moves to its place; behind that are zeros. */
static long toa_room_step(__u32 i, void *data)
{
	struct toa_room *r = data;

	opaque(i);
	if (i >= TCP_OPTIONS_MAX)
		return 1;
	if (i >= r->at)
		r->p->options[i] = r->p->options[i + TCP_OPTION_MP_CAPABLE_LENGTH];
	return 0;
}

/*
 * Takes the offer out of p->options, which `w` has walked through, if `room` more bytes fit in
 * then. Returns how many are left; -1: there is no room.
 */
static __always_inline int toa_room_make(struct packet *p, const struct options_walk *w, __u32 room)
{
	struct toa_room r = { .p = p, .at = w->mp_capable_at };

	if (!(p->tcp_flags & TCP_SYN) || w->mp_capable_at == OPTION_NONE ||
	    w->length - TCP_OPTION_MP_CAPABLE_LENGTH + room > TCP_OPTIONS_MAX)
		return -1;
	/* As they are in the frame: options_write() may have been there. */
	__builtin_memcpy(p->options_seen, p->options, TCP_OPTIONS_MAX);
	bpf_loop(TCP_OPTIONS_MAX, toa_room_step, &r, 0);
	return w->length - TCP_OPTION_MP_CAPABLE_LENGTH;
}

/*
 * Writes the options that are left behind the option of `room` bytes, of which the gap has four
 * less. They move by an even number, so the checksum is only of what has gone.
 */
static __noinline int toa_room_take(hook_ctx *ctx, struct packet *p, __u32 left, __u32 room)
{
	__u32 difference = bpf_csum_diff((__be32 *)p->options_seen, TCP_OPTIONS_MAX,
					 (__be32 *)p->options, TCP_OPTIONS_MAX, 0);

	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0, difference, false))
		return -1;
	stream_count(p, XLVS_STREAM_EVENT_TOA_MPTCP);
	return left ? hook_overwrite(ctx, p->l4 + sizeof(struct tcphdr) + room, p->options,
				     length_up_to(OPTIONS_ROOM, left)) :
		      0;
}

#endif
