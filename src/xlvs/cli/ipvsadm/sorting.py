# SPDX-License-Identifier: Apache-2.0
"""The order of listings.

ipvsadm compares marks and addresses by a signed 32-bit difference. It wraps, so that
192.168.0.0 comes before 9.0.0.0 and addresses in both halves form a circle: no total
order, and the result depends on the way of sorting too. That is the C library's merge
sort, which halves the list and prefers the first half's entry unless the second's is less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from operator import itemgetter
from typing import TypeVar

from xlvs.model.service import Address, Destination, Family, Protocol
from xlvs.wire.messages import DestinationLine, ServiceLine

T = TypeVar("T")

_PROTOCOL_NUMBERS = {
    Protocol.FWM: 0,
    Protocol.TCP: 6,
    Protocol.UDP: 17,
    Protocol.SCTP: 132,
}
_HALF = 1 << 31

Key = tuple[int, int, int, tuple[int, ...], int]
"""Mark, IP version, protocol, 32-bit words of the address, port."""


def services(listed: Sequence[tuple[ServiceLine, T]]) -> list[tuple[ServiceLine, T]]:
    """Services, and what belongs to each, as ``-L`` orders them."""
    return _sorted(listed, lambda each: _service_key(each[0]))


def destinations(listed: Sequence[DestinationLine]) -> list[DestinationLine]:
    """A service's destinations as ``-L`` orders them."""
    return _sorted(listed, lambda view: _destination_key(view.destination))


def asked(view: ServiceLine) -> list[Destination]:
    """The destinations that are asked for, in rotation or not, as ``-L`` orders them."""
    if view.asked is None:
        return [each.destination for each in destinations(view.destinations)]
    return _sorted(view.asked, _destination_key)


def _service_key(view: ServiceLine) -> Key:
    key = view.service.key
    if key.address is None:
        version = 6 if key.family is Family.INET6 else 4
        return key.fwmark, version, 0, (), 0
    number = _PROTOCOL_NUMBERS[key.protocol]
    return 0, key.address.version, number, _words(key.address), key.port


def _destination_key(destination: Destination) -> Key:
    # Families are not compared: the words of an IPv4 address meet those of an IPv6 one.
    key = destination.key
    return 0, 0, 0, _words(key.address), key.port


def _words(address: Address) -> tuple[int, ...]:
    if isinstance(address, IPv4Address):
        return (int(address),)
    packed = address.packed
    return tuple(int.from_bytes(packed[at : at + 4], "big") for at in range(0, len(packed), 4))


def _sorted(listed: Sequence[T], key: Callable[[T], Key]) -> list[T]:
    keys = [key(each) for each in listed]
    keyed = list(zip(keys, listed, strict=True))
    if _is_plain(keys):
        keyed.sort(key=itemgetter(0))
    else:
        keyed = _merge_sort(keyed)
    return [each for _, each in keyed]


def _is_plain(keys: Sequence[Key]) -> bool:
    """Whether no difference wraps: then any way of sorting gives the same."""
    if len({(k[0] >> 31, k[1], tuple([word >> 31 for word in k[3]])) for k in keys}) <= 1:
        return True  # nearly always: all in one half of the circle
    if len({len(k[3]) for k in keys}) > 1 and any(not k[1] for k in keys):
        return False
    rows: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for _, version, _, words, _ in keys:
        rows.setdefault((version, len(words)), []).append(words)
    columns = [column for alike in rows.values() for column in zip(*alike, strict=True)]
    columns.append(tuple(k[0] for k in keys))
    return all(max(column) - min(column) < _HALF for column in columns if column)


def _merge_sort(pairs: list[tuple[Key, T]]) -> list[tuple[Key, T]]:
    if len(pairs) <= 1:
        return pairs
    middle = len(pairs) // 2
    left, right = _merge_sort(pairs[:middle]), _merge_sort(pairs[middle:])
    merged: list[tuple[Key, T]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if compare(left[i][0], right[j][0]) <= 0:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]


def compare(one: Key, other: Key) -> int:
    """Less than, equal to or greater than 0, as ipvsadm compares."""
    return (
        signed(one[0] - other[0])
        or one[1] - other[1]
        or one[2] - other[2]
        or _compare_words(one[3], other[3])
        or one[4] - other[4]
    )


def _compare_words(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    # As many words as the first one's family has; the other's missing ones are zero.
    for place, word in enumerate(one):
        difference = signed(word - (other[place] if place < len(other) else 0))
        if difference:
            return difference
    return 0


def signed(value: int) -> int:
    """The low 32 bits as a signed number."""
    return ((value + _HALF) & 0xFFFFFFFF) - _HALF
