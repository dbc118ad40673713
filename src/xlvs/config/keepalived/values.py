# SPDX-License-Identifier: Apache-2.0
"""Words to values. Each parser gets a line's words and an index, and raises Wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    NetmaskValueError,
)

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.table import Parser
from xlvs.model.service import Address

UINT_MAX = 2**32 - 1
INT_MAX = 2**31 - 1
PORT_MAX = 65535

TIMER_MAX = 4294.0
"""Seconds: keepalived's timers are microseconds in 32 bits."""

INTERFACE_MAX = 15
"""Characters of an interface's name (IFNAMSIZ without the NUL)."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}", re.ASCII)

_BOOLEANS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def word(words: list[str], index: int, what: str = "a value") -> str:
    """The word of that index; Wrong if there is none."""
    if index >= len(words):
        raise Wrong(f"{words[0]} wants {what}", index)
    return words[index]


def text(what: str) -> Parser:
    """Any word that is not empty."""

    def parse(words: list[str], index: int) -> str:
        found = word(words, index, what)
        if not found:
            raise Wrong(f"{words[0]} wants {what}, not an empty word", index)
        return found

    return parse


def number(least: int, most: int, what: str = "") -> Parser:
    """A whole number in decimal digits; ``010`` is ten, as in keepalived."""
    wanted = what or f"a number from {least} to {most}"

    def parse(words: list[str], index: int) -> int:
        found = word(words, index, wanted)
        if _WHOLE.fullmatch(found) and least <= (result := int(found)) <= most:
            return result
        raise Wrong(f"{words[0]} is {wanted}, not {found!r}", index)

    return parse


def decimal(least: float, most: float, unit: str = "s", digits: int = 6) -> Parser:
    """A number with a fraction."""
    wanted = f"{least:g} to {most:g} {unit}"

    def parse(words: list[str], index: int) -> float:
        found = word(words, index, wanted)
        if _DECIMAL.fullmatch(found) and least <= (result := round(float(found), digits)) <= most:
            return result
        raise Wrong(f"{words[0]} is {wanted}, not {found!r}", index)

    return parse


def timer(least: float = 0.0, most: float = TIMER_MAX) -> Parser:
    """Seconds with fractions."""
    return decimal(least, most)


def boolean(words: list[str], index: int) -> bool:
    """on, off and their like; nothing said is on."""
    if index >= len(words):
        return True
    found = _BOOLEANS.get(words[index])
    if found is None:
        raise Wrong(f"{words[0]} is {', '.join(_BOOLEANS)}, not {words[index]!r}", index)
    return found


def choice(options: Mapping[str, object], *, any_case: bool = False) -> Parser:
    """One of some words, to what it stands for."""
    wanted = ", ".join(options)
    folded = {key.lower(): result for key, result in options.items()} if any_case else options

    def parse(words: list[str], index: int) -> object:
        found = word(words, index, f"one of {wanted}")
        key = found.lower() if any_case else found
        if key not in folded:
            raise Wrong(f"{words[0]} is one of {wanted}, not {found!r}", index)
        return folded[key]

    return parse


def interface_name(words: list[str], index: int) -> str:
    """The name of a network interface."""
    found = word(words, index, "the name of an interface")
    if not found or len(found.encode()) > INTERFACE_MAX or "/" in found or found in (".", ".."):
        raise Wrong(
            f"{found!r} is no interface's name: 1 to {INTERFACE_MAX} characters, without /", index
        )
    return found


def plain_address(found: str, index: int) -> Address:
    """An address in numbers. Raises Wrong."""
    try:
        return IPv6Address(found) if ":" in found else IPv4Address(found)
    except AddressValueError:
        raise _no_address(found, index) from None


def _no_address(found: str, index: int) -> Wrong:
    if re.search(r"[A-Za-z]", found) and ":" not in found and "/" not in found:
        return Wrong(
            f"{found!r} is no address: names of hosts are not looked up, write the number", index
        )
    return Wrong(f"{found!r} is no IPv4 or IPv6 address", index)


def address(words: list[str], index: int) -> Address:
    """An address in numbers."""
    return plain_address(word(words, index, "an address"), index)


def interface_address(found: str, index: int) -> IPv4Interface | IPv6Interface:
    """An address with its prefix length; without: the host's own. Raises Wrong."""
    host, slash, length = found.partition("/")
    address = plain_address(host, index)
    if slash and not (length.isascii() and length.isdecimal() and len(length) < len("1000")):
        raise Wrong(f"{length!r} is no prefix length", index)
    try:
        if isinstance(address, IPv6Address):
            return IPv6Interface(found)
        return IPv4Interface(found)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise Wrong(
            f"{length!r} is no prefix length: 0 to {address.max_prefixlen}", index
        ) from None


def port(words: list[str], index: int) -> int:
    """1..65535."""
    found = word(words, index, f"a port from 1 to {PORT_MAX}")
    if _WHOLE.fullmatch(found) and 1 <= (result := int(found)) <= PORT_MAX:
        return result
    raise Wrong(f"a port is 1 to {PORT_MAX}, not {found!r}", index)


def port_or_none(words: list[str], index: int) -> int:
    """A port; 0 or nothing said is 0: any, or the service's."""
    if index >= len(words) or not words[index].strip("0"):
        return 0
    return int(port(words, index))
