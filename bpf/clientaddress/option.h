/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The TCP option by which a FULLNAT director tells the client's address: kind, length, port,
 * address. bpf_load_hdr_opt() cannot find it: of the kinds 253 and 254 it wants a magic
 * number (RFC 6994) where the port is.
 */
#ifndef XLVS_CLIENTADDRESS_OPTION_H
#define XLVS_CLIENTADDRESS_OPTION_H

#include "lib/base.h"
#include "lib/tcp_option.h"

#define CLIENT_HEADER_MAX 60 /* bytes of a TCP header */
#define CLIENT_OPTION_V4 8   /* length */
#define CLIENT_OPTION_V6 20  /* length */

/* Whose connection it is, as getpeername() tells it. */
struct client_address {
	struct xlvs_addr address; /* IPv4 mapped */
	__be16 port;
	__be16 pad;
};

struct client_scan {
	/* A TCP header; the zeros after it are for the verifier, which sees offsets up to 63. */
	__u8 header[96];
	__u32 at;
	__u32 end;
	__u32 first; /* offset of the first option of the kind, whose length is `length` */
	__u8 length;
	__u8 kind;
	__u8 found; /* how many */
	__u8 pad;
};

static long client_option_step(__u32 number, struct client_scan *scan)
{
	__u32 at = scan->at;
	__u8 kind, length;

	(void)number;
	if (at >= scan->end)
		return 1;
	kind = scan->header[at & 63];
	if (kind == TCP_OPTION_END)
		return 1;
	if (kind == TCP_OPTION_NOP) {
		scan->at = at + 1;
		return 0;
	}
	length = scan->header[(at + 1) & 63];
	if (length < 2 || at + length > scan->end)
		return 1;
	if (kind == scan->kind) {
		if (!scan->found) {
			scan->first = at;
			scan->length = length;
		}
		scan->found++;
	}
	scan->at = at + length;
	return 0;
}

/* Looks for options of scan->kind in scan->header. */
static __always_inline void client_option_scan(struct client_scan *scan)
{
	scan->found = 0;
	scan->at = sizeof(struct tcphdr);
	scan->end = (scan->header[12] >> 4) * 4;
	bpf_loop(CLIENT_HEADER_MAX - sizeof(struct tcphdr), client_option_step, scan, 0);
}

/*
 * What the first option of the kind says; false if it is not of this family's form. The
 * director's is in front of all that the client sent, so the first one counts or none.
 */
static __always_inline bool client_option_read(const struct client_scan *scan, bool v4,
					       struct client_address *client)
{
	const __u8 *option = &scan->header[scan->first & 63];

	if (scan->length != (v4 ? CLIENT_OPTION_V4 : CLIENT_OPTION_V6))
		return false;
	__builtin_memcpy(&client->port, option + 2, sizeof(client->port));
	client->pad = 0;
	if (v4) {
		client->address.word[0] = 0;
		client->address.word[1] = 0;
		client->address.word[2] = bpf_htonl(0xffff);
		__builtin_memcpy(&client->address.word[3], option + 4, sizeof(__be32));
	} else {
		__builtin_memcpy(&client->address, option + 4, sizeof(client->address));
	}
	return true;
}

#endif
