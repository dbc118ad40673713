# SPDX-License-Identifier: Apache-2.0
"""Pools of local addresses: what FULLNAT's connections come from, by name.

A service names a pool, or has local addresses of its own; without either it uses the pool
``default``, and without that those that the daemon was started with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

from xlvs.model.checks import is_unicast
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Service

DEFAULT = "default"
"""The pool of services that name none and have no local addresses of their own."""

ADDRESSES_MAX = 1024
"""Of a pool: as many as there can be pairs of local address and real server."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)

Pools = Mapping[str, tuple[Address, ...]]


def check_name(name: str) -> None:
    """Raises Problem for a name that no pool can have."""
    if not _NAME.fullmatch(name):
        raise Problem(
            Code.INVALID,
            f"{name!r} cannot name a pool: up to 64 letters, digits, '_', '.' and '-', of which "
            "the last two do not come first",
            "/name",
        )


def spelled(words: Iterable[str]) -> tuple[Address, ...]:
    """Addresses, ranges (``10.2.0.1-10.2.0.9``) and prefixes (``10.2.1.0/28``), all of them.

    Of a prefix every address counts. Raises Problem, with the word in ``where``.
    """
    found: dict[Address, None] = {}
    for word in words:
        found.update(dict.fromkeys(_addresses(word)))
    return tuple(found)


def _addresses(word: str) -> Iterable[Address]:
    try:
        if "/" in word:
            network = ip_network(word)
            first, last = network.network_address, network.broadcast_address
        else:
            start, _, end = word.partition("-")
            first = ip_address(start)
            last = ip_address(end) if end else first
    except ValueError as error:
        raise Problem(Code.INVALID, f"{error}: address, FIRST-LAST or PREFIX", word) from None
    if first.version != last.version or int(last) < int(first):
        raise Problem(Code.INVALID, "a range ends where it begins or later", word)
    if int(last) - int(first) >= ADDRESSES_MAX:
        raise Problem(Code.INVALID, f"more than {ADDRESSES_MAX} addresses", word)
    kind = type(first)
    return [kind(number) for number in range(int(first), int(last) + 1)]


def check_addresses(
    addresses: tuple[Address, ...], is_broadcast: Callable[[Address], bool]
) -> None:
    """Raises Problem for what no pool can have."""
    if len(addresses) > ADDRESSES_MAX:
        words = f"a pool has up to {ADDRESSES_MAX} addresses, not {len(addresses)}"
        raise Problem(Code.INVALID, words, "/addresses")
    for at, each in enumerate(addresses):
        if not is_unicast(each) or is_broadcast(each):
            words = f"{each} cannot be a local address: it is no unicast address"
            raise Problem(Code.INVALID, words, f"/addresses/{at}")
    if len(set(addresses)) < len(addresses):
        twice = next(each for each in addresses if addresses.count(each) > 1)
        raise Problem(Code.INVALID, f"{twice} is there twice", "/addresses")


def changed(
    before: tuple[Address, ...], add: tuple[Address, ...], remove: tuple[Address, ...]
) -> tuple[Address, ...]:
    """With some more and without others. Raises Problem if it has or has not got them."""
    for at, each in enumerate(remove):
        if each not in before:
            raise Problem(Code.NO_SUCH_LOCAL_ADDRESS, f"it does not have {each}", f"/remove/{at}")
    for at, each in enumerate(add):
        if each in before:
            raise Problem(Code.LOCAL_ADDRESS_EXISTS, f"it has {each} already", f"/add/{at}")
    return (*(each for each in before if each not in remove), *add)


def check_named(service: Service, pools: Pools) -> None:
    """Raises Problem if a service names a pool that is not there, or more than a pool."""
    if not service.local_pool:
        return
    where = "/service/local_pool"
    if service.local_addresses:
        words = "a service has local addresses of its own or a pool, not both"
        raise Problem(Code.INVALID, words, where)
    if service.local_pool not in pools:
        there = f"there are {', '.join(sorted(pools))}" if pools else "there is none"
        words = f"there is no pool {service.local_pool!r} of local addresses ({there})"
        raise Problem(Code.INVALID, words, where)


def addresses_of(
    service: Service, pools: Pools, fallback: tuple[Address, ...]
) -> Iterable[Address]:
    """Local addresses that the service's connections may have, of any family."""
    if service.local_addresses:
        return service.local_addresses
    return pools.get(service.local_pool or DEFAULT, fallback)
