# SPDX-License-Identifier: Apache-2.0
"""Whose word about clients is taken, and by which TCP option. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from xlvs.model.problem import Code, Problem
from xlvs.realserver.address import key

DEFAULT_KIND = 254
KINDS = range(252, 255)
"""Kinds in use: 253 and 254 are for experiments (RFC 4727), 252 is an old one."""

BELIEVED_MAX = 1024
"""CLIENT_BELIEVED_MAX of bpf/clientaddress/prefix.h."""

_MAPPED = IPv6Network("::ffff:0:0/96")
_MAPPED_BITS = 96


class Wanted(NamedTuple):
    """``believed``: prefixes in their usual spelling, sorted. ``kind``: of the option."""

    believed: tuple[str, ...]
    kind: int = DEFAULT_KIND


def wanted(believed: Sequence[str], kind: int = DEFAULT_KIND) -> Wanted:
    """What the command line says: each word prefixes, separated by commas. Raises Problem."""
    if kind not in KINDS:
        raise Problem(
            Code.INVALID,
            f"the option's kind is one of {KINDS.start} to {KINDS.stop - 1}, not {kind}",
            "--toa-kind",
        )
    words = [word for text in believed for word in text.split(",") if word]
    if not words:
        raise Problem(
            Code.INVALID,
            "name the directors' local addresses (--from 10.2.0.101,10.2.0.102 or a prefix):"
            " only they are believed",
            "--from",
        )
    networks = {_network(word) for word in words}
    if len(networks) > BELIEVED_MAX:
        raise Problem(Code.INVALID, f"{len(networks)} prefixes: at most {BELIEVED_MAX}", "--from")
    ordered = sorted(networks, key=lambda network: (network.version, network))
    return Wanted(tuple(_spelled(network) for network in ordered), kind)


def packed(prefix: str) -> bytes:
    """``struct client_prefix`` of bpf/clientaddress/prefix.h."""
    network = ip_network(prefix)
    bits = network.prefixlen + (_MAPPED_BITS if network.version == 4 else 0)  # noqa: PLR2004
    return struct.pack("=I", bits) + key(str(network.network_address))


def unpacked(data: bytes) -> str:
    """The prefix that :func:`packed` made these bytes of."""
    (bits,) = struct.unpack_from("=I", data)
    address = ip_address(data[4:20])
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return _spelled(ip_network((mapped, bits - _MAPPED_BITS)))
    return _spelled(ip_network((address, bits)))


def family(prefix: str) -> int:
    """4 or 6."""
    return ip_network(prefix).version


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(word, strict=False)
        exact = ip_network(word, strict=True) if "/" in word else network
    except ValueError as error:
        if "host bits" in str(error):
            raise Problem(
                Code.INVALID, f"{word} has bits beyond its prefix: {network}?", "--from"
            ) from None
        raise Problem(Code.INVALID, f"{word} is not an address or prefix", "--from") from None
    if not exact.prefixlen:
        raise Problem(
            Code.INVALID,
            f"{word} is everybody, and anybody can send such an option: name the"
            " directors' local addresses",
            "--from",
        )
    if isinstance(exact, IPv6Network) and exact.overlaps(_MAPPED):
        raise Problem(
            Code.INVALID, f"{word} has IPv4 addresses in it: write them as IPv4", "--from"
        )
    return exact


def _spelled(network: IPv4Network | IPv6Network) -> str:
    """Without the length where it says nothing."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)
