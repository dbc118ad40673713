/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Call-ID of a SIP message in a datagram (RFC 3261 20.8, `i` in the compact form 7.3.3),
 * by which --pe sip knows a call. It is read as the kernel's SIP helper reads it: lines end
 * in CR, LF or both, a value may be continued on the next line, and word "@" word is all
 * that counts of it, with a line's end right behind it.
 */
#ifndef XLVS_CALL_ID_H
#define XLVS_CALL_ID_H

#include "maps.h"
#include "packet.h"
#include "scratch.h"

#define CALL_ID_SCAN_MAX 8192 /* bytes of a message that are searched */

/* Where the reader stands. */
enum call_id_at {
	CALL_ID_LINE,     /* somewhere in a line that is of no interest */
	CALL_ID_CR,       /* behind CR */
	CALL_ID_BEGIN,    /* at the first byte of a line */
	CALL_ID_NAME,     /* in what may be "Call-ID" */
	CALL_ID_COMPACT,  /* behind an "i" at the beginning */
	CALL_ID_COLON,    /* behind the name: a colon must come */
	CALL_ID_COLON_CR, /* the same, behind CR */
	CALL_ID_COLON_FOLD,
	CALL_ID_BLANK, /* behind the colon */
	CALL_ID_BLANK_CR,
	CALL_ID_BLANK_FOLD,
	CALL_ID_WORD, /* in the value */
	CALL_ID_HOST, /* in the value, behind "@" */
	CALL_ID_FOUND,
	CALL_ID_WRONG, /* there is one, and it is not right */
};

/* The reader, and what it has read. */
struct call_id_reader {
	struct xlvs_call_id id;
	__u64 hash;
	__u64 secret;
	__u32 offset;
	__u32 end;
	__u32 at; /* enum call_id_at */
	__u32 matched;
	__u32 word; /* bytes of the present word */
	__u32 pad;
};

struct call_id_loop {
	hook_ctx *ctx;
	struct call_id_reader *r;
};

/* RFC 3261 25.1: the characters of `word`, a bit for each. */
constant_table __u32 call_id_words[8] = {
	0x00000000, 0xd7ffefa6, 0xbffffffe, 0x6fffffff,
	0x00000000, 0x00000000, 0x00000000, 0x00000000,
};

static __always_inline bool call_id_is_word(__u8 c)
{
	return call_id_words[c >> 5] >> (c & 31) & 1;
}

static __always_inline bool call_id_is_blank(__u8 c)
{
	return c == ' ' || c == '\t';
}

