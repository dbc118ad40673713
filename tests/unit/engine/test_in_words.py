# SPDX-License-Identifier: Apache-2.0
"""Edits as sentences, also of edits that build on one another."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.datapath_plan.build import KEY, add, add_service, change, drain, drop, undrain

from xlvs.engine.in_words import about, in_words, summary
from xlvs.model.desired import Desired, apply_all
from xlvs.model.edit import (
    AddLocalAddress,
    AddMark,
    AnyEdit,
    ChangeList,
    ChangePool,
    Clear,
    ClearMarks,
    DeleteList,
    DeleteLocalAddress,
    DeleteMark,
    DeletePool,
    DeleteService,
    EditService,
    PutList,
    SetPool,
    SetSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    Zero,
)
from xlvs.model.mark import MarkRule
from xlvs.model.syncing import SyncChannel, SyncRole

CHANNEL = SyncChannel(interface="eth1")
ONE = "192.168.200.11:80 of tcp 10.0.0.1:80"
THERE, _ = apply_all(Desired(), [add_service(), add(1, weight=2)], "abort")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (add(2), "add 192.168.200.12:80 of tcp 10.0.0.1:80: method nat, weight 1"),
        (change(1, weight=5), f"change {ONE}: weight 2 becomes 5"),
        (drop(1), f"remove {ONE}"),
        (drain(1), f"drain {ONE}"),
        (undrain(1), f"end the drain of {ONE}"),
        (DeleteService(key=KEY), "remove tcp 10.0.0.1:80 and its 1 real servers"),
        (Clear(), "remove all services"),
        (Zero(), "zero the counters of all services"),
        (Zero(service=KEY), "zero the counters of tcp 10.0.0.1:80"),
        (SetTimeouts(tcp=5), "set time-outs: tcp 900 becomes 5"),
        (SetSettings(values={"a": "1", "b": "2"}), "set a 1, b 2"),
        (AddMark(rule=MarkRule(mark=3)), "add a rule for the mark 3"),
        (DeleteMark(number=1), "remove a mark rule"),
        (ClearMarks(), "remove all mark rules"),
        (PutList(name="a", prefixes=("1.1.1.1",)), "make the list of clients a: 1 prefixes"),
        (ChangeList(name="a", add=("1.1.1.1",)), "list of clients a: 1 prefixes come, 0 go"),
        (DeleteList(name="a"), "remove the list of clients a"),
        (StartSync(role=SyncRole.MASTER, channel=CHANNEL), "start the sync master on eth1"),
        (StopSync(role=SyncRole.BACKUP), "stop the sync backup of run-time commands"),
        (
            AddLocalAddress(service=KEY, address=ip_address("10.1.0.9")),
            "add the local address 10.1.0.9 to tcp 10.0.0.1:80",
        ),
        (
            DeleteLocalAddress(service=KEY, address=ip_address("10.1.0.9")),
            "remove the local address 10.1.0.9 from tcp 10.0.0.1:80",
        ),
        (
            SetPool(name="a", addresses=(ip_address("10.1.0.9"), ip_address("10.1.0.8"))),
            "make the pool a of local addresses: 10.1.0.9, 10.1.0.8",
        ),
        (
            ChangePool(name="a", add=(ip_address("10.1.0.7"),), remove=(ip_address("10.1.0.9"),)),
            "change the pool a of local addresses: +10.1.0.7, -10.1.0.9",
        ),
        (DeletePool(name="a"), "remove the pool a of local addresses"),
    ],
)
def test_sentences(edit, words):
    assert list(in_words(THERE, [edit])) == [words]


def test_every_kind_of_edit_has_words():
    for kind in AnyEdit.__args__:
        assert kind.__name__ in {type(each).__name__ for each in MADE}
    assert not any(type(e).__name__ in w for e in MADE for w in in_words(THERE, [e]))


MADE = [
    SetPool(name="a", addresses=()),
    ChangePool(name="a"),
    DeletePool(name="a"),
    StartSync(role=SyncRole.MASTER, channel=CHANNEL),
    StopSync(role=SyncRole.MASTER),
    EditService(service=THERE.services[KEY][0]),
    add_service(),
    add(2),
    change(1),
    drop(1),
    drain(1),
    undrain(1),
    DeleteService(key=KEY),
    Clear(),
    Zero(),
    SetTimeouts(tcp=5),
    SetSettings(values={}),
    AddMark(rule=MarkRule(mark=3)),
    DeleteMark(number=1),
    ClearMarks(),
    PutList(name="a"),
    ChangeList(name="a"),
    DeleteList(name="a"),
    AddLocalAddress(service=KEY, address=ip_address("10.1.0.9")),
    DeleteLocalAddress(service=KEY, address=ip_address("10.1.0.9")),
]


def test_edits_of_what_an_edit_before_has_made():
    said = summary(Desired(), [add_service(), add(1), change(1, weight=4), drop(1)])
    assert "change 192.168.200.11:80 of tcp 10.0.0.1:80: method nat, weight 4" in said
    assert "remove tcp" in summary(Desired(), [DeleteService(key=KEY)])


def test_many_edits_are_summed_up():
    said = summary(Desired(), [add(1)] * 20)
    assert said.count("add ") == 8
    assert said.endswith("; and 12 more")


def test_what_they_are_about():
    assert about([add_service(), add(1)]) == "tcp 10.0.0.1:80"
    assert about([add_service(), Clear()]) == ""
    assert about([Clear()]) == ""
