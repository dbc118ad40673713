# SPDX-License-Identifier: Apache-2.0
"""Who is told what, with keepalived's words and in its order."""

from __future__ import annotations

import pytest

from xlvs.io.vrrp.helper import Run, Write
from xlvs.io.vrrp.notify import RIVAL, orders, word
from xlvs.model.notification import Command, Fifo
from xlvs.model.vrrp import Notifications
from xlvs.protocols.vrrp.effects import State

MASTER, FAULT, LOWER, DELETED, ANY = (Command((one,)) for one in "mflda")
NOTIFY = Notifications(master=MASTER, fault=FAULT, master_rx_lower_priority=LOWER, any=ANY)


def told(what, notify=NOTIFY, fifos=()):
    return list(orders(("INSTANCE", "v"), what, 100, notify, fifos))


def test_the_specific_script_comes_first():
    (run,) = told("MASTER")
    assert run == Run(((MASTER, ()), (ANY, ("INSTANCE", "v", "MASTER", "100"))))


def test_without_a_specific_one():
    assert told("BACKUP") == [Run(((ANY, ("INSTANCE", "v", "BACKUP", "100")),))]


def test_a_deleted_instance_is_a_fault_unless_notify_deleted():
    (run,) = told("DELETED")
    assert run == Run(((FAULT, ()), (ANY, ("INSTANCE", "v", "FAULT", "100"))))
    (run,) = told("DELETED", Notifications(deleted=DELETED, any=ANY))
    assert run == Run(((DELETED, ()), (ANY, ("INSTANCE", "v", "DELETED", "100"))))


def test_a_rival_is_not_a_transition():
    assert told(RIVAL) == [Run(((LOWER, ()),))]


def test_fifos():
    written = told("MASTER", Notifications(), (Fifo("/one"), Fifo("/two")))
    line = 'INSTANCE "v" MASTER 100\n'
    assert written == [Write("/one", line), Write("/two", line)]


@pytest.mark.parametrize(
    ("state", "deleted", "expected"),
    [
        (State.MASTER, False, "MASTER"),
        (State.INIT, False, "STOP"),
        (State.INIT, True, "DELETED"),
    ],
)
def test_words(state, deleted, expected):
    assert word(state, deleted=deleted) == expected
