/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose word about clients is taken: a key of a trie of prefixes. */
#ifndef XLVS_CLIENTADDRESS_PREFIX_H
#define XLVS_CLIENTADDRESS_PREFIX_H

#include "lib/base.h"

#define CLIENT_BELIEVED_MAX 1024

struct client_prefix {
	__u32 length; /* bits; of IPv4 96 more */
	struct xlvs_addr address;
};

#endif