static __always_inline __u8 call_id_lower(__u8 c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static __always_inline void call_id_take(struct call_id_reader *r, __u8 c)
{
	__u32 n = r->id.length;

	opaque(n);
	if (n >= XLVS_CALL_ID_MAX) {
		r->at = CALL_ID_WRONG;
		return;
	}
	r->id.text[n] = c;
	r->id.length = n + 1;
	r->hash = (r->hash ^ c) * r->secret;
	r->hash ^= r->hash >> 29;
	r->word++;
}

constant_table char call_id_name[] = "call-id";

/* Between lines and in the names of headers. */
static __always_inline void call_id_outside(struct call_id_reader *r, __u8 c)
{
	if (r->at == CALL_ID_CR) {
		r->at = CALL_ID_BEGIN;
		if (c == '\n')
			return;
	}
	if (r->at == CALL_ID_BEGIN) {
		if (call_id_lower(c) == 'i') {
			r->at = CALL_ID_COMPACT;
			return;
		}
		/* The kernel's helper takes no line's end for the first character of a line. */
		r->at = call_id_lower(c) == 'c' ? CALL_ID_NAME : CALL_ID_LINE;
		r->matched = 1;
		return;
	}
	if (r->at == CALL_ID_NAME) {
		__u32 n = r->matched & 7;

		if (call_id_lower(c) == (__u8)call_id_name[n]) {
			r->matched++;
			if (r->matched == sizeof(call_id_name) - 1)
				r->at = CALL_ID_COLON;
		} else {
			r->at = CALL_ID_LINE;
		}
	}
	if (r->at == CALL_ID_LINE) {
		if (c == '\r')
			r->at = CALL_ID_CR;
		else if (c == '\n')
			r->at = CALL_ID_BEGIN;
	}
}

/*
 * Blanks, of which a line's end followed by more blanks is one. `at` is the state before
 * any line's end; the next two are behind CR and behind the whole end. False: c is more.
 */
static __always_inline bool call_id_blank(struct call_id_reader *r, enum call_id_at at, __u8 c)
{
	if (r->at == at) {
		if (call_id_is_blank(c))
			return true;
		if (c == '\r' || c == '\n') {
			r->at = c == '\r' ? at + 1 : at + 2;
			return true;
		}
		return false;
	}
	if (r->at == at + 1 && c == '\n') {
		r->at = at + 2;
		return true;
	}
	/* Behind a line's end only a continuation may come. */
	r->at = call_id_is_blank(c) ? at : CALL_ID_WRONG;
	return true;
}

static __always_inline void call_id_value(struct call_id_reader *r, __u8 c)
{
	if (call_id_is_word(c)) {
		call_id_take(r, c);
		return;
	}
	if (r->at == CALL_ID_WORD && c == '@' && r->word) {
		call_id_take(r, c);
		r->word = 0;
		if (r->at == CALL_ID_WORD)
			r->at = CALL_ID_HOST;
		return;
	}
	r->at = r->word && (c == '\r' || c == '\n') ? CALL_ID_FOUND : CALL_ID_WRONG;
}

static long call_id_step(__u32 i, void *data)
{
	struct call_id_loop *loop = data;
	struct call_id_reader *r = loop->r;
	__u32 offset = r->offset + i;
	__u8 c = 0;

	if (offset >= r->end || hook_load(loop->ctx, offset, &c, 1))
		return 1;
	if (r->at == CALL_ID_COMPACT)
		r->at = call_id_lower(c) < 'a' || call_id_lower(c) > 'z' ? CALL_ID_COLON :
									   CALL_ID_LINE;
	if (r->at < CALL_ID_COLON) {
		call_id_outside(r, c);
		return 0;
	}
	if (r->at < CALL_ID_BLANK) {
		if (call_id_blank(r, CALL_ID_COLON, c))
			return r->at == CALL_ID_WRONG;
		r->at = c == ':' ? CALL_ID_BLANK : CALL_ID_WRONG;
		return r->at == CALL_ID_WRONG;
	}
	if (r->at < CALL_ID_WORD) {
		if (call_id_blank(r, CALL_ID_BLANK, c))
			return r->at == CALL_ID_WRONG;
		r->at = CALL_ID_WORD;
	}
	call_id_value(r, c);
	return r->at >= CALL_ID_FOUND;
}

/* The hash of the datagram's Call-ID, never 0; or 0: there is none. */
static __noinline __u64 call_id_read(hook_ctx *ctx, const struct packet *p)
{
	struct xlvs_geometry *g = geometry_get();
	struct call_id_loop loop = { .ctx = ctx };
	struct call_id_reader *r = scratch_as(struct call_id_reader, SCRATCH_CALL_ID);

	if (!g || !r || p->protocol != IPPROTO_UDP)
		return 0;
	loop.r = r;
	r->id.length = 0;
	r->hash = g->secret[0];
	r->secret = g->secret[1];
	r->offset = p->l4 + sizeof(struct udphdr);
	r->end = p->l3 + p->length;
	r->at = CALL_ID_LINE;
	r->word = 0;
	bpf_loop(CALL_ID_SCAN_MAX, call_id_step, &loop, 0);
	return r->at == CALL_ID_FOUND ? r->hash | 1ULL << 63 : 0;
}

/* Keeps the text that was read last for the template's listing. */
static __noinline void call_id_keep(struct xlvs_tenant tenant)
{
	struct call_id_reader *r = scratch_as(struct call_id_reader, SCRATCH_CALL_ID);

	if (r)
		bpf_map_update_elem(&call_ids, &tenant, &r->id, BPF_ANY);
}

#endif
