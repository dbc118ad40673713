/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state of a connection and what a packet does to it. Here IPVS's TCP state machine
 * as a table. Three halves: the client's packets when both sides are seen (NAT), the
 * server's, and the client's when the server's are never seen (DR, TUN). And all that
 * once more for net.ipv4.vs.secure_tcp, under which a client alone establishes nothing.
 *
 * RST wins over SYN, SYN over FIN, FIN over ACK; a packet with none of the four
 * closes. (net/netfilter/ipvs's rules, checked against its recorded transitions.)
 */
#ifndef XLVS_STATE_H
#define XLVS_STATE_H

#include "state_sctp.h"

enum tcp_event { EVENT_SYN, EVENT_FIN, EVENT_ACK, EVENT_RST, EVENT_MAX };
enum tcp_rules { RULES_USUAL, RULES_SECURE, RULES_MAX };

#define NO XLVS_STATE_NONE
#define ES XLVS_STATE_ESTABLISHED
#define SS XLVS_STATE_SYN_SENT
#define SR XLVS_STATE_SYN_RECV
#define FW XLVS_STATE_FIN_WAIT
#define TW XLVS_STATE_TIME_WAIT
#define CL XLVS_STATE_CLOSE
#define CW XLVS_STATE_CLOSE_WAIT
#define LA XLVS_STATE_LAST_ACK
#define LI XLVS_STATE_LISTEN
#define SA XLVS_STATE_SYNACK

constant_table __u8 tcp_transitions[RULES_MAX][SIDE_MAX][EVENT_MAX][16] = {
	/* clang-format off */
	/*                        NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
	[RULES_USUAL] = {
	[SIDE_CLIENT] = {
		[EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[EVENT_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR },
	},
	[SIDE_SERVER] = {
		[EVENT_SYN] = { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
		[EVENT_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[EVENT_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
	},
	[SIDE_CLIENT_ONLY] = {
		[EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[EVENT_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
	},
	[RULES_SECURE] = {
	[SIDE_CLIENT] = {
		[EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA },
		[EVENT_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA },
		[EVENT_ACK] = { ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
	[SIDE_SERVER] = {
		[EVENT_SYN] = { SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA },
		[EVENT_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[EVENT_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
	},
	[SIDE_CLIENT_ONLY] = {
		[EVENT_SYN] = { SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA },
		[EVENT_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
		[EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
	},
	/* clang-format on */
};

#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
#undef SA

static __always_inline __u32 tcp_next_state(__u32 state, __u8 flags, enum state_side side,
					    bool secure)
{
	enum tcp_event event;

	if (unlikely(state >= XLVS_STATE_RESET))
		return state;
	if (flags & TCP_RST)
		event = EVENT_RST;
	else if (flags & TCP_SYN)
		event = EVENT_SYN;
	else if (flags & TCP_FIN)
		event = EVENT_FIN;
	else if (flags & TCP_ACK)
		event = EVENT_ACK;
	else
		return XLVS_STATE_CLOSE;
	return tcp_transitions[secure][side][event][state & 15];
}

/* Do packets of this protocol open, carry and close a connection? */
static __always_inline bool state_has_machine(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
}

static __always_inline __u32 state_next(const struct packet *p, __u32 state, enum state_side side,
					const struct xlvs_settings *s)
{
	if (p->protocol == IPPROTO_TCP)
		return tcp_next_state(state, p->tcp_flags, side, s->secure_tcp != 0);
	if (p->protocol == IPPROTO_SCTP)
		return sctp_next_state(state, p->sctp_chunk, side);
	return XLVS_STATE_UDP;
}

/* The state of the connection that this packet opens; `seen`: the server's will be seen. */
static __always_inline __u32 state_first(const struct packet *p, bool seen,
					 const struct xlvs_settings *s)
{
	return state_next(p, XLVS_STATE_NONE, seen ? SIDE_CLIENT : SIDE_CLIENT_ONLY, s);
}

/*
 * Has the client still to prove itself? With sloppy_tcp and sloppy_sctp a connection may
 * begin in the middle: that proves as much as anything.
 */
static __always_inline bool state_half_open(const struct packet *p)
{
	return !state_has_machine(p->protocol) || p->tcp_flags & TCP_SYN;
}

#endif
