# SPDX-License-Identifier: Apache-2.0
"""Addresses with ports as commands of ours take them: numbers only, IPv6 in brackets."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address

PORT_MAX = 65535


def endpoint(text: str) -> tuple[Address, int]:
    """``10.0.0.1:80`` or ``[fd00::1]:80``. Raises Problem."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise _problem(text) from None
    number = port_number(port)
    if not colon or number is None or isinstance(address, IPv6Address) is not bracketed:
        raise _problem(text)
    return address, number


def port_number(text: str) -> int | None:
    """A port in plain digits, None if it is none."""
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(PORT_MAX))
    return int(text) if plain and int(text) <= PORT_MAX else None


def _problem(text: str) -> Problem:
    return Problem(Code.INVALID, f"wants ADDRESS:PORT or [IPv6]:PORT in numbers, not {text!r}")
