# SPDX-License-Identifier: Apache-2.0
"""Sockets that send whole IP packets, whose source need not be ours."""

from __future__ import annotations

import socket

_IPV6_HDRINCL = 36  # <linux/in6.h>; the module socket has no name for it
_IPV4 = 4


def raw_socket(version: int) -> socket.socket:
    """For packets of IPv4 (4) or IPv6 (6), header and all. Raises OSError."""
    if version == _IPV4:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    made.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
    return made
