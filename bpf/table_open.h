/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a connection enters the table. Half-open ones go first when there is no room,
 * or when there are too many of them; established ones never make room.
 */
#ifndef XLVS_TABLE_OPEN_H
#define XLVS_TABLE_OPEN_H

#include "lib/lock.h"
#include "table_end.h"

enum table_opened {
	TABLE_OPENED,
	TABLE_EXISTS,    /* another CPU's packet was first: p->c is that connection */
	TABLE_FULL,      /* established connections have every place where it could be */
	TABLE_CONTENDED, /* others kept coming between */
	TABLE_OCCUPIED,  /* open_find() only: the place is to be ended first */
};

#define TABLE_OPEN_RETRIES 8
/* With too many half-open connections: lines that are searched for an old one. */
#define TABLE_EVICT_LINES 16

/* How many half-open connections are there? */
enum table_crowd {
	CROWD_NONE,
	CROWD_MANY, /* half_open_max: those that are not young make room */
	CROWD_FULL, /* three times that: any does */
};

#define PLACE_NONE 0xffffffffu

/* Locks what connections with this first line need to begin. False: it stayed locked. */
static __always_inline bool table_lock(bool v6, __u32 line)
{
	__u32 *word = lock_get(v6, line);

	return word && lock_take(word);
}

static __always_inline void table_unlock(bool v6, __u32 line)
{
	__u32 *word = lock_get(v6, line);

	if (word)
		lock_release(word);
}

/* What the lines of a chain have for a new connection. */
struct open_scan {
	const struct packet *p;
	__u32 home;
	bool crowded;             /* in: the new one is half-open, and there are many */
	bool looking;             /* the key may still be found */
	__u32 same_at, same_word; /* the key's own entry, usable or not */
	__u32 free_at;
	__u32 victim_at, victim_word; /* half-open, the oldest */
	__s32 victim_age;             /* above 0: not young any more */
	__u32 shadow_at;              /* NAT: the server may see the same packets from it */
};

/* Where to put the connection. */
struct open_place {
	__u32 at;
	__u32 word; /* TABLE_OCCUPIED: who is there */
	__u32 shadow_at;
	__u32 evicts;  /* 1: a stranger has to go */
	__u32 free_at; /* TABLE_OCCUPIED: PLACE_NONE, or where to go instead of there */
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

/* How long a connection lives in the state that its word says. */
static __always_inline __u32 open_timeout(__u32 word)
{
	struct xlvs_settings *s = settings_get();
	__u32 state = word_state(word);

	opaque(state); /* kernel 6.1 loses a bound over a spill */
	return s && state < XLVS_STATE_MAX ? s->timeout[state] : 0;
}

static __always_inline void open_look(struct open_scan *s, const struct packet *p, bool v6,
				      const struct xlvs_entry *e, __u32 at)
{
	__u32 word = READ_ONCE(e->word);
	bool same_client, same_key, same_protocol;
	__s32 age;

	if (!(word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED))) {
		if (s->free_at == PLACE_NONE)
			s->free_at = at;
		return;
	}
	if (word & (XLVS_CONNECTION_CLAIMED | XLVS_CONNECTION_ANSWER))
		return; /* of another first line: ours is locked */
	same_key = open_key_is(p, v6, e, &same_client);
	same_protocol = !((word ^ p->c.word) & WORD_PROTOCOL);
	if (same_key && same_protocol && word_state(word) != XLVS_STATE_ABANDONED) {
		s->same_at = at;
		s->same_word = word;
		return;
	}
	if (same_client && same_protocol && word_method(word) == XLVS_METHOD_NAT &&
	    word_method(p->c.word) == XLVS_METHOD_NAT && !(word & XLVS_CONNECTION_SHADOWED)) {
		s->shadow_at = at;
	}
	if (!(word & XLVS_CONNECTION_HALF_OPEN))
		return;
	age = p->young_since + open_timeout(word) - READ_ONCE(e->expires);
	if (s->victim_at == PLACE_NONE || age > s->victim_age) {
		s->victim_at = at;
		s->victim_word = word;
		s->victim_age = age;
	}
}

