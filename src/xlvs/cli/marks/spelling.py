# SPDX-License-Identifier: Apache-2.0
"""A mark rule in words and back. Every error is a Problem whose ``where`` is the word."""

from __future__ import annotations

import argparse
from ipaddress import ip_interface, ip_network

from xlvs.model.checks import PORT_MAX
from xlvs.model.mark import MARK_MAX, PROTOCOL_MAX, PROTOCOLS, MarkRule, Ports
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Family, Network

ANY = "any"
_HEXADECIMAL_FROM = 0x100
_DIGITS = 5
_ALIASES = {"icmpv6": "ipv6-icmp", "ipencap": "ipip", "ip6": "ipv6"}
_NAMES = {number: name for name, number in PROTOCOLS.items()}


def add_words(parser: argparse.ArgumentParser) -> None:
    """The options that say which packets a rule is for."""
    parser.add_argument("--to", metavar="NET", help="destination addresses (any: all)")
    parser.add_argument("--from", dest="source", metavar="NET", help="source addresses")
    parser.add_argument("--protocol", metavar="NAME", help="tcp, udp, sctp, ... or a number")
    parser.add_argument("--ports", metavar="LIST", help="destination ports, as 80,443,8000-8999")
    family = parser.add_mutually_exclusive_group()
    family.add_argument("--ipv4", action="store_true", help="packets of IPv4 only")
    family.add_argument("--ipv6", action="store_true", help="packets of IPv6 only")


def has_words(args: argparse.Namespace) -> bool:
    """Whether one of the options is there."""
    return any((args.to, args.source, args.protocol, args.ports, args.ipv4, args.ipv6))


def rule_of(mark: str, args: argparse.Namespace) -> MarkRule:
    """The rule that the words say. Raises Problem."""
    value, mask = mark_and_mask(mark)
    family = None
    if args.ipv4 or args.ipv6:
        family = Family.INET6 if args.ipv6 else Family.INET
    return MarkRule(
        mark=value,
        mask=mask,
        to=None if args.to in (None, ANY) else network(args.to),
        source=None if args.source in (None, ANY) else network(args.source),
        family=family,
        protocol=0 if args.protocol in (None, ANY) else protocol(args.protocol),
        ports=() if args.ports is None else ports(args.ports, "-"),
    )


def mark_and_mask(text: str) -> tuple[int, int]:
    """``1`` or ``0x100/0xff00``: of the mark only the bits of the mask are set."""
    first, slash, second = text.partition("/")
    value, mask = number(first), number(second) if slash else MARK_MAX
    if value & ~mask:
        raise Problem(Code.INVALID, f"the mark {first} has bits that its mask has not", text)
    return value, mask


def number(text: str) -> int:
    """A number of 32 bits, hexadecimal with 0x."""
    digits = text[2:] if text[:2] in ("0x", "0X") else ""
    try:
        if not text.isascii() or "_" in text or not text[:1].isdigit():
            raise ValueError(text)  # noqa: TRY301 - int() is more generous
        found = int(digits, 16) if digits else int(text)
    except ValueError:
        raise Problem(Code.INVALID, "a mark is a number, as 1 or 0x10", text) from None
    if found > MARK_MAX:
        raise Problem(Code.INVALID, f"a mark is 0 to {MARK_MAX}", text)
    return found


def network(text: str) -> Network:
    """An address or a prefix of them."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        hint = f"; do you mean {ip_interface(text).network}?"
    except ValueError:
        hint = ", as 10.9.0.0/16 or fd00::/8"
    raise Problem(Code.INVALID, f"this is no network{hint}", text)


def protocol(text: str) -> int:
    """The number of a protocol."""
    name = text.lower()
    found = PROTOCOLS.get(_ALIASES.get(name, name))
    if found is not None:
        return found
    if _is_number(text) and 0 < int(text) <= PROTOCOL_MAX:
        return int(text)
    named = ", ".join(PROTOCOLS)
    raise Problem(Code.INVALID, f"a protocol is one of {named} or a number 1 to 255", text)


def ports(text: str, dash: str) -> Ports:
    """Ports and ranges of them, between commas; ``dash`` is between a range's ends."""
    found = []
    for each in text.split(","):
        first, between, last = each.partition(dash)
        found.append((port(first, text), port(last, text) if between else port(first, text)))
    if any(first > last for first, last in found):
        raise Problem(Code.INVALID, "a range of ports begins with the smaller one", text)
    return tuple(found)


def port(text: str, whole: str) -> int:
    """A port; ``whole`` is what to blame."""
    if not _is_number(text) or int(text) > PORT_MAX:
        raise Problem(Code.INVALID, f"{text!r} is no port 0 to {PORT_MAX}", whole)
    return int(text)


def _is_number(text: str) -> bool:
    """Whether these are few enough decimal digits."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def mark_text(rule: MarkRule) -> str:
    """``1`` or ``0x100/0xff00``."""
    whole = rule.mask == MARK_MAX
    if whole and rule.mark < _HEXADECIMAL_FROM:
        return str(rule.mark)
    return f"{rule.mark:#x}" if whole else f"{rule.mark:#x}/{rule.mask:#x}"


def to_text(rule: MarkRule) -> str:
    """The destination for people."""
    if rule.to is not None:
        return str(rule.to)
    return {None: ANY, Family.INET: "any IPv4", Family.INET6: "any IPv6"}[rule.family]


def protocol_text(rule: MarkRule) -> str:
    """The protocol's name or number."""
    return _NAMES.get(rule.protocol, str(rule.protocol)) if rule.protocol else ANY


def ports_text(rule: MarkRule) -> str:
    """The ports as ``--ports`` takes them, or any."""
    ranges = [f"{a}" if a == b else f"{a}-{b}" for a, b in rule.ports]
    return ",".join(ranges) or ANY


def words(rule: MarkRule) -> str:
    """What ``xlvs mark add`` takes to make this rule."""
    found = [mark_text(rule)]
    if rule.to is not None:
        found += ["--to", str(rule.to)]
    if rule.source is not None:
        found += ["--from", str(rule.source)]
    if rule.family is not None:
        found.append("--ipv6" if rule.family is Family.INET6 else "--ipv4")
    if rule.protocol:
        found += ["--protocol", protocol_text(rule)]
    if rule.ports:
        found += ["--ports", ports_text(rule)]
    if len(found) == 1:
        found += ["--to", ANY]
    return " ".join(found)
