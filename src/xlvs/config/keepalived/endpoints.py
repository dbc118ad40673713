# SPDX-License-Identifier: Apache-2.0
"""Groups of addresses: ``virtual_server_group``, ``local_address_group``, and their ranges."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Values
from xlvs.config.keepalived.trackers import name_of
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    UINT_MAX,
    interface_name,
    number,
    plain_address,
    port_or_none,
)
from xlvs.model.service import Address, Family

RANGE_MAX = 65536
"""Addresses of one range: each of them becomes a service."""

FAMILIES = {"inet": Family.INET, "inet6": Family.INET6}

_LAST_PART = re.compile(r"[0-9A-Fa-f]{1,4}", re.ASCII)


class Member(NamedTuple):
    """A member of a group: an address with a port (0: any), or a mark with its family."""

    address: Address | None
    port: int = 0
    fwmark: int = 0
    family: Family | None = None


def address_range(text: str, index: int) -> list[Address]:
    """``A``, ``A-LAST``, ``A-B`` or ``A/LENGTH``. Raises Wrong."""
    if "/" in text:
        return _network(text, index)
    first_text, dash, last_text = text.partition("-")
    first = plain_address(first_text, index)
    if not dash:
        return [first]
    last = _range_end(first, last_text, index)
    if int(last) < int(first):
        raise Wrong(f"the range {text} ends before it begins", index)
    count = int(last) - int(first) + 1
    if count > RANGE_MAX:
        raise Wrong(f"the range {text} has more than {RANGE_MAX} addresses", index)
    return [type(first)(int(first) + step) for step in range(count)]


def _range_end(first: Address, text: str, index: int) -> Address:
    if ("." if isinstance(first, IPv4Address) else ":") in text:
        last = plain_address(text, index)
        if last.version != first.version:
            raise Wrong("the range begins and ends in two families", index)
        return last
    # Only the last part: decimal for IPv4, hexadecimal for IPv6.
    try:
        if isinstance(first, IPv4Address):
            part = int(text) if text.isascii() and text.isdecimal() else -1
            if not 0 <= part <= 255:  # noqa: PLR2004  # one octet
                raise Wrong(f"{text!r} is no end of a range: 0 to 255, or an address", index)
            return IPv4Address(int(first) & ~0xFF | part)
        if not _LAST_PART.fullmatch(text):
            raise Wrong(f"{text!r} is no end of a range: four hexadecimal digits", index)
        return IPv6Address(int(first) & ~0xFFFF | int(text, 16))
    except AddressValueError:
        raise Wrong(f"{text!r} is no end of a range", index) from None


def _network(text: str, index: int) -> list[Address]:
    try:
        network: IPv4Network | IPv6Network = IPv6Network(text) if ":" in text else IPv4Network(text)
    except ValueError as error:
        raise Wrong(f"{text!r} is no network: {error}", index) from None
    if network.num_addresses > RANGE_MAX:
        raise Wrong(f"the network {text} has more than {RANGE_MAX} addresses", index)
    return list(network)


def _members(node: Node) -> list[Member]:
    words = node.words
    if words[0] == "fwmark":
        mark = number(1, UINT_MAX)(words, 1)
        family = None
        if len(words) > 2:  # noqa: PLR2004  # fwmark, number, family
            if words[2] not in FAMILIES:
                raise Wrong(f"a family is inet or inet6, not {words[2]!r}", 2)
            family = FAMILIES[words[2]]
        return [Member(None, 0, mark, family)]
    port = port_or_none(words, 1)
    return [Member(each, port) for each in address_range(words[0], 0)]


def read_server_group(reading: Reading, node: Node, _: Values) -> None:
    """``virtual_server_group NAME {…}``: kept, for the virtual servers that name it."""
    name = name_of(node, "the name of a group")
    if not reading.once("virtual_server_group", node, name):
        return
    members: list[Member] = []
    for line in node:
        try:
            members += _members(line)
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
    reading.server_groups[name] = list(dict.fromkeys(members))
    if not node.children:
        reading.findings.remark(node.place(), f"virtual_server_group {name} is empty")


def read_local_addresses(reading: Reading, node: Node, _: Values) -> None:
    """``local_address_group NAME {…}``, of the forks with FULLNAT."""
    name = name_of(node, "the name of a group")
    if not reading.once("local_address_group", node, name):
        return
    found: list[Address] = []
    for line in node:
        try:
            found += address_range(line.words[0], 0)
            rest = line.words[1:]
            if rest and rest[0] != "dev":
                interface_name(line.words, 1)
            elif rest:
                interface_name(line.words, 2)
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
    if not found:
        raise Wrong(f"local_address_group {name} is empty")
    reading.local_addresses[name] = tuple(dict.fromkeys(found))