/* Is there nothing more to learn behind line i? */
static __always_inline bool open_looked(struct open_scan *s, __u32 i, __u32 passed)
{
	if (!passed)
		s->looking = false;
	if (s->looking || s->free_at == PLACE_NONE)
		return false;
	return !s->crowded || (s->victim_at != PLACE_NONE && s->victim_age > 0) ||
	       i + 1 >= TABLE_EVICT_LINES;
}

/* Way by way: both of a line at once are more paths than the verifier likes. */
static long open_scan4(__u32 i, void *data)
{
	struct open_scan *s = data;
	__u32 line = s->home + i / XLVS_WAYS4, at = line * XLVS_WAYS4 + i % XLVS_WAYS4;
	struct xlvs_entry *e = entry_get(false, at);
	__u32 *passed;

	if (!e)
		return 1;
	open_look(s, s->p, false, e, at);
	if (i % XLVS_WAYS4 < XLVS_WAYS4 - 1)
		return 0;
	passed = passed_get(false, line);
	return !passed || open_looked(s, i / XLVS_WAYS4, READ_ONCE(*passed));
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

/* Takes a free place, unless another CPU does. */
static __always_inline bool open_claim(struct xlvs_entry *e)
{
	__u32 word = READ_ONCE(e->word);

	return !(word & (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED)) &&
	       __sync_val_compare_and_swap(&e->word, word,
					   ((word & GENERATION_MASK) + GENERATION_ONE) |
						   XLVS_CONNECTION_CLAIMED) == word;
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

struct answer_open {
	struct packet *p;
	__u32 home;
	__u32 line; /* out, PLACE_NONE: no room */
};

static __always_inline long answer_open_at(struct answer_open *a, bool v6, __u32 i)
{
	const __u32 ways = v6 ? XLVS_WAYS6 : XLVS_WAYS4;
	__u32 at = a->home * ways + i, generation;
	struct xlvs_entry *e = entry_get(v6, at);
	struct packet *p = a->p;

	if (!e)
		return 1;
	if (!open_claim(e))
		return 0;
	generation = READ_ONCE(e->word) & GENERATION_MASK;
	entry_fill(v6, e, &p->to, p->c.at, p->c.destination, 0);
	a->line = at / ways;
	__sync_lock_test_and_set(&e->word, generation | XLVS_CONNECTION_LIVE |
						   XLVS_CONNECTION_ANSWER |
						   (p->c.word & WORD_PROTOCOL));
	return 1;
}

static __noinline long answer_open_step4(__u32 i, void *data)
{
	return answer_open_at(data, false, i);
}

static long answer_open_step6(__u32 i, void *data)
{
	return answer_open_at(data, true, i);
}

/* The first line of the connection's ANSWER, whose tuple becomes p->to. */
static __noinline __u32 answer_home(struct packet *p, __u32 v6)
{
	struct xlvs_tuple *t = &p->to; /* free until the packet is translated */
	struct xlvs_destination *d = destination_get(p->c.destination);
	struct xlvs_geometry *g = geometry_get();
	__u32 block = extra_block(p->c.extra);
	struct xlvs_port_block *b = bpf_map_lookup_elem(&port_blocks, &block);

	if (!g || !d || !b)
		return PLACE_NONE;
	t->src = d->address;
	t->sport = destination_port(d, p->tuple.dport);
	t->dst = b->local;
	t->dport = extra_port(p->c.extra);
	return v6 ? place_of_answer(g, true, &t->src, t->sport, &t->dst, t->dport) :
		    place_of_answer(g, false, &t->src, t->sport, &t->dst, t->dport);
}

/*
 * FULLNAT: the entry that leads the server's answers to the connection at p->c.at.
 * Its key is the local port's, which is ours alone: no lock is needed.
 */
subprogram int answer_open(struct packet *p, __u32 v6)
{
	struct answer_open a;

	if (!p)
		return 0;
	a.p = p;
	a.line = PLACE_NONE;
	a.home = answer_home(p, v6);
	if (a.home == PLACE_NONE)
		return 0;
	if (v6)
		bpf_loop(XLVS_CHAIN * XLVS_WAYS6, answer_open_step6, &a, 0);
	else if (!answer_open_step4(0, &a))
		bpf_loop(XLVS_CHAIN * XLVS_WAYS4, answer_open_step4, &a, 0);
	if (a.line == PLACE_NONE)
		return 0;
	place_pass(v6, a.home, a.line, 1);
	return 1;
}

/* Decides by what the scan found. TABLE_OPENED: the place is claimed. */
static __always_inline int open_choose(struct packet *p, bool v6, const struct open_scan *s,
				       __u32 crowd, struct open_place *to)
{
	struct connection found;
	struct xlvs_entry *e;

	to->shadow_at = s->shadow_at;
	to->evicts = 0;
	to->free_at = PLACE_NONE;
	if (s->same_at != PLACE_NONE) {
		e = entry_get(v6, s->same_at);
		if (!e)
			return TABLE_FULL;
		if (entry_usable(s->same_word, e, p->now)) {
			/* Not into p->c: after a failure that still is the new connection. */
			if (!entry_copy(e, s->same_word, s->same_at, &found))
				return TABLE_CONTENDED;
			p->c = found;
			return TABLE_EXISTS;
		}
		/* Over: ends now, so that a key has one entry. */
		to->at = s->same_at;
		to->word = s->same_word;
		return TABLE_OCCUPIED;
	}
	if (s->victim_at != PLACE_NONE &&
	    (s->free_at == PLACE_NONE || crowd == CROWD_FULL || (crowd && s->victim_age > 0))) {
		to->at = s->victim_at;
		to->word = s->victim_word;
		to->evicts = 1;
		to->free_at = s->free_at; /* nearer, and chains do not grow */
		return TABLE_OCCUPIED;
	}
	to->at = s->free_at;
	e = entry_get(v6, s->free_at);
	if (s->free_at == PLACE_NONE || !e)
		return TABLE_FULL;
	return open_claim(e) ? TABLE_OPENED : TABLE_CONTENDED;
}

static __always_inline int open_find(struct packet *p, bool v6, __u32 home, __u32 crowd,
				     struct open_place *to)
{
	__u32 none = PLACE_NONE;
	struct open_scan s;

	if (!p || !to)
		return TABLE_CONTENDED;
	/* Constants would make the verifier follow each combination of them. */
	opaque(none);
	s.p = p;
	s.home = home;
	s.crowded = crowd;
	s.looking = !!none;
	s.same_at = s.same_word = s.free_at = s.shadow_at = none;
	s.victim_at = s.victim_word = s.victim_age = none;
	if (v6)
		bpf_loop(XLVS_CHAIN * XLVS_WAYS6, open_scan6, &s, 0);
	else
		bpf_loop(XLVS_CHAIN * XLVS_WAYS4, open_scan4, &s, 0);
	return open_choose(p, v6, &s, crowd, to);
}

subprogram int open_find4(struct packet *p, __u32 home, __u32 crowd, struct open_place *to)
{
	return open_find(p, false, home, crowd, to);
}

subprogram int open_find6(struct packet *p, __u32 home, __u32 crowd, struct open_place *to)
{
	return open_find(p, true, home, crowd, to);
}

/* NAT: two virtual addresses may lead one client port to one server port. The server
 * sees one connection then, and so do we: the newest. */
static __always_inline void open_shadow(bool v6, const struct packet *p, __u32 shadow_at)
{
	struct xlvs_entry *e = entry_get(v6, shadow_at);
	struct xlvs_destination *old, *new;
	__be16 vport;
	__u32 word;

	if (!e)
		return;
	word = READ_ONCE(e->word);
	vport = entry_vport(v6, e);
	old = destination_get(READ_ONCE(e->destination));
	new = destination_get(p->c.destination);
	if (word & XLVS_CONNECTION_LIVE && old &&
	    new &&destination_port(old, vport) == destination_port(new, p->tuple.dport) &&
	    address_equal(&old->address, &new->address))
		__sync_val_compare_and_swap(&e->word, word, word | XLVS_CONNECTION_SHADOWED);
}

/* The claimed place p->c.at becomes a connection. */
static __always_inline void open_publish(struct packet *p, bool v6, struct xlvs_entry *e,
					 __u32 home, struct xlvs_table_counts *counts)
{
	__u32 line = v6 ? p->c.at : p->c.at / XLVS_WAYS4;
	__u32 generation = READ_ONCE(e->word) & GENERATION_MASK;

	p->c.word = (p->c.word & ~GENERATION_MASK) | generation | XLVS_CONNECTION_LIVE;
	entry_fill(v6, e, &p->tuple, p->c.expires, p->c.destination, p->c.extra);
	place_pass(v6, home, line, 1);
	/* Before it can be ended: counts never fall below the truth. */
	table_count_connection(p->c.destination, p->c.word, false);
	__sync_lock_test_and_set(&e->word, p->c.word);
	region_expires(v6, line, p->c.expires);
	counts->created++;
	if (p->c.word & XLVS_CONNECTION_HALF_OPEN)
		counts->half_opened++;
}

static __always_inline int open_publish_found(struct packet *p, bool v6, __u32 home,
					      const struct open_place *to)
{
	struct xlvs_table_counts *counts = table_counts_get();
	struct xlvs_entry *e;

	if (!p || !to || !counts)
		return TABLE_CONTENDED;
	e = entry_get(v6, to->at);
	if (!e)
		return TABLE_CONTENDED;
	open_publish(p, v6, e, home, counts);
	if (unlikely(to->shadow_at != PLACE_NONE))
		open_shadow(v6, p, to->shadow_at);
	return TABLE_OPENED;
}

subprogram int open_publish4(struct packet *p, __u32 home, const struct open_place *to)
{
	return open_publish_found(p, false, home, to);
}

subprogram int open_publish6(struct packet *p, __u32 home, const struct open_place *to)
{
	return open_publish_found(p, true, home, to);
}

/* Frees a place that was claimed and found no use. */
static __always_inline void open_give_back(struct xlvs_entry *e)
{
	__sync_lock_test_and_set(&e->word, READ_ONCE(e->word) & GENERATION_MASK);
}

/*
 * The usual case at a third of the cost: the line that is locked has a free place, nothing
 * of the client's, and nothing behind it. False, and nothing was done: open_locked() has
 * to look.
 */
static __always_inline bool open_first4(struct packet *p, struct xlvs_line4 *l, __u32 home)
{
	struct xlvs_table_counts *counts = table_counts_get();
	struct xlvs_entry *e;
	__u32 way;

	if (!counts || READ_ONCE(l->passed))
		return false;
	for (int i = 0; i < XLVS_WAYS4; i++)
		if (READ_ONCE(l->way[i].sport) == p->tuple.sport &&
		    READ_ONCE(l->way[i].src) == p->tuple.src.word[3])
			return false;
	way = !!(READ_ONCE(l->way[0].entry.word) &
		 (XLVS_CONNECTION_LIVE | XLVS_CONNECTION_CLAIMED));
	e = way ? &l->way[1].entry : &l->way[0].entry;
	if (!open_claim(e))
		return false;
	p->c.at = home * XLVS_WAYS4 + way;
	/* Before the connection is there: nobody can end it without its ANSWER. */
	if (word_method(p->c.word) == XLVS_METHOD_FULLNAT && !answer_open(p, false)) {
		open_give_back(e);
		return false;
	}
	open_publish(p, false, e, home, counts);
	return true;
}

static __always_inline int open_plain4(struct packet *p, __u32 home)
{
	struct xlvs_line4 *l = line4_get(home);
	bool opened;

	if (!p || !l || !lock_try(&l->lock))
		return TABLE_CONTENDED;
	opened = open_first4(p, l, home);
	lock_release(&l->lock);
	return opened ? TABLE_OPENED : TABLE_CONTENDED;
}

/* With the first line locked. */
static __always_inline int open_locked(struct packet *p, __u32 v6, __u32 home, __u32 crowd)
{
	struct xlvs_table_counts *counts = table_counts_get();
	struct open_place to = {};
	struct xlvs_entry *e;
	int rc = TABLE_CONTENDED;

	if (!counts)
		return TABLE_CONTENDED;
	for (int i = 0; i < TABLE_OPEN_RETRIES && rc == TABLE_CONTENDED; i++) {
		rc = v6 ? open_find6(p, home, crowd, &to) : open_find4(p, home, crowd, &to);
		if (rc != TABLE_OCCUPIED)
			continue;
		rc = TABLE_CONTENDED;
		if (!table_end(v6, to.at, to.word, to.free_at == PLACE_NONE))
			continue;
		counts->evicted += to.evicts;
		e = entry_get(v6, to.free_at);
		if (to.free_at == PLACE_NONE) {
			rc = TABLE_OPENED;
		} else if (e && open_claim(e)) {
			to.at = to.free_at;
			rc = TABLE_OPENED;
		}
	}
	if (rc == TABLE_OPENED) {
		p->c.at = to.at;
		/* As in open_first4(). */
		if (word_method(p->c.word) != XLVS_METHOD_FULLNAT || answer_open(p, v6))
			return v6 ? open_publish6(p, home, &to) : open_publish4(p, home, &to);
		e = entry_get(v6, to.at);
		if (e)
			open_give_back(e);
		rc = TABLE_FULL;
	}
	if (rc == TABLE_FULL)
		counts->full++;
	return rc;
}

/*
 * A half-open connection whose state began before this tick has been open for long
 * enough: its client could have answered. Younger ones are spared, or a flood would end
 * honest connections between SYN and ACK. A lost SYN/ACK is sent again after a second
 * (RFC 6298 2.1): one, and an eighth.
 */
static __always_inline void open_old(struct packet *p, const struct xlvs_geometry *g)
{
	p->young_since = p->now - g->hz - g->hz / 8;
}

/*
 * Puts the connection p->c (word, expires, destination, extra) of the client's packet
 * p->tuple into the table. enum table_opened; p->c.at is its place.
 */
static __always_inline int table_open(struct packet *p, __u32 v6)
{
	struct xlvs_geometry *g = geometry_get();
	__u32 zero = 0, crowd = CROWD_NONE, line, half_open;
	struct xlvs_table *t = bpf_map_lookup_elem(&table, &zero);
	int rc;

	if (!g || !t)
		return TABLE_CONTENDED;
	line = place_of_client(g, v6, &p->tuple.src, p->tuple.sport);
	half_open = READ_ONCE(t->half_open);
	if (half_open >= g->half_open_max && p->c.word & XLVS_CONNECTION_HALF_OPEN)
		crowd = half_open >= 3 * g->half_open_max ? CROWD_FULL : CROWD_MANY;
	if (!v6 && !crowd && likely(open_plain4(p, line) == TABLE_OPENED))
		return TABLE_OPENED;
	open_old(p, g);
	if (!table_lock(v6, line))
		return TABLE_CONTENDED;
	rc = open_locked(p, v6, line, crowd);
	table_unlock(v6, line);
	return rc;
}

#endif
