# SPDX-License-Identifier: Apache-2.0
"""What each reason means, in a sentence: enum xlvs_reason of the data path, by name."""

from __future__ import annotations

SENTENCES = {
    "none": "nothing was decided",
    "fwd_nat": "translated and sent to the real server",
    "fwd_dr": "sent to the real server's MAC address, its addresses as they are",
    "fwd_tun": "sent to the real server in a tunnel",
    "fwd_fullnat": "sent to the real server from an address of the director's own",
    "fwd_local": "given to the director's own stack, where the real server is",
    "fwd_fragmented": "translated, and given to the director's stack, which routes and fragments "
    "it: it is too big for the way to the real server",
    "fwd_reply": "the real server's answer, translated back and sent to the client",
    "fwd_icmp_in": "an ICMP error about a connection, sent on to the real server",
    "fwd_icmp_out": "an ICMP error about a connection, sent on to the client",
    "reply_no_destination": "answered with port unreachable: the service has no server that can "
    "take it",
    "reply_ttl_exceeded": "answered with time exceeded: its TTL ends here",
    "reply_too_big": "answered with the size that fits: it is too big for the way to the real "
    "server, and may not be fragmented",
    "reply_tunnel_error": "an ICMP error about a tunnel packet, turned into one for the client",
    "reply_no_connection": "answered with port unreachable: a real server's packet that belongs "
    "to no connection (nat_icmp_send)",
    "reply_reset": "answered with a TCP reset: an operator closed the connection, or its server is "
    "gone (profile modern)",
    "reply_syn_cookie": "answered for the real servers with a SYN cookie (SYN proxy)",
    "pass_not_ip": "passed to the director's stack: it is neither IPv4 nor IPv6",
    "pass_no_service": "passed to the director's stack: no connection and no service is its",
    "pass_disabled": "passed to the director's stack: no service is configured at all",
    "pass_protocol": "passed to the director's stack: its protocol is none that is balanced",
    "pass_fragment": "passed to the director's stack: a fragment whose first one was not seen",
    "pass_extension_headers": "passed to the director's stack: more IPv6 extension headers than "
    "are read",
    "pass_malformed": "passed to the director's stack: its headers are cut off or contradict "
    "themselves",
    "pass_not_syn": "passed to the director's stack: there is a service, but such a packet opens "
    "no connection",
    "pass_icmp": "passed to the director's stack: ICMP that is its own business",
    "pass_icmp_no_connection": "passed to the director's stack: an ICMP error about no connection "
    "of ours",
    "pass_not_for_host": "passed to the director's stack: the frame is addressed to another "
    "station",
    "pass_martian": "passed to the director's stack, which drops it: no client can have that "
    "source address",
    "pass_ttl_exceeded": "passed to the director's stack, which answers the real server: the "
    "answer's TTL ends here",
    "pass_cache_bypass": "passed on to where it is addressed: no server can take it (cache_bypass)",
    "pass_local_client": "passed: an answer to a client on the director itself, which the program "
    "at TC delivers to it",
    "pass_too_big": "passed to the director's stack, which answers the real server: the answer is "
    "too big for the way to the client",
    "pass_syn_ack": "passed: a real server's SYN-ACK, of which the program at TC makes the two "
    "packets that complete both handshakes (SYN proxy)",
    "drop_destination_removed": "dropped: its connection's real server was removed",
    "drop_table_full": "dropped: the connection table has no room for it",
    "drop_local_ports": "dropped: no local address has a free port towards the real server",
    "drop_no_next_hop": "dropped: the way to where it goes is not known, a route or a neighbour "
    "is missing",
    "drop_too_big": "dropped: it is too big for the way to the real server and would have to be "
    "fragmented",
    "drop_headroom": "dropped: the kernel refused to make the frame longer or shorter",
    "drop_contended": "dropped: other packets kept changing what it needed",
    "drop_internal": "dropped by a bug: report it",
    "drop_icmp_not_forwarded": "dropped: an ICMP error whose TTL is over, or about a service "
    "without a usable real server; no error is sent about an error",
    "drop_icmp_checksum": "dropped: ICMP about a connection, and damaged",
    "drop_loaded": "dropped: memory is short, and every so many'th new connection is dropped "
    "(drop_packet)",
    "drop_no_call_id": "dropped: a datagram without a Call-ID for a service with --pe sip",
    "drop_no_connection": "dropped: a reset that nobody waits for (nat_icmp_send)",
    "drop_answer_rate": "dropped: it would be answered with an ICMP error, of which there were "
    "too many in this second",
    "drop_syn_data": "dropped: a SYN with data, which would come before the PROXY protocol's "
    "header",
    "drop_syn_cookie": "dropped: it acknowledges no SYN cookie, or is nothing that a client sends "
    "(SYN proxy)",
    "drop_denied": "dropped: its client is on a list that the service denies",
    "drop_not_allowed": "dropped: its client is on none of the lists that the service allows",
    "drop_client_connections": "dropped: its client has as many connections as the service lets "
    "one have",
    "drop_client_rate": "dropped: its client opens more connections in a second than the service "
    "lets one open",
    "drop_service_connections": "dropped: the service has as many connections as it may have",
    "drop_service_rate": "dropped: more connections are opened in this second than the service "
    "takes",
}


def sentence(reason: str) -> str:
    """The sentence; of a reason that a newer data path has, its name."""
    return SENTENCES.get(reason, reason or "nothing was counted")
