# SPDX-License-Identifier: Apache-2.0
"""From rules of marks to what packets look up: classes and their combinations. Pure.

Recursive flow classification: which rules a packet can match by its destination is a
class of ``to``, by its source one of ``source``, by its protocol and port one of
``ports``. Few classes go together, and for those that do the outcome is worked out here.
Sets of rules are numbers with a bit for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from itertools import pairwise, product
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from xlvs.datapath.addresses import packed
from xlvs.datapath.records import MARK_PORT_CLASSES, NO_ADDRESS, MarkMatters
from xlvs.model.mark import MARK_MAX, MarkRule, families
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Family, Network

PREFIXES_MAX = 65536
"""Entries of mark_to, mark_from and mark_ports for one set of rules: half, there may be two."""

COMBINATIONS_MAX = 131072
"""Entries of mark_classes for one set of rules."""

_EXAMINED_MAX = 4 * COMBINATIONS_MAX
"""Combinations that may be looked at, for time: most of many are as if they were not there."""

_SOURCE, _PORTS = int(MarkMatters.SOURCE), int(MarkMatters.PORTS)
_BITS = 128
_MAPPED_BITS = 96
_PORT_BITS = 16
_FEW = 32
_COMBINATIONS = "or more combinations of to, from and ports"

K = TypeVar("K")


class Prefix(NamedTuple):
    """An address prefix in the one address form; ``bits`` of 128."""

    address: bytes
    bits: int


class PortPrefix(NamedTuple):
    """The first ``bits`` of a port's 16; protocol 0: any protocol and port."""

    protocol: int
    port: int
    bits: int


class Classes(NamedTuple):
    """A combination; 0: a class that does not matter to the rules of ``to``."""

    to: int
    source: int
    ports: int


class Change(NamedTuple):
    """What becomes of a mark: ``(mark & keep) ^ value``."""

    keep: int
    value: int

    def then(self, later: Change) -> Change:
        """Both, one after the other."""
        return Change(self.keep & later.keep, (self.value & later.keep) ^ later.value)


class Marks(NamedTuple):
    """A set of rules as the maps have it, without the set's number."""

    to: Mapping[Prefix, int] = MappingProxyType({})
    source: Mapping[Prefix, int] = MappingProxyType({})
    ports: Mapping[PortPrefix, int] = MappingProxyType({})
    classes: Mapping[Classes, Change] = MappingProxyType({})


NO_MARKS = Marks()
NOTHING = Change(MARK_MAX, 0)
_IPV4 = Prefix(packed(IPv4Address(0)), _MAPPED_BITS)
_IPV6 = Prefix(NO_ADDRESS, 0)


class Compiler:
    """``compiled``, that remembers its last rules: they seldom change, and may be thousands."""

    def __init__(self) -> None:
        self._last: tuple[Sequence[MarkRule], Marks] = ((), NO_MARKS)

    def __call__(self, rules: tuple[MarkRule, ...]) -> Marks:
        """As ``compiled``. Asked with the same tuple again, it answers with the same value."""
        if rules is not self._last[0]:
            self._last = (rules, compiled(rules))
        return self._last[1]


def compiled(rules: Sequence[MarkRule]) -> Marks:
    """What the maps should hold for these rules, each settled. Raises Problem: too many."""
    if not rules:
        return NO_MARKS
    groups = _groups(rules)
    to = _by_prefix([each.to for each in groups], _pruning(groups))
    source = _by_prefix([each.source for each in groups])
    ports = _by_port(groups)
    combined = _Combinations(groups, source.classes, ports.classes)
    numbers = [0]
    for matching in to.classes[1:]:
        number = len(numbers) | combined.matters(matching)
        combined.add(number, matching)
        numbers.append(number)
    for entries in (to.entries, source.entries, ports.entries):
        if len(entries) > PREFIXES_MAX:
            what = "prefixes of addresses, or of ports"
            raise _no_room(len(entries), what, PREFIXES_MAX)
    return Marks(
        to={prefix: numbers[each] for prefix, each in to.entries.items()},
        source=source.entries,
        ports=ports.entries,
        classes=combined.changes,
    )


def _no_room(count: int, what: str, most: int) -> Problem:
    return Problem(
        Code.NO_SPACE,
        f"there is no room for these mark rules: they come to {count} {what}, "
        f"and {most} is the most",
    )


