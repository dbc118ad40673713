# SPDX-License-Identifier: Apache-2.0
"""``virtual_ipaddress``, ``static_ipaddress``: addresses with what ``ip address add`` knows."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Values
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    INTERFACE_MAX,
    UINT_MAX,
    interface_address,
    interface_name,
    number,
    plain_address,
    word,
)
from xlvs.model.service import Address
from xlvs.model.vrrp import VirtualAddress

SCOPES = ("global", "nowhere", "host", "link", "site")

_LONGEST_WITH_BROADCAST = 30

FLAGS = {
    "home": ("home", True),
    "-nodad": ("nodad", False),
    "no_track": ("no_track", True),
    "noprefixroute": ("no_prefix_route", True),
    "autojoin": ("auto_join", True),
    "mngtmpaddr": ("manage_temporary", True),
    "use_vmac": ("use_vmac", True),
}
"""Options without a value: field and what it becomes."""


def virtual_address(  # noqa: C901, PLR0912  # one case for each option
    reading: Reading, node: Node, *, static: bool
) -> VirtualAddress:
    """One line of such a block. Raises Wrong."""
    words = node.words
    found = interface_address(words[0], 0)
    values: Values = {}
    broadcast = ""
    index = 1
    while index < len(words):
        option = words[index]
        if option == "dev":
            values["device"] = interface_name(words, index + 1)
        elif option == "scope":
            values["scope"] = _scope(words, index + 1)
        elif option in ("brd", "broadcast"):
            broadcast = word(words, index + 1, "a broadcast address")
        elif option == "label":
            values["label"] = _label(words, index + 1)
        elif option == "peer":
            values["peer"] = _peer(words, index + 1, found.ip)
        elif option == "preferred_lft":
            forever = word(words, index + 1, "seconds or forever") == "forever"
            values["preferred_lifetime"] = (
                None if forever else number(0, UINT_MAX)(words, index + 1)
            )
        elif option == "track_group" and static:
            values["track_group"] = word(words, index + 1, "the name of a track_group")
            reading.refer(
                "track_group", words[index + 1], node.place(index + 1), "a static address"
            )
        else:
            if option not in FLAGS or (static and option == "use_vmac"):
                raise Wrong(f"an address has no option {option!r}", index)
            field, value = FLAGS[option]
            values[field] = value
            index += 1
            continue
        index += 2
    if broadcast:
        values["broadcast"] = _broadcast(found, broadcast, words.index(broadcast))
    host_only = found.network.prefixlen == found.ip.max_prefixlen
    if found.ip.version == 6:  # noqa: PLR2004
        for name in ("label", "scope"):
            if values.pop(name, None):
                reading.findings.remark(node.place(), f"an IPv6 address has no {name}")
        if host_only:
            # As in keepalived: not taken as a source address of connections that go out.
            values.setdefault("preferred_lifetime", 0)
    return VirtualAddress(address=found, **values)


def _scope(words: list[str], index: int) -> str:
    found = word(words, index, "a scope")
    if found in SCOPES:
        return found
    return str(number(0, 255, f"one of {', '.join(SCOPES)}, or 0 to 255")(words, index))


def _label(words: list[str], index: int) -> str:
    found = word(words, index, "a label")
    if len(found.encode()) > INTERFACE_MAX:
        raise Wrong(f"a label has at most {INTERFACE_MAX} characters", index)
    return found


def _peer(words: list[str], index: int, own: Address) -> Address:
    found = word(words, index, "the peer's address")
    peer = interface_address(found, index).ip
    if peer.version != own.version:
        raise Wrong("address and peer are of two families", index)
    return peer


def _broadcast(found: IPv4Interface | object, text: str, index: int) -> Address:
    if not isinstance(found, IPv4Interface):
        raise Wrong("IPv6 has no broadcast", index)
    if text not in ("+", "-"):
        broadcast = plain_address(text, index)
        if not isinstance(broadcast, IPv4Address):
            raise Wrong("IPv6 has no broadcast", index)
        return broadcast
    if found.network.prefixlen > _LONGEST_WITH_BROADCAST:
        raise Wrong(f"a network of prefix length {found.network.prefixlen} has no broadcast", index)
    return found.network.broadcast_address if text == "+" else found.network.network_address


def read_addresses(reading: Reading, node: Node, *, static: bool = False) -> list[VirtualAddress]:
    """All lines of a block of addresses; wrong ones are noted."""
    found: list[VirtualAddress] = []
    for line in node:
        try:
            if line.children is not None:
                raise Wrong("an address has no block")  # noqa: TRY301  # noted as all the others
            found.append(virtual_address(reading, line, static=static))
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
    return found
