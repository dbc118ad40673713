// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Reads the client's address out of a TCP header: the frame is the option's kind, 1 for
 * IPv4, twelve bytes of nothing, and a header of up to 60 bytes. The result is how many options
 * were found, and 256 if the first one says an address, which is in a map then.
 */
#include "clientaddress/option.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct client_address);
} said SEC(".maps");

SEC("tc")
int read_option(struct __sk_buff *skb)
{
	struct client_scan scan = {};
	struct client_address client = {};
	__u32 zero = 0;
	__u8 asked[2];

	if (bpf_skb_load_bytes(skb, 0, asked, sizeof(asked)) ||
	    bpf_skb_load_bytes(skb, 14, scan.header, CLIENT_HEADER_MAX))
		return -1;
	scan.kind = asked[0];
	client_option_scan(&scan);
	if (!scan.found || !client_option_read(&scan, asked[1], &client))
		return scan.found;
	bpf_map_update_elem(&said, &zero, &client, BPF_ANY);
	return scan.found | 256;
}

char _license[] SEC("license") = "Dual BSD/GPL";
