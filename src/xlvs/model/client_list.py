# SPDX-License-Identifier: Apache-2.0
"""Named lists of clients' prefixes, which services allow or deny.

There may be a hundred thousand prefixes in one: so a list is one run of bytes, a record
for each, in order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple

import msgspec

from xlvs.model.problem import Code, Problem

NAME_MAX = 64
"""Characters of a name: letters, digits, dot, dash and underscore."""

LISTS_MAX = 1024

PREFIXES_MAX = 524288
"""In all lists together: half of what the data path holds, because a list that changes is
there twice for a moment."""

RECORD = 18
"""Bytes of a prefix: family (4 or 6), address (IPv4 as ::ffff:a.b.c.d), bits of those 16."""

_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{NAME_MAX}}}")
_MAPPED = bytes(10) + b"\xff\xff"
_MAPPED_BITS = 96
_V4, _V6 = b"\x04", b"\x06"
_IPV4 = 4
_V4_BITS = 32

# Of IPv4 prefixes, by their words: there may be many.
_PLAIN = _V4 + _MAPPED
_OCTETS = {str(number): number for number in range(256)}
_LENGTHS = {str(bits): bits for bits in range(_V4_BITS + 1)}
_HOSTS = [(1 << (_V4_BITS - bits)) - 1 for bits in range(_V4_BITS + 1)]
_ENDS = [bytes((_MAPPED_BITS + bits,)) for bits in range(_V4_BITS + 1)]


class ClientList(msgspec.Struct, frozen=True, gc=False):
    """The prefixes of one list. Make it with ``client_list`` or ``of_records``.

    ``records``: sorted, each once. ``number``: a hash of them, even and never 0: lists of
    the same prefixes are the same to the data path.
    """

    records: bytes
    number: int

    def __len__(self) -> int:
        """How many prefixes there are."""
        return len(self.records) // RECORD


class Change(NamedTuple):
    """What an edit does to a list: prefixes as text."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def of_records(records: bytes) -> ClientList:
    """The list of these records, which are sorted."""
    number = int.from_bytes(hashlib.blake2b(records, digest_size=8).digest(), "little") & ~1
    return ClientList(records, number or 2)


NO_CLIENTS = of_records(b"")
"""A list without a prefix: allowed, it lets nobody in."""


@lru_cache(2)  # of a request or a file, which look at it more than once
def client_list(texts: tuple[str, ...], where: str = "/prefixes") -> ClientList:
    """The list of these prefixes. Raises Problem for one that is none, with its place."""
    return of_records(b"".join(sorted(set(_records(texts, where)))))


def words(text: str) -> Iterator[tuple[int, str]]:
    """What a list's file says, each word with its line's number; ``#`` begins a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        for word in line.partition("#")[0].split():
            yield number, word


def changed(now: ClientList, change: Change) -> ClientList:
    """With some more and some less. Raises Problem: one is none, or is not there."""
    records = set(_each(now))
    records.update(_records(change.add, "/add"))
    gone = set()
    for at, record in enumerate(_records(change.remove, "/remove")):
        if record not in records:
            raise Problem(
                Code.NO_SUCH_PREFIX, f"{change.remove[at]} is not in the list", f"/remove/{at}"
            )
        gone.add(record)
    return of_records(b"".join(sorted(records - gone)))


def texts(found: ClientList) -> Iterator[str]:
    """The prefixes, in order; single addresses without their length."""
    for record in _each(found):
        bits = record[-1]
        if record[0] == _IPV4:
            address = ".".join(map(str, record[13:17]))
            yield address if bits == _FULL else f"{address}/{bits - _MAPPED_BITS}"
        else:
            address = str(IPv6Address(record[1:17]))
            yield address if bits == _FULL else f"{address}/{bits}"


def check_name(name: str, where: str = "/name") -> None:
    """Raises Problem for what cannot be a list's name."""
    if not _NAME.fullmatch(name):
        raise Problem(
            Code.NOT_SUPPORTED,
            f"a list's name is 1 to {NAME_MAX} letters, digits, dots, dashes and underscores, "
            f"not {name!r}",
            where,
        )


_FULL = 8 * 16


def _each(found: ClientList) -> Iterator[bytes]:
    records = found.records
    return (records[at : at + RECORD] for at in range(0, len(records), RECORD))


def _records(prefixes: Iterable[str], where: str) -> Iterator[bytes]:
    for at, text in enumerate(prefixes):
        yield _plain(text) or _any(text, f"{where}/{at}")


def _plain(text: str) -> bytes | None:
    """Of what nearly all prefixes are; None: it is not as plain, or wrong."""
    address, _, length = text.partition("/")
    try:
        a, b, c, d = address.split(".")
        record = bytes((_OCTETS[a], _OCTETS[b], _OCTETS[c], _OCTETS[d]))
        bits = _LENGTHS[length] if length else _V4_BITS
    except (KeyError, ValueError):
        return None
    if int.from_bytes(record, "big") & _HOSTS[bits] or text[-1] == "/":
        return None
    return _PLAIN + record + _ENDS[bits]


def _any(text: str, where: str) -> bytes:
    try:
        network: IPv4Network | IPv6Network = ip_network(text)
    except ValueError:
        raise Problem(Code.INVALID, _complaint(text), where) from None
    if isinstance(network, IPv4Network):
        address = _MAPPED + network.network_address.packed
        return b"".join((_V4, address, bytes((_MAPPED_BITS + network.prefixlen,))))
    if network.prefixlen >= _MAPPED_BITS and network.network_address.ipv4_mapped is not None:
        raise Problem(
            Code.INVALID,
            f"{text}: no packet has an IPv4-mapped address; write it as IPv4's",
            where,
        )
    return b"".join((_V6, network.network_address.packed, bytes((network.prefixlen,))))


def _complaint(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return f"{text!r} is no address or prefix such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
    return f"{text} has bits beyond its prefix: {meant} would be right"
