/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a connection enters the table. Half-open ones go first when there is no room,
 * or when there are too many of them; established ones never make room.
 */
#ifndef XLVS_TABLE_OPEN_H
#define XLVS_TABLE_OPEN_H

#include "table_end.h"

enum table_opened {
	TABLE_OPENED,
	TABLE_EXISTS,    /* another CPU's packet was first: p->c is that connection */
	TABLE_FULL,      /* established connections have every place where it could be */
	TABLE_CONTENDED, /* others kept coming between */
};

/* A lock is held for some hundred instructions, without calls that could wait. */
#define TABLE_LOCK_SPINS (1 << 16)
#define TABLE_OPEN_RETRIES 8
/* With too many half-open connections: lines that are searched for one to replace. */
#define TABLE_EVICT_LINES 4

#define PLACE_NONE 0xffffffffu

struct table_lock {
	__u32 v6, line, held;
};

static long table_lock_try(__u32 i, void *data)
{
	struct table_lock *lock = data;
	__u32 *word = lock_get(lock->v6, lock->line);

	(void)i;
	if (!word)
		return 1;
	lock->held = !__sync_val_compare_and_swap(word, 0, 1);
	return lock->held;
}

static __always_inline void table_unlock(bool v6, __u32 line)
{
	__u32 *word = lock_get(v6, line);

	if (word)
		__sync_lock_test_and_set(word, 0);
}

/* What the lines of a chain have for a new connection. */
struct open_scan {
	const struct packet *p;
	__u32 home;
	bool crowded; /* in: too many half-open connections, and this is another one */
	bool looking; /* the key may still be found */
	__u32 same_at, same_word; /* the key's own entry, usable or not */
	__u32 free_at;
	__u32 victim_at, victim_word, victim_expires; /* half-open, the nearest to its end */
	__u32 shadow_at, shadow_word; /* NAT: the server sees the same packets from it */
};

static __always_inline bool open_key_is(const struct packet *p, bool v6, const struct xlvs_entry *e,
					bool *same_client)
{
	const struct xlvs_tuple *t = &p->tuple;

	if (v6) {
		const struct xlvs_entry6 *key = (const struct xlvs_entry6 *)e;

		*same_client = key->sport == t->sport && address_equal(&key->src, &t->src);
		return *same_client && key->dport == t->dport && address_equal(&key->dst, &t->dst);
	} else {
		const struct xlvs_entry4 *key = (const struct xlvs_entry4 *)e;

		*same_client = READ_ONCE(key->src) == t->src.word[3] &&
			       READ_ONCE(key->sport) == t->sport;
		return *same_client && READ_ONCE(key->dst) == t->dst.word[3] &&
		       READ_ONCE(key->dport) == t->dport;
	}
}

static __always_inline void open_look(struct open_scan *s, const struct packet *p, bool v6,
				      const struct xlvs_entry *e, __u32 at)
{
	__u32 word = READ_ONCE(e->word), expires;
	bool same_client;

	if (!(word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED))) {
		if (s->free_at == PLACE_NONE)
			s->free_at = at;
		return;
	}
	if (word & (XLVS_CONNECTION_CLAIMED | XLVS_CONNECTION_ANSWER))
		return; /* of another first line: ours is locked */
	if (open_key_is(p, v6, e, &same_client) &&
	    !((word ^ p->c.word) & WORD_PROTOCOL)) {
		s->same_at = at;
		s->same_word = word;
		return;
	}
	if (same_client && word_method(word) == XLVS_METHOD_NAT &&
	    word_method(p->c.word) == XLVS_METHOD_NAT && !(word & XLVS_CONNECTION_SHADOWED)) {
		s->shadow_at = at;
		s->shadow_word = word;
	}
	expires = READ_ONCE(e->expires);
	if (word & XLVS_CONNECTION_HALF_OPEN &&
	    (s->victim_at == PLACE_NONE || (__s32)(s->victim_expires - expires) > 0)) {
		s->victim_at = at;
		s->victim_word = word;
		s->victim_expires = expires;
	}
}

/* Is there nothing more to learn behind this line? */
static __always_inline bool open_looked(struct open_scan *s, __u32 i, __u32 passed)
{
	if (!passed)
		s->looking = 0;
	if (s->looking || s->free_at == PLACE_NONE)
		return false;
	return !s->crowded || i + 1 >= TABLE_EVICT_LINES;
}

static long open_scan4(__u32 i, void *data)
{
	struct open_scan *s = data;
	__u32 line = s->home + i;
	struct xlvs_line4 *l = line4_get(line);

	if (!l)
		return 1;
	open_look(s, s->p, false, &l->way[0].entry, line * XLVS_WAYS4);
	open_look(s, s->p, false, &l->way[1].entry, line * XLVS_WAYS4 + 1);
	return open_looked(s, i, READ_ONCE(l->passed));
}

