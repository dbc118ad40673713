/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one signature of a scheduler: it walks a service's list (newest server
 * first, as IPVS does) and returns the chosen position, or -1, and the cursor
 * word to store. It reads shared counters and writes nothing; schedule() stores
 * the word by compare-and-swap and asks again if another packet came between.
 */
#ifndef XLVS_SCHEDULER_H
#define XLVS_SCHEDULER_H

#include "maps.h"
#include "portless.h"
#include "scratch.h"

struct schedule_walk {
	struct xlvs_server_list list;
	/* What each kind needs shares its place: the stack is short. */
	union {
		struct {              /* rr, wrr */
			__u32 cursor; /* position of the last choice, XLVS_CURSOR_HEAD: none */
			__u32 weight; /* wrr: current weight */
			__u32 at;
			__u32 passes; /* wrr: enum wrr_passes */
			__u32 best;   /* wrr: greatest weight of this pass, below the current */
		};
		struct {             /* mh, sh, dh */
			__u32 key;   /* an address folded, and perhaps a port */
			__u32 flags; /* enum xlvs_service_flags */
			__u32 first;
		};
		struct { /* twos: see there */
			__s64 ticket;
			__s64 ticket2;
			__u64 overhead2;
			__s32 weight2;
			__u32 destination2;
		};
	};
	__u64 overhead; /* of the one chosen so far */
	__s32 chosen_weight;
	/* out */
	__s32 chosen;
	__u32 destination;
};

/* The walk that is under way. */
static __always_inline struct schedule_walk *schedule_walk(void)
{
	return scratch_as(struct schedule_walk, SCRATCH_SCHEDULE);
}

/* Loops are given the address of the pointer to the walk: what they get has to be the stack's. */
static __always_inline struct schedule_walk *walk_of(void *data)
{
	return *(struct schedule_walk **)data;
}

#define WORD_GENERATION(w) ((__u32)((w) >> 48))
#define WORD_CURSOR(w) ((__u32)((w) >> 32) & 0xffff)
#define WORD_WEIGHT(w) ((__u32)(w))
#define WORD(generation, cursor, weight) \
	(((__u64)((generation)&0xffff) << 48) | ((__u64)((cursor)&0xffff) << 32) | (__u32)(weight))

/* The destination at a position of the list, and its id. */
static __always_inline struct xlvs_destination *walk_at(struct schedule_walk *w, __u32 position,
							__u32 *id)
{
	__u32 index = w->list.base + position;
	__u32 *entry = bpf_map_lookup_elem(&service_destinations, &index);

	if (!entry)
		return NULL;
	*id = *entry;
	note(LOOK, *id, position, 0);
	return bpf_map_lookup_elem(&destinations, id);
}

/*
 * Over its upper threshold, and not yet back under the lower one (table_end.h sets it), or
 * without a local port for FULLNAT?
 */
static __always_inline bool destination_overloaded(const struct xlvs_destination *d, __u32 id)
{
	struct xlvs_destination_load *load;

	if (!(d->upper_threshold | d->port_row))
		return false;
	load = bpf_map_lookup_elem(&destination_load, &id);
	if (!load)
		return false;
	return (d->upper_threshold && READ_ONCE(load->overloaded) == d->overload_epoch + 1) ||
	       portless(READ_ONCE(load->portless_until));
}

/* IPVS's test before any rule: a weight, and not overloaded. */
static __always_inline bool destination_fit(const struct xlvs_destination *d, __u32 id)
{
	return d->weight > 0 && !destination_overloaded(d, id);
}

static __always_inline __u32 destination_active(__u32 id)
{
	struct xlvs_destination_load *load = bpf_map_lookup_elem(&destination_load, &id);

	return load ? READ_ONCE(load->active) : 0;
}

static __always_inline __u64 destination_overhead(__u32 id)
{
	struct xlvs_destination_load *load = bpf_map_lookup_elem(&destination_load, &id);

	if (!load)
		return 0;
	/* IPVS: an active connection weighs as much as 256 inactive ones. */
	return ((__u64)READ_ONCE(load->active) << 8) + READ_ONCE(load->inactive);
}

/* The destination at a position of the list and its id, or null if it is not fit. */
static __always_inline struct xlvs_destination *walk_fit(struct schedule_walk *w, __u32 position,
							 __u32 *id)
{
	struct xlvs_destination *d = walk_at(w, position, id);

	return d && destination_fit(d, *id) ? d : NULL;
}

/* Begins behind the last choice: for schedulers that go round. */
static __always_inline void walk_from_cursor(struct schedule_walk *w)
{
	w->at = w->cursor == XLVS_CURSOR_HEAD ? 0 : w->cursor + 1;
}

/* Chooses, for now, the destination at a position. */
static __always_inline void walk_choose(struct schedule_walk *w, __u32 position, __u32 id)
{
	note(CHOOSE, id, position, 0);
	w->chosen = position;
	w->destination = id;
}

/* The same if it has less overhead per weight than the one chosen so far. */
static __always_inline void walk_prefer(struct schedule_walk *w, __u32 position, __u32 id,
					__u64 overhead, __s32 weight)
{
	note(COMPARE, id, overhead, (__u32)weight);
	/* overhead / weight < w->overhead / w->chosen_weight */
	if (w->chosen >= 0 && overhead * (__u32)w->chosen_weight >= w->overhead * (__u32)weight)
		return;
	walk_choose(w, position, id);
	w->overhead = overhead;
	w->chosen_weight = weight;
}

#endif
