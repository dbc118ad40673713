# SPDX-License-Identifier: Apache-2.0
"""Addresses with ports as commands of ours take them: numbers only, IPv6 in brackets."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address

_PORT_MAX = 65535


def endpoint(text: str) -> tuple[Address, int]:
    """``10.0.0.1:80`` or ``[fd00::1]:80``. Raises Problem."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise _problem(text) from None
    plain = port.isascii() and port.isdecimal() and len(port) <= len(str(_PORT_MAX))
    if not colon or not plain or int(port) > _PORT_MAX:
        raise _problem(text)
    if isinstance(address, IPv6Address) is not bracketed:
        raise _problem(text)
    return address, int(port)


def _problem(text: str) -> Problem:
    return Problem(Code.INVALID, f"wants ADDRESS:PORT or [IPv6]:PORT in numbers, not {text!r}")
