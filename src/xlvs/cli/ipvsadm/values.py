# SPDX-License-Identifier: Apache-2.0
"""What option values mean: numbers, addresses with ports, masks. None: it means nothing."""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from xlvs.cli.ipvsadm.names import Names
from xlvs.model.service import Address, Protocol

_SPACE = " \t\n\v\f\r"
_PORT_MAX = 65535


def integer(text: str) -> int | None:
    """A decimal number as C's strtol reads it: leading space and sign are fine."""
    if len(text) < len(str(2**63)) and text.isascii() and text.isdigit():
        return int(text)  # nearly all are plain
    digits = text.lstrip(_SPACE)
    negative = digits.startswith("-")
    if negative or digits.startswith("+"):
        digits = digits[1:]
    if not digits.isascii() or not digits.isdigit():
        return None
    # Beyond this no range of ours reaches, and Python refuses to read very long numbers.
    value = int(digits) if len(digits.lstrip("0")) <= len(str(2**63)) else 2**63
    return -value if negative else value


def number(text: str, least: int, most: int) -> int | None:
    """A decimal number in a range."""
    value = integer(text)
    return value if value is not None and least <= value <= most else None


def leading_integer(text: str) -> int:
    """The number at the beginning as C's atoi reads it; 0 if there is none."""
    rest = text.lstrip(_SPACE)
    end = 1 if rest[:1] in ("+", "-") else 0
    while end < len(rest) and rest[end] in "0123456789":
        end += 1
    return integer(rest[:end]) or 0


def name(text: str) -> str:
    """A name that can travel: bytes that are no text become question marks, which none has."""
    return text.encode(errors="replace").decode()


class Endpoint(NamedTuple):
    """An address, and a port if one was given."""

    address: Address
    port: int | None


@lru_cache(maxsize=1024)
def endpoint(text: str, protocol: Protocol | None, names: Names) -> Endpoint | None:
    """``host``, ``host:port``, ``[v6]:port`` or bare ``v6``.

    The port may be a service's name if the protocol is known. In brackets only IPv6
    keeps its port: that is ipvsadm's way, as is the oddity that a word of digits alone
    is no address although ``10:80`` has one. What was read is remembered: lines say their
    service again.
    """
    if not text or (text.isascii() and text.isdigit()):
        return None
    port: str | None = None
    if text.startswith("["):
        host, bracket, behind = text[1:].partition("]")
        if not bracket or not behind.startswith(":"):
            return None
        port = behind[1:]
    else:
        host = text
    address: Address | None = _ipv6(host) if host.count(":") > 1 else None
    if address is None:
        host, colon, behind = host.rpartition(":") if ":" in host else (host, "", "")
        port = behind if colon else None
        address = ipv4(host, names)
    if address is None:
        return None
    if port is None:
        return Endpoint(address, None)
    value = number(port, 0, _PORT_MAX)
    if value is None and protocol is not None:
        value = names.port(port, protocol.value)
    return None if value is None else Endpoint(address, value)


@lru_cache(maxsize=4096)
def ipv4(text: str, names: Names) -> IPv4Address | None:
    """An IPv4 address in any of C's spellings, or the address of a host."""
    if not text:
        return None
    try:
        return IPv4Address(socket.inet_aton(text))
    except (OSError, ValueError):
        return names.address(text)


def address(text: str) -> Address | None:
    """A numeric address of either family."""
    try:
        return IPv4Address(text)
    except ValueError:
        return _ipv6(text)


def _ipv6(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return None


def address_text(address: Address) -> str:
    """An address as C writes it (``::ffff:10.0.0.1``)."""
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    return socket.inet_ntop(family, address.packed)
