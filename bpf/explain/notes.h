/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an explained packet leaves in writing on its way: the numbers that were compared,
 * and what was found. note() is nothing in the programs that packets meet (lib/base.h).
 * Include before everything else.
 */
#ifndef XLVS_NOTES_H
#define XLVS_NOTES_H

#define note(kind, id, a, b) note_down(XLVS_NOTE_##kind, id, a, b)

#include "lib/base.h"

/* What `id`, `a` and `b` of a note are. */
enum xlvs_note_kind {
	XLVS_NOTE_MARK,      /* the mark by the rules; what the packet brought; - */
	XLVS_NOTE_SERVICE,   /* service; -; - */
	XLVS_NOTE_KNOWN,     /* destination; word; expires */
	XLVS_NOTE_TEMPLATE,  /* enum xlvs_note_template; destination; place */
	XLVS_NOTE_SCHEDULE,  /* service; the schedule's word; number of servers */
	XLVS_NOTE_LOOK,      /* destination; position in the list; - */
	XLVS_NOTE_COMPARE,   /* destination; overhead; weight */
	XLVS_NOTE_CHOOSE,    /* destination; position in the list or slot; - */
	XLVS_NOTE_SLOT,      /* destination; slot; number of slots */
	XLVS_NOTE_TICKETS,   /* -; the first draw; the second */
	XLVS_NOTE_STATELESS, /* destination; the slot's previous one; changed_at */
	XLVS_NOTE_LOCALITY,  /* destination; is the virtual address known?; servers of its set */
	XLVS_NOTE_MAX,
};

enum xlvs_note_template {
	XLVS_NOTE_TEMPLATE_NONE,
	XLVS_NOTE_TEMPLATE_OVER,      /* its time is over, and nothing lives under it */
	XLVS_NOTE_TEMPLATE_ABANDONED, /* its server takes no more connections */
	XLVS_NOTE_TEMPLATE_FOUND,
};

struct xlvs_note {
	enum xlvs_note_kind kind;
	__u32 id;
	__u64 a;
	__u64 b;
};

/* How many of one kind are kept; all are counted. A choice is always kept: the last one. */
#define NOTES_OF_A_KIND 64

struct xlvs_notes {
	__u32 total[XLVS_NOTE_MAX];
	enum xlvs_note_template unused; /* keeps the enum in BTF */
	struct xlvs_note note[XLVS_NOTE_MAX * NOTES_OF_A_KIND];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xlvs_notes);
} notes SEC(".maps");

/* Neither a frame of its own, of which the verifier allows eight, nor a key on the stack. */
static const __u32 note_key;

static __always_inline void note_down(__u32 kind, __u32 id, __u64 a, __u64 b)
{
	struct xlvs_notes *n = bpf_map_lookup_elem(&notes, &note_key);
	__u32 nth;

	opaque(kind);
	if (!n || kind >= XLVS_NOTE_MAX)
		return;
	nth = n->total[kind]++;
	if (kind == XLVS_NOTE_CHOOSE)
		nth = 0;
	nth += kind * NOTES_OF_A_KIND;
	opaque(nth);
	if (nth >= (kind + 1) * NOTES_OF_A_KIND || nth >= XLVS_NOTE_MAX * NOTES_OF_A_KIND)
		return;
	n->note[nth] = (struct xlvs_note){ .kind = kind, .id = id, .a = a, .b = b };
}

#endif
