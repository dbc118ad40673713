/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPVS's TCP state machine as a table: what a packet of one side does to the
 * state. Three halves: the client's packets when both sides are seen (NAT), the
 * server's, and the client's when the server's are never seen (DR, TUN).
 *
 * RST wins over SYN, SYN over FIN, FIN over ACK; a packet with none of the four
 * closes. (net/netfilter/ipvs's rules, checked against its recorded transitions.)
 */
#ifndef XLVS_STATE_H
#define XLVS_STATE_H

#include "packet.h"

enum tcp_event { EVENT_SYN, EVENT_FIN, EVENT_ACK, EVENT_RST, EVENT_MAX };
enum tcp_side { SIDE_CLIENT, SIDE_SERVER, SIDE_CLIENT_ONLY, SIDE_MAX };

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

static const __u8 tcp_transitions[SIDE_MAX][EVENT_MAX][16] = {
	/*                        NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
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

static __always_inline __u32 tcp_next_state(__u32 state, __u8 flags, enum tcp_side side)
{
	enum tcp_event event;

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
	return tcp_transitions[side][event][state & 15];
}

#endif
