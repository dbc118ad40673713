/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A segment's options, read and changed in a copy and then written back. They stay where
 * they are: an option that shall not be there becomes NOPs (RFC 9293 3.2), which any
 * receiver takes. (A loop in C over them would be more paths than the verifier follows.)
 */
#ifndef XLVS_TCP_OPTIONS_H
#define XLVS_TCP_OPTIONS_H

#include "lib/checksum.h"
#include "lib/tcp_option.h"
#include "packet.h"

/* Bytes that the verifier is told of: a power of two. What is behind p->options has so many. */
#define OPTIONS_ROOM 64
_Static_assert(TCP_OPTIONS_MAX <= OPTIONS_ROOM &&
		       offsetof(struct packet, options) + OPTIONS_ROOM <= sizeof(struct packet),
	       "room for options");

#define OPTION_NONE 0xff

/* What to look for, and what was found. */
struct options_walk {
	struct packet *p;
	__u32 unwanted[2]; /* kinds that become NOPs; 0: none */
	__u32 length;      /* out: of the options */
	__u32 next;        /* where the next one begins */
	__u32 blank;       /* 1: this one is unwanted */
	__u32 blanked;     /* out: how many were */
	__u32 mss_at;      /* out: where it is, or OPTION_NONE */
	__u32 sack_at;
	__u32 sack_blocks;
	__u32 mp_capable_at; /* of a SYN's, or OPTION_NONE */
};

/* Byte by byte: so an unwanted option needs no loop of its own. */
static long options_step(__u32 i, void *data)
{
	struct options_walk *w = data;
	struct packet *p = w->p;
	__u32 kind, length = 1;

	opaque(i);
	if (i >= TCP_OPTIONS_MAX || i >= w->length)
		return 1;
	if (i < w->next) {
		if (w->blank)
			p->options[i] = TCP_OPTION_NOP;
		return 0;
	}
	w->blank = 0;
	kind = p->options[i];
	if (kind != TCP_OPTION_NOP) {
		length = p->options[i + 1];
		/* Nobody reads on from here: what is behind is none, whatever it looks like. */
		if (kind == TCP_OPTION_END || length < 2 || i + length > w->length) {
			p->options[i] = TCP_OPTION_END;
			w->next = i + 1;
			if (w->next < w->length)
				p->options[i + 1] = TCP_OPTION_END;
			return 0;
		}
	}
	w->next = i + length;
	if (kind == w->unwanted[0] || kind == w->unwanted[1]) {
		w->blank = 1;
		w->blanked++;
		p->options[i] = TCP_OPTION_NOP;
	} else if (kind == TCP_OPTION_MSS && length == TCP_OPTION_MSS_LENGTH) {
		w->mss_at = i;
	} else if (kind == TCP_OPTION_SACK) {
		w->sack_at = i;
		w->sack_blocks = (length - 2) / TCP_OPTION_SACK_BLOCK;
	} else if (kind == TCP_OPTION_MPTCP && length == TCP_OPTION_MP_CAPABLE_LENGTH &&
		   !(p->options[i + 2] & TCP_OPTION_MPTCP_SUBTYPE)) {
		w->mp_capable_at = i;
	}
	return 0;
}

/* Copies the segment's options to p->options and looks through them. -1: they cannot be read. */
static __always_inline int options_read(hook_ctx *ctx, struct packet *p, struct options_walk *w)
{
	struct tcphdr *tcp = view(ctx, p->l4, struct tcphdr);

	w->p = p;
	w->next = 0;
	w->blank = w->blanked = 0;
	w->mss_at = w->sack_at = w->mp_capable_at = OPTION_NONE;
	w->sack_blocks = 0;
	if (!tcp)
		return -1;
	w->length = tcp->doff * 4 - sizeof(*tcp);
	if (!w->length)
		return 0;
	if (w->length > TCP_OPTIONS_MAX)
		return -1;
	__builtin_memset(p->options, 0, sizeof(p->options));
	if (hook_load(ctx, p->l4 + sizeof(*tcp), p->options, length_up_to(OPTIONS_ROOM, w->length)))
		return -1;
	__builtin_memcpy(p->options_seen, p->options, TCP_OPTIONS_MAX);
	bpf_loop(TCP_OPTIONS_MAX, options_step, w, 0);
	return 0;
}

/* Writes p->options back, if they changed, and the checksum with them. */
static __always_inline int options_write(hook_ctx *ctx, struct packet *p,
					 const struct options_walk *w)
{
	const __u32 *was = (const __u32 *)p->options_seen, *is = (const __u32 *)p->options;
	__u32 difference, changed = 0;

	if (!w->length)
		return 0;
#pragma unroll
	for (int i = 0; i < TCP_OPTIONS_MAX / 4; i++)
		changed |= was[i] ^ is[i];
	if (!changed)
		return 0;
	difference = bpf_csum_diff((__be32 *)p->options_seen, TCP_OPTIONS_MAX, (__be32 *)p->options,
				   TCP_OPTIONS_MAX, 0);
	if (hook_checksum_update(ctx, p->l4 + offsetof(struct tcphdr, check), 0, difference, false))
		return -1;
	return hook_overwrite(ctx, p->l4 + sizeof(struct tcphdr), p->options,
			      length_up_to(OPTIONS_ROOM, w->length));
}

/* The segments that this one's receiver will send: so many bytes shorter (RFC 9293 3.7.1). */
static __always_inline void options_mss_less(struct packet *p, const struct options_walk *w,
					     __u32 less)
{
	__u32 at = w->mss_at, mss;

	opaque(at);
	if (at > TCP_OPTIONS_MAX - TCP_OPTION_MSS_LENGTH)
		return;
	mss = p->options[at + 2] << 8 | p->options[at + 3];
	if (mss <= less)
		return;
	mss -= less;
	p->options[at + 2] = mss >> 8;
	p->options[at + 3] = mss;
}

/*
 * A SYN's: two kinds (0: none) go, and the MSS becomes smaller. XLVS_REASON_NONE, or the packet's
 * end.
 */
subprogram int options_of_syn(hook_ctx *ctx, struct packet *p, __u32 unwanted, __u32 unwanted2,
			      __u32 mss_less)
{
	struct options_walk w = { .unwanted = { unwanted, unwanted2 } };

	if (!p || options_read(ctx, p, &w))
		return XLVS_REASON_DROP_INTERNAL;
	options_mss_less(p, &w, mss_less);
	return options_write(ctx, p, &w) ? XLVS_REASON_DROP_INTERNAL : XLVS_REASON_NONE;
}

#endif