static long open_scan6(__u32 i, void *data)
{
	struct open_scan *s = data;
	__u32 line = s->home + i;
	struct xlvs_line6 *l = line6_get(line);

	if (!l)
		return 1;
	open_look(s, s->p, true, &l->way[0].entry, line);
	return open_looked(s, i, READ_ONCE(l->passed));
}

/* Writes a claimed place. Nobody reads it before its word is LIVE. */
static __always_inline void entry_fill(bool v6, struct xlvs_entry *e, const struct xlvs_tuple *t,
				       __u32 expires, __u32 destination, __u32 extra)
{
	WRITE_ONCE(e->expires, expires);
	WRITE_ONCE(e->destination, destination);
	WRITE_ONCE(*(__u32 *)&e->block, extra);
	if (v6) {
		struct xlvs_entry6 *key = (struct xlvs_entry6 *)e;

		key->src = t->src;
		key->dst = t->dst;
		key->sport = t->sport;
		key->dport = t->dport;
	} else {
		struct xlvs_entry4 *key = (struct xlvs_entry4 *)e;

		WRITE_ONCE(key->src, t->src.word[3]);
		WRITE_ONCE(key->dst, t->dst.word[3]);
		WRITE_ONCE(key->sport, t->sport);
		WRITE_ONCE(key->dport, t->dport);
	}
}

/*
 * FULLNAT: the entry that leads the server's answers to the connection at p->c.at.
 * Its key is the local port's, which is ours alone: no lock is needed.
 */
static __always_inline int answer_open(struct xlvs_geometry *g, struct packet *p, bool v6)
{
	const __u32 ways = v6 ? XLVS_WAYS6 : XLVS_WAYS4;
	struct xlvs_destination *d = destination_get(p->c.destination);
	struct xlvs_port_block *b;
	struct xlvs_tuple *t = &p->to; /* free until the packet is translated */
	__u32 block = extra_block(p->c.extra), home;

	b = bpf_map_lookup_elem(&port_blocks, &block);
	if (!d || !b)
		return -1;
	t->src = d->address;
	t->sport = d->port;
	t->dst = b->local;
	t->dport = extra_port(p->c.extra);
	home = place_of_answer(g, v6, &t->src, t->sport, &t->dst, t->dport);
	for (__u32 i = 0; i < XLVS_CHAIN * ways; i++) {
		__u32 at = home * ways + i, word, next;
		struct xlvs_entry *e = entry_get(v6, at);

		if (!e)
			return -1;
		word = READ_ONCE(e->word);
		if (word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED))
			continue;
		next = (word & GENERATION_MASK) + GENERATION_ONE;
		if (__sync_val_compare_and_swap(&e->word, word, next | XLVS_CONNECTION_CLAIMED) !=
		    word)
			continue;
		entry_fill(v6, e, t, p->c.at, p->c.destination, 0);
		place_pass(v6, home, at / ways, 1);
		__sync_lock_test_and_set(&e->word, next | XLVS_CONNECTION_LIVE |
							   XLVS_CONNECTION_ANSWER |
							   (p->c.word & WORD_PROTOCOL));
		return 0;
	}
	return -1;
}

static __noinline int answer_open4(struct xlvs_geometry *g, struct packet *p)
{
	return answer_open(g, p, false);
}

static __noinline int answer_open6(struct xlvs_geometry *g, struct packet *p)
{
	return answer_open(g, p, true);
}

/* NAT: two virtual addresses may lead one client port to one server port. The server
 * sees one connection then, and so do we: the newest. */
static __always_inline void open_shadow(bool v6, const struct packet *p, const struct open_scan *s)
{
	struct xlvs_entry *e = entry_get(v6, s->shadow_at);
	struct xlvs_destination *old, *new;

	if (!e)
		return;
	old = destination_get(READ_ONCE(e->destination));
	new = destination_get(p->c.destination);
	if (old && new && old->port == new->port && address_equal(&old->address, &new->address))
		__sync_val_compare_and_swap(&e->word, s->shadow_word,
					    s->shadow_word | XLVS_CONNECTION_SHADOWED);
}

/* Takes a place as the scan found it. TABLE_OPENED: p->c.at is claimed. */
static __always_inline int open_claim(struct packet *p, bool v6, const struct open_scan *s)
{
	struct xlvs_table_counts *counts = table_counts_get();
	struct xlvs_entry *e;
	__u32 word;

	if (!counts)
		return TABLE_FULL;
	if (s->same_at != PLACE_NONE) {
		e = entry_get(v6, s->same_at);
		if (!e)
			return TABLE_FULL;
		if (entry_usable(s->same_word, e, p->now))
			return entry_copy(e, s->same_word, s->same_at, &p->c) ? TABLE_EXISTS :
										TABLE_CONTENDED;
		/* Over or replaced: ends now, so that a key has one entry. */
		if (!table_end(v6, s->same_at, s->same_word, 1))
			return TABLE_CONTENDED;
		p->c.at = s->same_at;
		return TABLE_OPENED;
	}
	if (s->victim_at != PLACE_NONE && (s->crowded || s->free_at == PLACE_NONE)) {
		if (!table_end(v6, s->victim_at, s->victim_word, 1))
			return TABLE_CONTENDED;
		counts->evicted++;
		p->c.at = s->victim_at;
		return TABLE_OPENED;
	}
	if (s->free_at == PLACE_NONE) {
		counts->full++;
		return TABLE_FULL;
	}
	e = entry_get(v6, s->free_at);
	if (!e)
		return TABLE_FULL;
	word = READ_ONCE(e->word);
	if (word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED) ||
	    __sync_val_compare_and_swap(&e->word, word,
					((word & GENERATION_MASK) + GENERATION_ONE) |
						XLVS_CONNECTION_CLAIMED) != word)
		return TABLE_CONTENDED;
	p->c.at = s->free_at;
	return TABLE_OPENED;
}

