/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPVS's SCTP state machine as a table, like the TCP one in state.h: what a packet's first
 * chunk does to the state. (Checked against IPVS's recorded transitions; what NONE becomes
 * with sloppy_sctp was asked of kernel 6.1.)
 */
#ifndef XLVS_STATE_SCTP_H
#define XLVS_STATE_SCTP_H

#include "packet.h"

/* Whose packets; CLIENT_ONLY: the server's are never seen. */
enum state_side { SIDE_CLIENT, SIDE_SERVER, SIDE_CLIENT_ONLY, SIDE_MAX };

#define NO 0
#define I1 XLVS_STATE_SCTP_INIT1
#define IN XLVS_STATE_SCTP_INIT
#define CS XLVS_STATE_SCTP_COOKIE_SENT
#define CR XLVS_STATE_SCTP_COOKIE_REPLIED
#define CW XLVS_STATE_SCTP_COOKIE_WAIT
#define CO XLVS_STATE_SCTP_COOKIE
#define CE XLVS_STATE_SCTP_COOKIE_ECHOED
#define ES XLVS_STATE_SCTP_ESTABLISHED
#define SS XLVS_STATE_SCTP_SHUTDOWN_SENT
#define SR XLVS_STATE_SCTP_SHUTDOWN_RECEIVED
#define SA XLVS_STATE_SCTP_SHUTDOWN_ACK_SENT
#define RJ XLVS_STATE_SCTP_REJECTED
#define CL XLVS_STATE_SCTP_CLOSED

/* Columns: NONE, then the states from INIT1 on in their order. */
constant_table __u8 sctp_transitions[SIDE_MAX][CHUNK_MAX][16] = {
	/* clang-format off */
	/*                         NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL */
	[SIDE_CLIENT] = {
		[CHUNK_DATA] = { ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_INIT] = { I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN },
		[CHUNK_INIT_ACK] = { CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_ABORT] = { CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL },
		[CHUNK_SHUTDOWN] = { SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL },
		[CHUNK_SHUTDOWN_ACK] = { CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL },
		[CHUNK_ERROR] = { CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL },
		[CHUNK_COOKIE_ECHO] = { CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_COOKIE_ACK] = { ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL },
		[CHUNK_SHUTDOWN_COMPLETE] = { CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL },
	},
	[SIDE_SERVER] = {
		[CHUNK_DATA] = { ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_INIT] = { CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW },
		[CHUNK_INIT_ACK] = { CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_ABORT] = { CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		[CHUNK_SHUTDOWN] = { SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL },
		[CHUNK_SHUTDOWN_ACK] = { SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL },
		[CHUNK_ERROR] = { CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_COOKIE_ECHO] = { CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_COOKIE_ACK] = { ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL },
		[CHUNK_SHUTDOWN_COMPLETE] = { CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
	},
	[SIDE_CLIENT_ONLY] = {
		[CHUNK_DATA] = { ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_INIT] = { I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN },
		[CHUNK_INIT_ACK] = { CE, CE, CE, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_ABORT] = { CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL },
		[CHUNK_SHUTDOWN] = { SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL },
		[CHUNK_SHUTDOWN_ACK] = { CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL },
		[CHUNK_ERROR] = { CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_COOKIE_ECHO] = { ES, ES, ES, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[CHUNK_COOKIE_ACK] = { ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL },
		[CHUNK_SHUTDOWN_COMPLETE] = { CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, CL, CL, RJ, CL },
	},
	/* clang-format on */
};

#undef NO
#undef I1
#undef IN
#undef CS
#undef CR
#undef CW
#undef CO
#undef CE
#undef ES
#undef SS
#undef SR
#undef SA
#undef RJ
#undef CL

static __always_inline __u32 sctp_next_state(__u32 state, __u8 chunk, enum state_side side)
{
	__u32 column = state ? state - XLVS_STATE_SCTP_INIT1 + 1 : 0, row = chunk;

	opaque(row); /* kernel 6.1 loses a bound over a spill */
	if (row >= CHUNK_MAX)
		return state; /* a packet without a chunk */
	return sctp_transitions[side][row][column & 15];
}

#endif
