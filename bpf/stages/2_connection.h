/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 2: the connection that a packet belongs to, and whether the packet may
 * use it. IPVS's rules for a SYN on old ports and for removed servers.
 */
#ifndef XLVS_CONNECTION_H
#define XLVS_CONNECTION_H

#include "persistence.h"
#include "state.h"
#include "sync_tell.h"
#include "syn_load.h"
#include "timeout.h"
#include "table.h"

#define CONN_REUSE_FIN_WAIT 2 /* bit of conn_reuse_mode: also FIN_WAIT without seen replies */

/* May a SYN or INIT on this connection's ports open a new one? (net.ipv4.vs.conn_reuse_mode) */
static __always_inline bool connection_reusable(__u32 word, __u32 mode)
{
	__u32 state = word_state(word);

	if (!mode)
		return false;
	if (state == XLVS_STATE_TIME_WAIT || state == XLVS_STATE_CLOSE ||
	    state == XLVS_STATE_SCTP_CLOSED)
		return true;
	return state == XLVS_STATE_FIN_WAIT && (mode & CONN_REUSE_FIN_WAIT) &&
	       (word & XLVS_CONNECTION_NO_OUTPUT);
}

/* Does the packet ask for a new connection although it has one? */
static __always_inline bool connection_starts_anew(const struct packet *p,
						   const struct xlvs_destination *d,
						   const struct xlvs_settings *s)
{
	if (!state_has_machine(p->protocol) || !(p->tcp_flags & TCP_SYN) ||
	    p->c.word & XLVS_CONNECTION_CONTROLLED)
		return false; /* IPVS: a template's client keeps its server */
	if (s->expire_nodest_conn && !d->weight)
		return true;
	return connection_reusable(p->c.word, s->conn_reuse_mode);
}

/* Both directions may arrive at once, on two CPUs; a third packet of the same connection
 * at the same moment would have to be on a third. */
#define CONNECTION_ADVANCE_RETRIES 4

/* What the packet does to a connection with this word: its state, and what it proves. */
static __always_inline __u32 connection_step(const struct packet *p, const struct xlvs_settings *s,
					     __u32 word, __u32 *clear)
{
	enum state_side side = SIDE_CLIENT;

	*clear = 0;
	if (unlikely(p->fragment == FRAGMENT_LATER))
		return word_state(word); /* its first fragment said all */
	if (!state_has_machine(p->protocol)) {
		*clear = XLVS_CONNECTION_HALF_OPEN; /* a second packet: there is a client */
		if (p->reply)
			*clear |= XLVS_CONNECTION_NO_OUTPUT;
		return XLVS_STATE_UDP;
	}
	if (p->reply) {
		side = SIDE_SERVER;
		*clear = XLVS_CONNECTION_NO_OUTPUT;
	} else {
		if (word & XLVS_CONNECTION_NO_OUTPUT)
			side = SIDE_CLIENT_ONLY;
		if (!(p->tcp_flags & TCP_SYN))
			*clear = XLVS_CONNECTION_HALF_OPEN;
	}
	return state_next(p, word_state(word), side, s);
}

/* Moves the state machine and restarts the timer with the new state's time-out. */
subprogram int connection_advance(struct packet *p, const struct xlvs_settings *s)
{
	__u32 state = XLVS_STATE_UDP, word, clear = 0;
	struct xlvs_entry *e;

	if (!p || !s)
		return 0;
	word = p->c.word;
	e = table_entry(p);
	if (!e)
		return 0;
	for (int i = 0; i < CONNECTION_ADVANCE_RETRIES; i++) {
		state = connection_step(p, s, word, &clear);
		if (likely(table_set_state(e, p->c.destination, word, state, clear)))
			break;
		word = READ_ONCE(e->word);
		if (!word_same(word, p->c.word))
			return 0; /* ended meanwhile, and perhaps another's now */
	}
	if (unlikely(s->syn_proxies) && word & clear & XLVS_CONNECTION_HALF_OPEN)
		syn_load_proved(p);
	table_touch(p, e, connection_timeout(p, s, state));
	if (unlikely(p->c.word & XLVS_CONNECTION_CONTROLLED) &&
	    (state == XLVS_STATE_UDP ? p->reply : state_is_established(state)) &&
	    (word_state(word) != state || word & clear))
		persistence_assure(p);
	if (unlikely(s->sync) && (word_state(word) != state || word & clear))
		sync_tell(p);
	return 0;
}

#endif