/* A claimed place becomes a connection. False: its ANSWER found no place. */
static __always_inline bool open_publish(struct packet *p, struct xlvs_geometry *g, bool v6,
					 const struct open_scan *s)
{
	struct xlvs_entry *e = entry_get(v6, p->c.at);
	__u32 line = v6 ? p->c.at : p->c.at / XLVS_WAYS4, generation;

	if (!e)
		return false;
	generation = READ_ONCE(e->word) & GENERATION_MASK;
	entry_fill(v6, e, &p->tuple, p->c.expires, p->c.destination, p->c.extra);
	if (word_method(p->c.word) == XLVS_METHOD_FULLNAT &&
	    (v6 ? answer_open6(g, p) : answer_open4(g, p))) {
		__sync_lock_test_and_set(&e->word, generation);
		return false;
	}
	place_pass(v6, s->home, line, 1);
	p->c.word = (p->c.word & ~GENERATION_MASK) | generation | XLVS_CONNECTION_LIVE;
	__sync_lock_test_and_set(&e->word, p->c.word);
	if (unlikely(s->shadow_at != PLACE_NONE))
		open_shadow(v6, p, s);
	return true;
}

static __always_inline int open_try(struct packet *p, bool v6, __u32 home, __u32 crowded)
{
	struct open_scan s = {
		.p = p,
		.home = home,
		.crowded = crowded,
		.same_at = PLACE_NONE,
		.free_at = PLACE_NONE,
		.victim_at = PLACE_NONE,
		.shadow_at = PLACE_NONE,
		.looking = 1,
	};
	struct xlvs_geometry *g = geometry_get();
	int rc;

	if (!p || !g)
		return TABLE_FULL;
	bpf_loop(XLVS_CHAIN, v6 ? open_scan6 : open_scan4, &s, 0);
	rc = open_claim(p, v6, &s);
	if (rc == TABLE_OPENED && !open_publish(p, g, v6, &s)) {
		struct xlvs_table_counts *counts = table_counts_get();

		if (counts)
			counts->full++;
		return TABLE_FULL;
	}
	return rc;
}

/* One attempt, with the first line locked. */
subprogram int open_try4(struct packet *p, __u32 home, __u32 crowded)
{
	return open_try(p, false, home, crowded);
}

subprogram int open_try6(struct packet *p, __u32 home, __u32 crowded)
{
	return open_try(p, true, home, crowded);
}

static __always_inline void open_count(const struct packet *p)
{
	struct xlvs_table_counts *counts = table_counts_get();

	if (counts) {
		counts->created++;
		if (p->c.word & XLVS_CONNECTION_HALF_OPEN)
			counts->half_opened++;
	}
	table_count(p->c.destination, !(p->c.word & XLVS_CONNECTION_INACTIVE), 1);
	table_overload(p->c.destination, false);
}

/*
 * Puts the connection p->c (word, expires, destination, extra) of the client's packet
 * p->tuple into the table. enum table_opened; p->c.at is its place.
 */
static __always_inline int table_open(struct packet *p, __u32 v6)
{
	struct xlvs_geometry *g = geometry_get();
	struct table_lock lock = { .v6 = v6 };
	__u32 zero = 0, crowded;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);
	int rc = TABLE_CONTENDED;

	if (!p || !g || !t)
		return TABLE_CONTENDED;
	lock.line = place_of_client(g, v6, &p->tuple.src, p->tuple.sport);
	crowded = p->c.word & XLVS_CONNECTION_HALF_OPEN &&
		  READ_ONCE(t->half_open) >= g->half_open_max;
	if (!table_lock_try(0, &lock)) {
		bpf_loop(TABLE_LOCK_SPINS, table_lock_try, &lock, 0);
		if (!lock.held)
			return TABLE_CONTENDED;
	}
	for (int i = 0; i < TABLE_OPEN_RETRIES && rc == TABLE_CONTENDED; i++)
		rc = v6 ? open_try6(p, lock.line, crowded) : open_try4(p, lock.line, crowded);
	table_unlock(v6, lock.line);
	if (rc == TABLE_OPENED)
		open_count(p);
	return rc;
}

#endif
