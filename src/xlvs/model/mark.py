# SPDX-License-Identifier: Apache-2.0
"""Rules that give packets a firewall mark.

Ours, IPVS has none of it: there netfilter marks packets before IPVS sees them, here it
comes after the data path. Their order is that of iptables' MARK rules: none ends the
search, each changes what those before it made of the mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from xlvs.model.checks import PORT_MAX
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Family, Network, ServiceKey

MARK_MAX = 2**32 - 1

PROTOCOL_MAX = 255

RULES_MAX = 65536
"""How many there may be: more than anybody has, few enough to be computed in seconds."""

WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}
"""Protocols whose ports the data path reads."""

PROTOCOLS = {
    "tcp": 6,
    "udp": 17,
    "sctp": 132,
    "ah": 51,
    "esp": 50,
    "icmp": 1,
    "ipv6-icmp": 58,
    "gre": 47,
    "ipip": 4,
    "ipv6": 41,
    "dccp": 33,
    "udplite": 136,
}
"""IANA's numbers of those that anybody spells; others are told as numbers."""

_MAPPED_BITS = 96
_IPV6 = 6

Ports = tuple[tuple[int, int], ...]
"""Ranges of ports, first and last."""


class MarkRule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"source": "from"},
):
    """One rule. Of the mark, the bits of ``mask`` are cleared, then those of ``mark`` flipped.

    That is iptables' ``--set-xmark``; with the whole mask the mark is ``mark``. It is for
    packets to an address of ``to`` and from one of ``source``, of ``protocol`` (a number,
    0: any) and to one of ``ports``; what is not said is not asked for. ``family`` is there
    only if no address says it; without any the rule is for both.
    """

    mark: int
    mask: int = MARK_MAX
    to: Network | None = None
    source: Network | None = None
    family: Family | None = None
    protocol: int = 0
    ports: Ports = ()


def settled_rule(rule: MarkRule) -> MarkRule:
    """The rule in the one form that it is kept in; Problem if there cannot be such a rule."""
    for name in ("mark", "mask"):
        if not 0 <= getattr(rule, name) <= MARK_MAX:
            raise Problem(Code.INVALID, f"a {name} is 0 to {MARK_MAX}", f"/rule/{name}")
    if not 0 <= rule.protocol <= PROTOCOL_MAX:
        raise Problem(Code.INVALID, f"a protocol is 0 (any) to {PROTOCOL_MAX}", "/rule/protocol")
    if rule.ports and rule.protocol not in WITH_PORTS:
        named = ", ".join(WITH_PORTS.values())
        raise Problem(Code.INVALID, f"ports need one of the protocols {named}", "/rule/ports")
    family = _family(rule)
    to, source = _bounded(rule.to), _bounded(rule.source)
    return msgspec.structs.replace(
        rule,
        to=to,
        source=source,
        family=None if to or source else family,
        ports=merged(rule.ports),
    )


def matching(
    rules: Sequence[MarkRule], source: Address, to: Address, protocol: int, port: int
) -> list[int]:
    """The numbers of the rules that are for such a packet, counted from 1."""
    return [
        number
        for number, rule in enumerate(rules, 1)
        if rule.protocol in (0, protocol)
        and (rule.family is None or (rule.family is Family.INET6) is (to.version == _IPV6))
        and (rule.to is None or to in rule.to)
        and (rule.source is None or source in rule.source)
        and (not rule.ports or any(first <= port <= last for first, last in rule.ports))
    ]


def merged(ports: Iterable[tuple[int, int]]) -> Ports:
    """The same ports in as few ranges as can be, in order; Problem if a port is none."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ports):
        if not 0 <= first <= last <= PORT_MAX:
            raise Problem(
                Code.INVALID, f"{first}-{last} is no range of ports 0 to {PORT_MAX}", "/rule/ports"
            )
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def add_mark(rules: list[MarkRule], rule: MarkRule, number: int = 0) -> None:
    """Put a rule in its place, counted from 1; 0: the last. Raises Problem, then unchanged."""
    if not 0 <= number <= len(rules) + 1:
        raise Problem(
            Code.INVALID, f"a mark rule's number is 1 to {len(rules) + 1} here", "/number"
        )
    rule = settled_rule(rule)
    if len(rules) >= RULES_MAX:
        raise Problem(Code.NO_SPACE, f"there is no room for more than {RULES_MAX} mark rules")
    rules.insert(number - 1 if number else len(rules), rule)


def delete_mark(rules: list[MarkRule], named: MarkRule | None, number: int = 0) -> None:
    """Take a rule out, by its number or the first equal one. Raises Problem, then unchanged."""
    if (named is None) is (number == 0):
        raise Problem(Code.INVALID, "a mark rule is named by its number or by its words", "/rule")
    if named is not None:
        try:
            number = rules.index(settled_rule(named)) + 1
        except ValueError:
            raise Problem(Code.NO_SUCH_MARK_RULE, "No such mark rule", "/rule") from None
    if not 1 <= number <= len(rules):
        raise Problem(
            Code.NO_SUCH_MARK_RULE, f"No such mark rule: there are {len(rules)}", "/number"
        )
    del rules[number - 1]


class Marked(NamedTuple):
    """Which marks rules give: whole ones by family, and rules that set some bits only."""

    whole: frozenset[tuple[Family, int]] = frozenset()
    in_part: tuple[MarkRule, ...] = ()

    def has(self, key: ServiceKey) -> bool:
        """Whether packets of that family may have the mark of the service."""
        if (key.family, key.fwmark) in self.whole:
            return True
        return any(
            key.family in families(rule) and key.fwmark & rule.mask == rule.mark & rule.mask
            for rule in self.in_part
        )


NONE_MARKED = Marked()


def marked(rules: Iterable[MarkRule]) -> Marked:
    """The marks that these rules give."""
    whole: set[tuple[Family, int]] = set()
    in_part = []
    for rule in rules:
        if rule.mask == MARK_MAX:
            whole.update((family, rule.mark) for family in families(rule))
        elif rule.mark:
            in_part.append(rule)
    return Marked(frozenset(whole), tuple(in_part))


def families(rule: MarkRule) -> tuple[Family, ...]:
    """Whose packets the rule is for."""
    found = _family(rule)
    return tuple(Family) if found is None else (found,)


def _family(rule: MarkRule) -> Family | None:
    families = {rule.family} - {None}
    for name, network in (("to", rule.to), ("from", rule.source)):
        if network is None:
            continue
        mapped = network.version == _IPV6 and network.prefixlen >= _MAPPED_BITS
        if mapped and network.network_address.ipv4_mapped is not None:  # type: ignore[union-attr]
            raise Problem(
                Code.INVALID,
                f"{network}: no packet has an IPv4-mapped address; write it as IPv4's",
                f"/rule/{name}",
            )
        families.add(Family.INET6 if network.version == _IPV6 else Family.INET)
    if len(families) > 1:
        raise Problem(Code.INVALID, "a rule's addresses are of one family", "/rule")
    return families.pop() if families else None


def _bounded(network: Network | None) -> Network | None:
    """None if it is every address of its family."""
    return network if network is not None and network.prefixlen else None
