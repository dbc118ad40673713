# SPDX-License-Identifier: Apache-2.0
"""``virtual_routes``, ``virtual_rules`` and the static ones: the words of ``ip``, checked.

Older spellings (``gw``, ``or``, ``to``, ``src`` first) become those of today's ``ip``.
"""

from __future__ import annotations

import re

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import interface_address, interface_name, plain_address, word
from xlvs.model.service import Family
from xlvs.model.vrrp import VirtualRoute, VirtualRule

_TYPES = frozenset(
    (
        *("unicast", "local", "broadcast", "anycast", "multicast"),
        *("throw", "unreachable", "prohibit", "blackhole", "nat", "xresolve"),
    )
)

_ONE_WORD = frozenset(
    (
        *("table", "tos", "dsfield", "protocol", "scope", "realms", "features", "congctl", "pref"),
        *("vrf", "expires", "ttl-propagate", "fastopen_no_cookie", "quickack", "encap"),
    )
)

_NUMBERS = frozenset(
    (
        *("priority", "metric", "preference", "mtu", "hoplimit", "advmss", "rtt", "rttvar"),
        *("reordering", "window", "cwnd", "ssthresh", "rto_min", "initcwnd", "initrwnd"),
    )
)

_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]{1,8}|[0-9]{1,10})(?:ms|s)?", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
_MARK = re.compile(r"(?:0[xX][0-9A-Fa-f]{1,8}|[0-9]{1,10})(?:/(?:0[xX][0-9A-Fa-f]{1,8}|\d{1,10}))?")
_RANGE = re.compile(r"[0-9]{1,10}(?:-[0-9]{1,10})?", re.ASCII)

_IPV6 = 6


class _Words:
    """The words of a line, taken one by one."""

    def __init__(self, node: Node) -> None:
        self.words = node.words
        self.node = node
        self.index = 0

    def next(self, what: str) -> str:
        """The next word; Wrong if there is none."""
        found = word(self.words, self.index, what)
        self.index += 1
        return found

    def matching(self, pattern: re.Pattern[str], what: str) -> str:
        """The next word, if it is of that form."""
        found = self.next(what)
        if not pattern.fullmatch(found):
            raise Wrong(f"{found!r} is not {what}", self.index - 1)
        return found

    def address(self) -> str:
        """The next word is an address."""
        found = self.next("an address")
        return str(plain_address(found, self.index - 1))

    def more(self) -> bool:
        """Whether there are more words."""
        return self.index < len(self.words)


class _Families:
    """Of which family a line is; all its addresses have to agree."""

    def __init__(self) -> None:
        self.version = 0

    def add(self, version: int, index: int) -> None:
        if self.version not in (0, version):
            raise Wrong("IPv4 and IPv6 are mixed", index)
        self.version = version

    @property
    def family(self) -> Family:
        return Family.INET6 if self.version == _IPV6 else Family.INET


def route(  # noqa: C901, PLR0912, PLR0915  # one case for each option
    reading: Reading, node: Node, *, static: bool
) -> VirtualRoute:
    """One line of such a block. Raises Wrong."""
    words, families = _Words(node), _Families()
    kind: list[str] = []
    destination = ""
    options: list[str] = []
    gateways: list[str] = []
    hops: list[str] = []
    track_group, no_track = "", False
    while words.more():
        option = words.next("a route")
        at = words.index - 1
        if option in _TYPES and not destination:
            kind = [option]
        elif option == "to":
            continue
        elif option in ("via", "gw", "or"):
            if words.more() and words.words[words.index] in ("inet", "inet6"):
                words.index += 1
            gateway = words.address()
            # A gateway of the other family is allowed for IPv4 (RFC 5549), so it says nothing.
            gateways.append(gateway)
        elif option == "src":
            source = words.address()
            families.add(plain_address(source, at).version, at)
            options += ["src", source]
        elif option in ("dev", "oif"):
            options += ["dev", interface_name(words.words, words.index)]
            words.index += 1
        elif option in _NUMBERS:
            locked = words.more() and words.words[words.index] == "lock"
            words.index += locked
            number = words.matching(_NUMBER, "a number")
            options += [option, *(["lock"] if locked else []), number]
        elif option in _ONE_WORD or option == "proto":
            if option == "encap":
                raise Wrong("'encap' is not supported: encapsulated routes are not built", at)
            options += [option, words.matching(_PLAIN, f"a value of {option}")]
        elif option in ("onlink", "append", "prepend", "add"):
            if option == "onlink":
                options.append(option)
            elif option == "append":
                raise Wrong("'append' is not supported: routes are replaced, in one step", at)
        elif option in ("inet", "inet6"):
            families.add(_IPV6 if option == "inet6" else 4, at)
        elif option == "nexthop":
            hops += _next_hop(words)
        elif option == "track_group" and static:
            track_group = words.next("the name of a track_group")
            reading.refer("track_group", track_group, node.place(at + 1), "a static route")
        elif option == "no_track":
            no_track = True
        elif not destination:
            destination = _prefix(option, at, families)
        else:
            raise Wrong(f"a route has no option {option!r}", at)
    if not destination:
        raise Wrong("a route wants a destination: a prefix or default")
    if len(gateways) == 1 and not families.version:
        families.add(plain_address(gateways[0], 0).version, 0)
    via = ["via", gateways[0]] if len(gateways) == 1 else []
    if len(gateways) > 1:
        hops = [part for each in gateways for part in ("nexthop", "via", each)] + hops
    return VirtualRoute(
        words=(*kind, destination, *via, *options, *hops),
        family=families.family,
        track_group=track_group,
        no_track=no_track,
    )


