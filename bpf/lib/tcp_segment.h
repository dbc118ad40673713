/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP header as it came and as it is to be, with its options found (RFC 9293 3.1, RFC 7323,
 * RFC 2018). Options stand where their sender likes, so they are walked; a plain loop over
 * them exceeds what the verifier follows.
 */
#ifndef XLVS_TCP_SEGMENT_H
#define XLVS_TCP_SEGMENT_H

#include "hook_common.h"
#include "lib/tcp_option.h"
#include "packet.h"

#define TCP_HEADER_MAX 60
#define TCP_SCALE_MAX 14
#define TCP_NO_SCALE 0xff

/* What is behind the header lets an option that begins within it be read without another test. */
struct tcp_header {
	struct tcphdr tcp;
	__u8 options[TCP_HEADER_MAX - sizeof(struct tcphdr) + 40];
};

/* A header's length in a way that kernel 6.1's verifier follows: it forgets a test over a spill. */
#define tcp_header_length(n)                            \
	({                                              \
		__u64 n_ = (n) - sizeof(struct tcphdr); \
		opaque(n_);                             \
		n_ &= 63;                               \
		n_ + sizeof(struct tcphdr);             \
	})

struct tcp_segment {
	struct tcp_header was;
	struct tcp_header is;
	__u32 length; /* of the header */
	__u32 at;     /* within the options */
	__u16 mss;    /* 0: not said */
	__u8 scale;   /* TCP_NO_SCALE: not said */
	__u8 sack_permitted;
	__u8 stamps_at; /* offset within the options, plus 1; 0: there are none */
	__u8 sack_at;
	__u8 sack_blocks;
	__u8 pad;
};

static __always_inline struct tcp_segment *segment_get(void)
{
	return scratch_as(struct tcp_segment, SCRATCH_SEGMENT);
}

/* The option at s->at; 1: the last one was seen, or what is there is none. */
static __noinline long segment_option(__u32 i, void *data)
{
	struct tcp_segment *s = segment_get();
	__u32 at, left;
	__u8 length;

	(void)i;
	(void)data;
	if (!s)
		return 1;
	at = s->at;
	opaque(at);
	if (at >= TCP_HEADER_MAX - sizeof(struct tcphdr) ||
	    at + sizeof(struct tcphdr) >= s->length || s->was.options[at] == TCP_OPTION_END)
		return 1;
	if (s->was.options[at] == TCP_OPTION_NOP) {
		s->at = at + 1;
		return 0;
	}
	left = s->length - sizeof(struct tcphdr) - at;
	length = s->was.options[at + 1];
	if (left < 2 || length < 2 || length > left)
		return 1;
	s->at = at + length;
	switch (s->was.options[at]) {
	case TCP_OPTION_MSS:
		if (length == TCP_OPTION_MSS_LENGTH)
			s->mss = s->was.options[at + 2] << 8 | s->was.options[at + 3];
		break;
	case TCP_OPTION_SCALE:
		if (length == TCP_OPTION_SCALE_LENGTH)
			s->scale = s->was.options[at + 2] > TCP_SCALE_MAX ? TCP_SCALE_MAX :
									    s->was.options[at + 2];
		break;
	case TCP_OPTION_SACK_PERMITTED:
		s->sack_permitted = 1;
		break;
	case TCP_OPTION_SACK:
		s->sack_at = at + 1;
		s->sack_blocks = (length - 2) / TCP_OPTION_SACK_BLOCK;
		break;
	case TCP_OPTION_STAMPS:
		if (length == TCP_OPTION_STAMPS_LENGTH)
			s->stamps_at = at + 1;
		break;
	}
	return 0;
}

/*
 * Linux's SYN: MSS, SACK, time stamps, a NOP, the window's scale. Of a flood each is of this kind,
 * and the walk would be a tenth of what its answer costs. False: the options stand otherwise.
 */
static __always_inline bool segment_of_linux(struct tcp_segment *s)
{
	const __be32 *word = (const __be32 *)s->was.options;
	__u32 mss = bpf_ntohl(word[0]), scale = bpf_ntohl(word[4]);

	if (mss >> 16 != (TCP_OPTION_MSS << 8 | TCP_OPTION_MSS_LENGTH) ||
	    word[1] != TCP_STAMPS_SACK ||
	    scale >> 8 != (TCP_OPTION_NOP << 16 | TCP_OPTION_SCALE << 8 | TCP_OPTION_SCALE_LENGTH))
		return false;
	s->mss = mss;
	s->sack_permitted = 1;
	s->stamps_at = 4 + 2 + 1;
	s->scale = (scale & 0xff) > TCP_SCALE_MAX ? TCP_SCALE_MAX : scale & 0xff;
	return true;
}

/* Reads the packet's TCP header and finds its options. Null: the packet cannot be read. */
static __noinline struct tcp_segment *segment_read(hook_ctx *ctx, const struct packet *p)
{
	struct tcp_segment *s = segment_get();
	struct tcphdr *tcp = view(ctx, p->l4, struct tcphdr);
	__u32 length, unused = 0;

	if (!s || !tcp)
		return NULL;
	length = tcp->doff * 4;
	opaque(length);
	if (length < sizeof(struct tcphdr) || length > TCP_HEADER_MAX ||
	    hook_load(ctx, p->l4, &s->was, tcp_header_length(length)))
		return NULL;
	s->length = length;
	s->at = s->mss = 0;
	s->scale = TCP_NO_SCALE;
	s->sack_permitted = s->sack_blocks = s->stamps_at = 0;
	if (length == sizeof(struct tcphdr))
		return s;
	if (length == sizeof(struct tcphdr) + TCP_STAMPS_ALIGNED_LENGTH &&
	    *(__be32 *)s->was.options == TCP_STAMPS_ALIGNED) {
		s->stamps_at = 2 + 1;
		return s;
	}
	if (length == sizeof(struct tcphdr) + 20 && segment_of_linux(s))
		return s;
	bpf_loop(TCP_HEADER_MAX - sizeof(struct tcphdr), segment_option, &unused, 0);
	return s;
}

/* A number of four bytes at an offset of the options; those of time stamps are often odd ones. */
static __always_inline __u32 option_number(const struct tcp_header *h, __u64 at)
{
	opaque(at);
	at &= 63;
	return (__u32)h->options[at] << 24 | h->options[at + 1] << 16 | h->options[at + 2] << 8 |
	       h->options[at + 3];
}

static __always_inline void option_set_number(struct tcp_header *h, __u64 at, __u32 number)
{
	opaque(at);
	at &= 63;
	h->options[at] = number >> 24;
	h->options[at + 1] = number >> 16;
	h->options[at + 2] = number >> 8;
	h->options[at + 3] = number;
}

/* Its sender's time stamp, and the one that it sends back. */
static __always_inline __u32 segment_stamp(const struct tcp_segment *s)
{
	return s->stamps_at ? option_number(&s->was, s->stamps_at - 1 + 2) : 0;
}

static __always_inline __u32 segment_echo(const struct tcp_segment *s)
{
	return s->stamps_at ? option_number(&s->was, s->stamps_at - 1 + 6) : 0;
}

#endif
