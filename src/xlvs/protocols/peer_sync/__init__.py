# SPDX-License-Identifier: Apache-2.0
"""Connection sync between two directors of ours: what IPVS's protocol cannot do.

Unicast over TCP, so nothing is lost and a slow receiver is felt; authenticated both ways;
the whole table when a peer joins, then what changes; each side knows how far behind the
other one is. A director opens one TCP connection to each peer and sends on it what it
holds itself, so two directors have one for each direction and neither is the chief.

- ``entries``: a connection as bytes.
- ``frames``: the stream, cut into frames that prove who sent them, and in which order.
- ``handshake``: who is there, the session's keys.
- ``sender``, ``receiver``: the two ends, without input or output.
"""
