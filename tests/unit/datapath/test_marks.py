# SPDX-License-Identifier: Apache-2.0
"""Compiled mark rules against rules taken one by one, as iptables does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlvs.datapath.addresses import packed
from xlvs.datapath.marks import (
    COMBINATIONS_MAX,
    NO_MARKS,
    Change,
    Classes,
    Marks,
    PortPrefix,
    Prefix,
    compiled,
)
from xlvs.datapath.records import MARK_PORT_CLASSES, MarkMatters
from xlvs.model.mark import MARK_MAX, WITH_PORTS, MarkRule, settled_rule
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Family, Network

TO = ("10.0.0.0/8", "10.9.0.0/16", "10.9.1.0/24", "10.9.1.7/32", "10.9.2.0/23", "0.0.0.0/0")
TO6 = ("fd00::/8", "fd00:9::/32", "fd00:9::7/128", "::/0", "::/64")
FROM = ("192.0.2.0/24", "192.0.2.7/32", "192.0.0.0/8", "0.0.0.0/0")
FROM6 = ("2001:db8::/32", "2001:db8::7/128", "::/0")
CLIENTS = ("192.0.2.7", "192.0.2.8", "192.9.9.9", "203.0.113.1", "2001:db8::7", "2001:db8::8")
TARGETS = ("10.9.1.7", "10.9.1.8", "10.9.2.1", "10.1.1.1", "172.16.0.1", "fd00:9::7", "fd01::1")
PORTS = (0, 1, 79, 80, 81, 443, 7999, 8000, 8500, 8999, 9000, 65535)


def longest(table: Mapping[Prefix, int], address: Address) -> int:
    raw = int.from_bytes(packed(address), "big")
    for bits in range(128, -1, -1):
        masked = (raw >> 128 - bits << 128 - bits).to_bytes(16, "big")
        if (found := table.get(Prefix(masked, bits))) is not None:
            return found
    return 0


def of_port(marks: Marks, protocol: int, port: int) -> int:
    for bits in range(16, -1, -1):
        prefix = PortPrefix(protocol, port >> 16 - bits << 16 - bits, bits)
        if (found := marks.ports.get(prefix)) is not None:
            return found
    return 0


def lookup(marks: Marks, source: Address, to: Address, protocol: int, port: int, mark: int) -> int:
    """What stages/marks.h does."""
    class_to = longest(marks.to, to)
    class_from = longest(marks.source, source) if class_to & MarkMatters.SOURCE else 0
    class_port = of_port(marks, protocol, port) if class_to & MarkMatters.PORTS else 0
    general = [class_port, protocol, 0] if class_port >= MARK_PORT_CLASSES else [class_port, 0]
    for each, where in product(general, (class_from, 0)):
        found = marks.classes.get(Classes(class_to, where, each))
        if found is not None and class_to:
            return (mark & found.keep) ^ found.value
    return mark


def one_by_one(
    rules: Sequence[MarkRule], source: Address, to: Address, protocol: int, port: int, mark: int
) -> int:
    family = Family.INET if to.version == 4 else Family.INET6
    for rule in rules:
        if (
            rule.family in (None, family)
            and (rule.to is None or to in rule.to)
            and (rule.source is None or source in rule.source)
            and rule.protocol in (0, protocol)
            and (not rule.ports or any(a <= port <= b for a, b in rule.ports))
        ):
            mark = (mark & ~rule.mask & MARK_MAX) ^ rule.mark
    return mark


@st.composite
def rules(draw: st.DrawFn) -> MarkRule:
    family = draw(st.sampled_from([Family.INET, Family.INET6, None]))
    to, source = TO, FROM
    if family is Family.INET6:
        to, source = TO6, FROM6
    networks: list[Network | None] = [None, None]
    if family is not None:
        for i, choice in enumerate((to, source)):
            name = draw(st.none() | st.sampled_from(choice))
            networks[i] = None if name is None else ip_network(name)
    protocol = draw(st.sampled_from([0, 1, 6, 6, 17, 132]))
    ports = []
    if protocol > 1 and draw(st.booleans()):
        edges = draw(st.lists(st.sampled_from(PORTS), min_size=2, max_size=4))
        ports = [(min(pair), max(pair)) for pair in zip(edges[::2], edges[1::2], strict=False)]
    return settled_rule(
        MarkRule(
            mark=draw(st.integers(0, 7)),
            mask=draw(st.sampled_from([MARK_MAX, MARK_MAX, 0, 3, 5])),
            to=networks[0],
            source=networks[1],
            family=family,
            protocol=protocol,
            ports=tuple(ports),
        )
    )


packets = st.tuples(
    st.sampled_from(CLIENTS).map(ip_address),
    st.sampled_from(TARGETS).map(ip_address),
    st.sampled_from([1, 6, 17, 50, 132]),
    st.sampled_from(PORTS),
    st.sampled_from([0, 6, 0xF0]),
)


@settings(max_examples=400)
@given(st.lists(rules(), max_size=12), st.lists(packets, min_size=1, max_size=40))
def test_classes_say_what_the_rules_say(
    wanted: list[MarkRule], asked: list[tuple[Address, Address, int, int, int]]
) -> None:
    marks = compiled(wanted)
    for source, to, protocol, port, mark in asked:
        if source.version != to.version:
            continue
        packet = (source, to, protocol, port if protocol in WITH_PORTS else 0, mark)
        assert lookup(marks, *packet) == one_by_one(wanted, *packet), packet


def test_no_rules_no_entries() -> None:
    assert compiled(()) == NO_MARKS


def _to(number: int) -> IPv4Network:
    return IPv4Network((10 << 24 | number, 32))


def test_the_same_for_many_addresses_is_one_class() -> None:
    many = [MarkRule(mark=1, to=_to(2 * i), protocol=6, ports=((80, 80),)) for i in range(10000)]
    found = compiled(many)
    assert len(found.to) == 10000
    assert len(found.classes) == 1


def test_thousands_of_rules_of_their_own_take_no_more_than_they_are() -> None:
    begin = time.perf_counter()
    with_ports = [
        MarkRule(mark=i, to=_to(i), protocol=6, ports=((i % 60000, i % 60000),))
        for i in range(1, 5001)
    ]
    plain = [MarkRule(mark=i, to=_to(1 << 20 | i)) for i in range(1, 5001)]
    everywhere = [MarkRule(mark=9, protocol=17, ports=((53, 53),))]
    found = compiled([*with_ports, *plain, *everywhere])
    assert len(found.classes) < 3 * 10001
    assert time.perf_counter() - begin < 10


def test_what_a_later_rule_overrides_is_left_out() -> None:
    found = compiled([MarkRule(mark=1, to=_to(1)), MarkRule(mark=2)])
    assert list(found.to) == [Prefix(bytes(16), 0)], "all there is"
    assert list(found.classes.values()) == [Change(0, 2)]


def test_an_ipv6_prefix_around_the_place_of_ipv4_is_not_ipv4s() -> None:
    found = compiled([settled_rule(MarkRule(mark=1, to=IPv6Network("::/8")))])
    assert lookup(found, ip_address("192.0.2.1"), ip_address("10.0.0.1"), 6, 80, 0) == 0
    assert lookup(found, ip_address("2001:db8::1"), ip_address("::1"), 6, 80, 0) == 1


def test_too_many_combinations_are_refused_soon() -> None:
    begin = time.perf_counter()
    rules_ = [MarkRule(mark=i, to=_to(i)) for i in range(3000)]
    rules_ += [
        MarkRule(mark=i, source=IPv4Network((11 << 24 | i, 32)), family=Family.INET)
        for i in range(3000)
    ]
    with pytest.raises(Problem, match=f"and {COMBINATIONS_MAX} is the most") as caught:
        compiled(rules_)
    assert caught.value.code is Code.NO_SPACE
    assert time.perf_counter() - begin < 10
