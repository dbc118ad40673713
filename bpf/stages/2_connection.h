/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 2: the connection that a packet belongs to, and whether the packet may
 * use it. IPVS's rules for a SYN on old ports and for removed servers.
 */
#ifndef XLVS_CONNECTION_H
#define XLVS_CONNECTION_H

#include "state.h"
#include "table.h"

#define CONN_REUSE_FIN_WAIT 2 /* bit of conn_reuse_mode: also FIN_WAIT without seen replies */

static __always_inline struct xlvs_destination *connection_destination(
	const struct xlvs_connection *c)
{
	__u32 id = c->destination;

	return bpf_map_lookup_elem(&destinations, &id);
}

/* May a SYN on this connection's ports open a new one? (net.ipv4.vs.conn_reuse_mode) */
static __always_inline bool connection_reusable(__u32 word, __u32 mode)
{
	__u32 state = word & XLVS_CONNECTION_STATE;

	if (!mode)
		return false;
	if (state == XLVS_STATE_TIME_WAIT || state == XLVS_STATE_CLOSE)
		return true;
	return state == XLVS_STATE_FIN_WAIT && (mode & CONN_REUSE_FIN_WAIT) &&
	       (word & XLVS_CONNECTION_NO_OUTPUT);
}

/* Does the packet ask for a new connection although it has one? */
static __always_inline bool connection_starts_anew(const struct packet *p,
						   const struct xlvs_connection *c,
						   const struct xlvs_destination *d,
						   const struct xlvs_settings *s)
{
	if (p->protocol != IPPROTO_TCP || !(p->tcp_flags & TCP_SYN))
		return false;
	if (s->expire_nodest_conn && !d->weight)
		return true;
	return connection_reusable(READ_ONCE(c->word), s->conn_reuse_mode);
}

/* Both directions may arrive at once, on two CPUs; a third packet of the same connection
 * at the same moment would have to be on a third. */
#define CONNECTION_ADVANCE_RETRIES 4

/* Moves the state machine and restarts the timer with the new state's time-out. */
static __always_inline void connection_advance(struct packet *p, struct xlvs_connection *c,
					       const struct xlvs_settings *s)
{
	__u32 state = XLVS_STATE_UDP, word = 0;

	for (int i = 0; i < CONNECTION_ADVANCE_RETRIES; i++) {
		__u32 clear = 0;

		word = READ_ONCE(c->word);
		if (p->protocol == IPPROTO_TCP) {
			enum tcp_side side = SIDE_CLIENT;

			if (p->reply) {
				side = SIDE_SERVER;
				clear = XLVS_CONNECTION_NO_OUTPUT;
			} else if (word & XLVS_CONNECTION_NO_OUTPUT) {
				side = SIDE_CLIENT_ONLY;
			}
			state = tcp_next_state(word & XLVS_CONNECTION_STATE, p->tcp_flags, side);
		}
		if (table_set_state(c, word, state, clear))
			break;
	}
	if (state < XLVS_STATE_MAX && !(word & XLVS_CONNECTION_REPLACED))
		table_touch(c, p->now, s->timeout[state]);
}

#endif
