/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kinds of TCP's options and their lengths, with the two bytes in front. */
#ifndef XLVS_TCP_OPTION_H
#define XLVS_TCP_OPTION_H

/* RFC 9293 3.1 */
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define TCP_OPTION_MSS_LENGTH 4

/* RFC 2018 */
#define TCP_OPTION_SACK_PERMITTED 4
#define TCP_OPTION_SACK 5
#define TCP_OPTION_SACK_BLOCK 8
#define TCP_SACK_BLOCKS 4 /* at most: more have no room */
#define TCP_OPTION_SACK_PERMITTED_LENGTH 2

/* RFC 7323 */
#define TCP_OPTION_SCALE 3
#define TCP_OPTION_SCALE_LENGTH 3
#define TCP_OPTION_STAMPS 8
#define TCP_OPTION_STAMPS_LENGTH 10

/* RFC 8684 */
#define TCP_OPTION_MPTCP 30
#define TCP_OPTION_MPTCP_SUBTYPE 0xf0  /* 0: MP_CAPABLE */
#define TCP_OPTION_MP_CAPABLE_LENGTH 4 /* in a SYN of version 1, the one that is in use */

#define TCP_OPTION_FASTOPEN 34 /* RFC 7413 */

/* Two NOPs and the time stamps: what nearly every segment has, and nothing else. */
#define TCP_STAMPS_ALIGNED bpf_htonl(0x0101080a)
#define TCP_STAMPS_ALIGNED_LENGTH 12

/* In a SYN the permission of SACK is in their place. */
#define TCP_STAMPS_SACK                                                                      \
	bpf_htonl(TCP_OPTION_SACK_PERMITTED << 24 | TCP_OPTION_SACK_PERMITTED_LENGTH << 16 | \
		  TCP_OPTION_STAMPS << 8 | TCP_OPTION_STAMPS_LENGTH)

#endif