def _prefix(text: str, index: int, families: _Families) -> str:
    if text in ("default", "default6"):
        if text == "default6":
            families.add(_IPV6, index)
        return "default"
    found = interface_address(text, index)
    families.add(found.version, index)
    return str(found.network) if "/" in text else str(found.ip)


def _next_hop(words: _Words) -> list[str]:
    hop = ["nexthop"]
    while words.more():
        option = words.words[words.index]
        if option in ("via", "gw"):
            words.index += 1
            if words.more() and words.words[words.index] in ("inet", "inet6"):
                words.index += 1
            hop += ["via", words.address()]
        elif option == "dev":
            hop += ["dev", interface_name(words.words, words.index + 1)]
            words.index += 2
        elif option in ("weight", "realms"):
            words.index += 1
            hop += [option, words.matching(_PLAIN, f"a value of {option}")]
        elif option == "onlink":
            words.index += 1
            hop.append("onlink")
        else:
            break
    if len(hop) == 1:
        raise Wrong("nexthop wants via ADDRESS or dev INTERFACE", words.index)
    return hop


_RULE_WORDS = {
    "tos": _PLAIN,
    "dsfield": _PLAIN,
    "fwmark": _MARK,
    "realms": _PLAIN,
    "goto": _NUMBER,
    "suppress_prefixlength": _NUMBER,
    "suppress_ifgroup": _PLAIN,
    "protocol": _PLAIN,
    "uidrange": _RANGE,
    "ipproto": _PLAIN,
    "sport": _RANGE,
    "dport": _RANGE,
    "tun_id": _NUMBER,
    "table": _PLAIN,
    "pref": _NUMBER,
}

_RULE_SPELLINGS = {
    "preference": "pref",
    "priority": "pref",
    "order": "pref",
    "lookup": "table",
    "ip_proto": "ipproto",
    "tunnel-id": "tun_id",
    "dev": "iif",
}

_RULE_ACTIONS = frozenset(("blackhole", "prohibit", "unreachable", "nop", "throw"))


def rule(  # noqa: C901  # one case for each option
    reading: Reading, node: Node, *, static: bool
) -> VirtualRule:
    """One line of such a block. Raises Wrong."""
    words, families = _Words(node), _Families()
    found: list[str] = []
    action = False
    preferred = False
    track_group, no_track = "", False
    while words.more():
        option = words.next("a rule")
        at = words.index - 1
        option = _RULE_SPELLINGS.get(option, option)
        if option in ("from", "to"):
            found += [option, _selector(words, families)]
        elif option in ("iif", "oif"):
            found += [option, interface_name(words.words, words.index)]
            words.index += 1
        elif option in _RULE_WORDS:
            found += [option, words.matching(_RULE_WORDS[option], f"a value of {option}")]
            action |= option in ("table", "goto")
            preferred |= option == "pref"
        elif option in _RULE_ACTIONS or option == "l3mdev":
            found.append(option)
            action = True
        elif option == "not":
            found.insert(0, option)
        elif option in ("inet", "inet6"):
            families.add(_IPV6 if option == "inet6" else 4, at)
        elif option == "track_group" and static:
            track_group = words.next("the name of a track_group")
            reading.refer("track_group", track_group, node.place(at + 1), "a static rule")
        elif option == "no_track":
            no_track = True
        else:
            raise Wrong(f"a rule has no option {node.words[at]!r}", at)
    if not action:
        raise Wrong("a rule says what is done: table, goto, l3mdev, blackhole, prohibit …")
    if not preferred:
        reading.findings.remark(
            node.place(), "the rule says no preference: its place among the others is not fixed"
        )
    return VirtualRule(
        words=tuple(found), family=families.family, track_group=track_group, no_track=no_track
    )


def _selector(words: _Words, families: _Families) -> str:
    text = words.next("a prefix")
    at = words.index - 1
    if text in ("all", "any", "default"):
        return "all"
    found = interface_address(text, at)
    families.add(found.version, at)
    return str(found.network) if "/" in text else str(found.ip)


def read_routes(reading: Reading, node: Node, *, static: bool = False) -> list[VirtualRoute]:
    """All lines of a block of routes; wrong ones are noted."""
    found: list[VirtualRoute] = []
    for line in node:
        try:
            found.append(route(reading, line, static=static))
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
    return found


def read_rules(reading: Reading, node: Node, *, static: bool = False) -> list[VirtualRule]:
    """All lines of a block of rules; wrong ones are noted."""
    found: list[VirtualRule] = []
    for line in node:
        try:
            found.append(rule(reading, line, static=static))
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
    return found