class _Group:
    """Neighbouring rules that do the same and differ in one address only: one rule.

    No ``source``: from anywhere.
    """

    def __init__(self, rule: MarkRule) -> None:
        self.to = [_prefix(rule.to)] if rule.to else list(_roots(rule))
        self.source = [_prefix(rule.source)] if rule.source else []
        self.protocol = rule.protocol
        self.ports = rule.ports
        self.change = Change(MARK_MAX & ~rule.mask, rule.mark)

    def take(self, other: _Group) -> bool:
        """Make of both one, if that is the same."""
        ours = (self.protocol, self.ports, self.change)
        if ours != (other.protocol, other.ports, other.change):
            return False
        if self.change.then(self.change) != self.change:
            return False  # a packet may match both
        if self.source == other.source:
            self.to += other.to
        elif self.to == other.to and self.source and other.source:
            self.source += other.source
        else:
            return False
        return True


def _groups(rules: Sequence[MarkRule]) -> list[_Group]:
    found: list[_Group] = []
    for rule in rules:
        group = _Group(rule)
        if not (found and found[-1].take(group)):
            found.append(group)
    return found


def _prefix(network: Network) -> Prefix:
    address = network.network_address
    return Prefix(packed(address), network.prefixlen + _BITS - address.max_prefixlen)


def _roots(rule: MarkRule) -> Iterator[Prefix]:
    """All addresses of the rule's families."""
    for family in families(rule):
        yield _IPV4 if family is Family.INET else _IPV6


