# SPDX-License-Identifier: Apache-2.0
"""Which sync daemons there may be, and how long their messages are."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from xlvs.model.desired import Bounds, Desired, Draft, apply
from xlvs.model.edit import Clear, StartSync, StopSync
from xlvs.model.problem import Code, Problem
from xlvs.model.syncing import SyncChannel, SyncDaemon, SyncRole, message_length, roles_of

CHANNEL = SyncChannel(interface="eth0")
V6 = SyncChannel(interface="eth0", group=ip_address("ff02::51"))
MASTER, BACKUP = SyncRole.MASTER, SyncRole.BACKUP


@pytest.mark.parametrize(
    ("channel", "role", "mtu", "length"),
    [
        (CHANNEL, MASTER, 9000, 1472),
        (V6, MASTER, 9000, 1452),
        (CHANNEL, BACKUP, 9000, 8972),
        (V6, BACKUP, 9000, 8952),
        (CHANNEL, BACKUP, 1280, 1472),
        (CHANNEL, BACKUP, 65536, 65507),
        (replace(CHANNEL, max_length=1), MASTER, 1500, 1),
        (replace(CHANNEL, max_length=1), BACKUP, 1500, 1024),
        (replace(V6, max_length=65507), BACKUP, 1500, 65487),
        (replace(CHANNEL, max_length=65507), MASTER, 1500, 65507),
    ],
)
def test_lengths_of_messages_are_ipvss(
    channel: SyncChannel, role: SyncRole, mtu: int, length: int
) -> None:
    assert message_length(channel, role, mtu) == length


def test_one_daemon_for_each_role_and_clear_leaves_them() -> None:
    wanted = apply(Desired(), StartSync(role=BACKUP, channel=CHANNEL))
    wanted = apply(wanted, StartSync(role=MASTER, channel=V6))
    assert wanted.sync == {
        BACKUP: replace(CHANNEL, max_length=1472),
        MASTER: replace(V6, max_length=1452),
    }
    assert apply(wanted, Clear()).sync == wanted.sync
    assert apply(wanted, StopSync(role=BACKUP)).sync.keys() == {MASTER}


def refused(desired: Desired, edit: StartSync | StopSync, **bounds: Any) -> Problem:
    draft = Draft(desired, Bounds(**bounds))
    with pytest.raises(Problem) as found:
        draft.apply(edit)
    assert draft.desired() == desired
    return found.value


def test_what_is_refused_changes_nothing() -> None:
    start, stop = StartSync(role=MASTER, channel=CHANNEL), StopSync(role=MASTER)
    runs = apply(Desired(), start)
    assert refused(runs, start).code is Code.SYNC_RUNS
    assert refused(Desired(), stop).code is Code.NO_SYNC_RUNS
    # The device is looked for first, as by the kernel.
    assert refused(runs, start, mtu=lambda _: None).code is Code.NO_SUCH_DEVICE
    for edit in (start, stop):
        problem = refused(Desired(), edit, sync_owner="lvs_sync_daemon of /etc/some.conf")
        assert problem.code is Code.NOT_SUPPORTED
        assert "lvs_sync_daemon of /etc/some.conf: change it there" in problem.message


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("interface", "", Code.NO_SUCH_DEVICE),
        ("interface", "abcdefghijklmnop", Code.NO_SUCH_DEVICE),
        ("sync_id", 256, Code.INVALID),
        ("sync_id", -1, Code.INVALID),
        ("max_length", 65536, Code.INVALID),
        ("port", 0, Code.INVALID),
        ("ttl", 256, Code.INVALID),
        ("group", ip_address("10.0.0.1"), Code.INVALID),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(field: str, value: Any, code: Code) -> None:
    channel = replace(CHANNEL, **{field: value})
    problem = refused(Desired(), StartSync(role=MASTER, channel=channel))
    assert (problem.code, problem.where) == (code, f"/channel/{field}")


@given(st.booleans(), st.booleans(), st.booleans())
def test_the_roles_of_a_file(master: bool, backup: bool, is_master: bool) -> None:
    daemon = SyncDaemon(interface="eth0", master=master, backup=backup)
    found = roles_of(daemon, is_master=is_master)
    assert (MASTER in found, BACKUP in found) == (master, backup)
    followed = roles_of(replace(daemon, instance="VI_1"), is_master=is_master)
    assert set(followed) == {MASTER if is_master else BACKUP}
    assert roles_of(replace(daemon, interface=""), is_master=is_master) == {}
    assert roles_of(None, is_master=is_master) == {}
