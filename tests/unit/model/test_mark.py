# SPDX-License-Identifier: Apache-2.0
"""Mark rules: what can be one, how one is kept, and edits of their list."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from xlvs.model.desired import Desired, apply, apply_all
from xlvs.model.edit import AddMark, Clear, ClearMarks, DeleteMark
from xlvs.model.mark import MARK_MAX, MarkRule, marked, matching, settled_rule
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Family, Network, Protocol, ServiceKey


def net(text: str) -> Network:
    return ip_network(text)


A = MarkRule(mark=1, to=net("10.9.0.0/16"))
B = MarkRule(mark=2, to=net("10.9.1.0/24"), protocol=6, ports=((80, 80),))
C = MarkRule(mark=3, family=Family.INET6)


@pytest.mark.parametrize(
    ("wrong", "where", "words"),
    [
        ({"mark": -1}, "/rule/mark", "0 to 4294967295"),
        ({"mark": 2**32}, "/rule/mark", "0 to 4294967295"),
        ({"mark": 1, "mask": 2**32}, "/rule/mask", "0 to 4294967295"),
        ({"mark": 1, "protocol": 256}, "/rule/protocol", "0 (any) to 255"),
        ({"mark": 1, "ports": ((80, 80),)}, "/rule/ports", "tcp, udp, sctp"),
        ({"mark": 1, "protocol": 1, "ports": ((80, 80),)}, "/rule/ports", "tcp, udp, sctp"),
        ({"mark": 1, "protocol": 6, "ports": ((80, 79),)}, "/rule/ports", "80-79"),
        ({"mark": 1, "protocol": 6, "ports": ((0, 65536),)}, "/rule/ports", "0-65536"),
        ({"mark": 1, "to": net("10.0.0.0/8"), "source": net("::/0")}, "/rule", "one family"),
        ({"mark": 1, "to": net("10.0.0.0/8"), "family": Family.INET6}, "/rule", "one family"),
        ({"mark": 1, "to": net("::ffff:10.0.0.0/104")}, "/rule/to", "IPv4-mapped"),
        ({"mark": 1, "source": net("::ffff:0:0/96")}, "/rule/from", "IPv4-mapped"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_and_changes_nothing(
    wrong: dict[str, Any], where: str, words: str
) -> None:
    before = Desired(marks=(A,))
    with pytest.raises(Problem) as caught:
        apply(before, AddMark(rule=MarkRule(**wrong)))
    assert caught.value.code is Code.INVALID
    assert caught.value.where == where
    assert words in caught.value.message
    assert before.marks == (A,)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (MarkRule(mark=1, to=net("0.0.0.0/0")), MarkRule(mark=1, family=Family.INET)),
        (MarkRule(mark=1, source=net("::/0")), MarkRule(mark=1, family=Family.INET6)),
        (MarkRule(mark=1, to=net("10.0.0.0/8"), family=Family.INET), None),
        (MarkRule(mark=1, to=net("10.0.0.0/8"), source=net("0.0.0.0/0")), None),
        (
            MarkRule(mark=1, protocol=6, ports=((90, 99), (80, 80), (81, 85), (95, 120))),
            MarkRule(mark=1, protocol=6, ports=((80, 85), (90, 120))),
        ),
    ],
)
def test_the_same_rule_has_one_form(given: MarkRule, kept: MarkRule | None) -> None:
    assert settled_rule(given) == (kept or MarkRule(mark=1, to=net("10.0.0.0/8")))
    assert settled_rule(settled_rule(given)) == settled_rule(given)


def test_rules_are_added_at_the_end_or_at_a_number() -> None:
    desired = apply(apply(Desired(), AddMark(rule=A)), AddMark(rule=B))
    assert desired.marks == (A, B)
    assert apply(desired, AddMark(rule=C, number=1)).marks == (C, A, B)
    assert apply(desired, AddMark(rule=C, number=3)).marks == (A, B, C)
    with pytest.raises(Problem, match="1 to 3"):
        apply(desired, AddMark(rule=C, number=4))
    with pytest.raises(Problem, match="1 to 3"):
        apply(desired, AddMark(rule=C, number=-1))


def test_rules_are_deleted_by_number_or_by_words() -> None:
    desired = Desired(marks=(A, B, A, C))
    assert apply(desired, DeleteMark(number=2)).marks == (A, A, C)
    assert apply(desired, DeleteMark(rule=A)).marks == (B, A, C), "the first one"
    again = MarkRule(mark=3, to=net("::/0"))
    assert apply(desired, DeleteMark(rule=again)).marks == (A, B, A), "in its one form"
    for edit in (DeleteMark(number=5), DeleteMark(rule=MarkRule(mark=9))):
        with pytest.raises(Problem) as caught:
            apply(desired, edit)
        assert caught.value.code is Code.NO_SUCH_MARK_RULE
    for edit in (DeleteMark(), DeleteMark(number=1, rule=A)):
        with pytest.raises(Problem, match="by its number or by its words"):
            apply(desired, edit)


def test_marks_are_not_ipvs_and_outlive_clear() -> None:
    desired = apply(Desired(marks=(A,)), Clear())
    assert desired.marks == (A,)
    assert apply(desired, ClearMarks()).marks == ()


def test_one_refused_rule_refuses_all() -> None:
    before = Desired(marks=(A,))
    with pytest.raises(Problem) as caught:
        apply_all(before, [ClearMarks(), AddMark(rule=B), AddMark(rule=MarkRule(mark=-1))], "abort")
    assert caught.value.where == "/edits/2/rule/mark"
    desired, results = apply_all(
        before, [AddMark(rule=MarkRule(mark=-1)), AddMark(rule=B)], "continue"
    )
    assert [each is None for each in results] == [False, True]
    assert desired.marks == (A, B)
    assert before.marks == (A,)


def _key(mark: int, family: Family = Family.INET) -> ServiceKey:
    return ServiceKey(protocol=Protocol.FWM, fwmark=mark, family=family)


def test_which_services_rules_lead_to() -> None:
    found = marked([A, C, MarkRule(mark=0x30, mask=0xF0), MarkRule(mark=0, mask=0xF)])
    assert found.has(_key(1))
    assert not found.has(_key(1, Family.INET6))
    assert found.has(_key(3, Family.INET6))
    assert not found.has(_key(3))
    assert found.has(_key(0x35)), "the rest of the bits may come from elsewhere"
    assert not found.has(_key(0x45))
    assert not marked([]).has(_key(1))
    assert MARK_MAX == 2**32 - 1


@pytest.mark.parametrize(
    ("source", "to", "protocol", "port", "numbers"),
    [
        ("1.2.3.4", "10.9.1.1", 6, 80, [1, 2]),
        ("1.2.3.4", "10.9.1.1", 6, 81, [1]),
        ("1.2.3.4", "10.9.1.1", 17, 80, [1]),
        ("1.2.3.4", "10.8.0.1", 6, 80, []),
        ("fd00::1", "fd00::2", 6, 80, [3]),
    ],
)
def test_which_rules_are_for_a_packet(
    source: str, to: str, protocol: int, port: int, numbers: list[int]
) -> None:
    rules = [A, B, C]
    assert matching(rules, ip_address(source), ip_address(to), protocol, port) == numbers