class _Classes:
    """Sets of rules, by their number; 0 is the empty one, those up to ``first`` are others."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = {0: 0}
        self._sets = [0] * first

    def of(self, rules: int) -> int:
        number = self._numbers.setdefault(rules, len(self._sets))
        if number == len(self._sets):
            self._sets.append(rules)
        return number

    def put(self, number: int, rules: int) -> int:
        """A class that has its number already."""
        self._sets[number] = rules
        return number

    def all(self) -> list[int]:
        return self._sets


class _Lookup(NamedTuple, Generic[K]):
    """What a trie holds, and which rules each class has."""

    entries: dict[K, int]
    classes: list[int]


def _by_prefix(
    asked: Sequence[Iterable[Prefix]], pruned: Callable[[int], int] = lambda rules: rules
) -> _Lookup[Prefix]:
    """``asked``: the prefixes of each group. Nothing is said twice."""
    own: dict[Prefix, int] = {_IPV4: 0}
    for group, prefixes in enumerate(asked):
        for prefix in prefixes:
            own[prefix] = own.get(prefix, 0) | 1 << group
    classes = _Classes()
    entries: dict[Prefix, int] = {}
    above: list[tuple[Prefix, int, int]] = []
    for prefix in sorted(own):  # what contains others comes before them
        while above and not _contains(above[-1][0], prefix):
            above.pop()
        # A prefix of IPv6 may contain the place where IPv4 is; its rules are not IPv4's.
        inherited = above[-1][1] if above and prefix != _IPV4 else 0
        rules = pruned(own[prefix] | inherited)
        number = classes.of(rules)
        if number != (above[-1][2] if above else 0):
            entries[prefix] = number
        above.append((prefix, rules, number))
    return _Lookup(entries, classes.all())


def _contains(outer: Prefix, inner: Prefix) -> bool:
    if inner.bits < outer.bits:
        return False
    differ = int.from_bytes(outer.address, "big") ^ int.from_bytes(inner.address, "big")
    return not differ >> _BITS - outer.bits


def _pruning(groups: Sequence[_Group]) -> Callable[[int], int]:
    """Leaves out what a later rule overrides for whatever packet."""
    final = 0
    for i, group in enumerate(groups):
        if not group.source and not group.protocol and not group.change.keep:
            final |= 1 << i

    def pruned(rules: int) -> int:
        last = max((rules & final).bit_length() - 1, 0)
        return rules >> last << last

    return pruned


def _by_port(groups: Sequence[_Group]) -> _Lookup[PortPrefix]:
    whole: dict[int, int] = {}
    edges: dict[int, dict[int, int]] = {}
    for i, group in enumerate(groups):
        if not group.protocol:
            continue
        whole.setdefault(group.protocol, 0)
        if not group.ports:
            whole[group.protocol] |= 1 << i
        for first, last in group.ports:
            at = edges.setdefault(group.protocol, {})
            at[first] = at.get(first, 0) ^ 1 << i
            at[last + 1] = at.get(last + 1, 0) ^ 1 << i
    classes = _Classes(MARK_PORT_CLASSES)
    entries: dict[PortPrefix, int] = {}
    for protocol, everywhere in sorted(whole.items()):
        if everywhere:
            entries[PortPrefix(protocol, 0, 0)] = classes.put(protocol, everywhere)
        here = 0
        at = edges.get(protocol, {})
        for first, after in pairwise(sorted(at)):
            here ^= at[first]
            if here:
                number = classes.of(everywhere | here)
                for port, bits in _split(first, after):
                    entries[PortPrefix(protocol, port, bits)] = number
    return _Lookup(entries, classes.all())


def _split(first: int, after: int) -> Iterator[tuple[int, int]]:
    """Prefixes of the ports from ``first`` to before ``after``: port and bits."""
    while first < after:
        size = first & -first or 1 << _PORT_BITS
        while first + size > after:
            size >>= 1
        yield first, _PORT_BITS + 1 - size.bit_length()
        first += size


class _Combinations:
    """Which change goes with which classes."""

    def __init__(
        self, groups: Sequence[_Group], sources: Sequence[int], ports: Sequence[int]
    ) -> None:
        self.changes: dict[Classes, Change] = {}
        self._examined = 0
        self._groups = groups
        self._sources, self._ports = sources, ports
        self._with_source = _where(groups, lambda group: bool(group.source))
        self._with_protocol = _where(groups, lambda group: bool(group.protocol))
        with_ports = _where(groups, lambda group: bool(group.ports))
        self._source = _Asked(sources, self._with_source)
        self._whole = _Asked(ports[:MARK_PORT_CLASSES], self._with_protocol & ~with_ports)
        self._parts = _Asked(ports, with_ports)

    def matters(self, rules: int) -> int:
        """The bits of a class of ``to`` with these rules."""
        source = _SOURCE if rules & self._with_source else 0
        return source | (_PORTS if rules & self._with_protocol else 0)

    def add(self, number: int, rules: int) -> None:
        """All combinations of a class of ``to``, but for those that change nothing."""
        sources = [0, *self._source.by(rules)]
        ports = [0, *self._whole.by(rules), *self._parts.by(rules)]
        self._examined += len(sources) * len(ports)
        if self._examined > _EXAMINED_MAX:
            raise _no_room(self._examined, _COMBINATIONS, COMBINATIONS_MAX)
        for port, source in product(ports, sources):
            match = rules & ~(self._with_source & ~self._sources[source])
            match &= ~(self._with_protocol & ~self._ports[port])
            change = self._change(match)
            if change != self._without(number, source, port):
                self.changes[Classes(number, source, port)] = change
        if len(self.changes) > COMBINATIONS_MAX:
            raise _no_room(len(self.changes), _COMBINATIONS, COMBINATIONS_MAX)

    def _without(self, number: int, source: int, port: int) -> Change:
        """What a packet finds that does not find the combination (stages/marks.h)."""
        general = [port, 0]
        if port >= MARK_PORT_CLASSES:
            general.insert(1, self._groups[next(_members(self._ports[port]))].protocol)
        for each in product(general, (source, 0)):
            found = self.changes.get(Classes(number, each[1], each[0]))
            if found is not None:
                return found
        return NOTHING

    def _change(self, rules: int) -> Change:
        """What the rules do, in their order."""
        found = NOTHING
        while rules and found.keep:
            last = rules.bit_length() - 1
            found = self._groups[last].change.then(found)
            rules ^= 1 << last
        return found


class _Asked:
    """Which classes matter to rules; ``asking``: rules that are for some classes only."""

    def __init__(self, classes: Sequence[int], asking: int) -> None:
        self._asking = asking
        self._classes = classes
        self._of_rule: dict[int, list[int]] = {}
        for number, rules in enumerate(classes):
            for rule in _members(rules & asking):
                self._of_rule.setdefault(rule, []).append(number)

    def by(self, rules: int) -> list[int]:
        """Classes that one of these rules asks for."""
        asking = rules & self._asking
        if asking.bit_count() > _FEW:
            return [i for i, each in enumerate(self._classes) if each & asking]
        numbers = (self._of_rule.get(rule, ()) for rule in _members(asking))
        return sorted(set().union(*numbers))


def _where(groups: Sequence[_Group], asks: Callable[[_Group], bool]) -> int:
    return sum(1 << i for i, group in enumerate(groups) if asks(group))


def _members(rules: int) -> Iterator[int]:
    while rules:
        lowest = rules & -rules
        yield lowest.bit_length() - 1
        rules ^= lowest
