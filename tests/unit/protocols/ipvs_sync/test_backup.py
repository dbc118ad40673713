# SPDX-License-Identifier: Apache-2.0
"""Counting; what is taken is ``test_codec.py``'s and the recordings' business."""

from __future__ import annotations

from tests.unit.protocols.synced import connection

from xlvs.protocols.ipvs_sync.backup import Backup
from xlvs.protocols.ipvs_sync.faults import Kind
from xlvs.protocols.ipvs_sync.master import Master


def test_what_came_and_what_was_wrong_is_counted() -> None:
    master = Master(7)
    master.offer([connection(), connection(40001)], 0.0)
    message = master.next(2.0)
    assert message is not None
    backup = Backup(7)
    assert backup.receive(message.data) == (connection(), connection(40001))
    assert backup.receive(message.data[:-1]) == ()
    assert backup.receive(b"\0\x08" + message.data[2:]) == ()
    assert (backup.messages, backup.connections) == (3, 2)
    assert backup.bytes == 3 * len(message.data) - 1
    assert backup.faults == {Kind.SIZE: 1, Kind.SYNC_ID: 1}
    assert str(backup.last_fault) == "sync id 8, ours is 7"
