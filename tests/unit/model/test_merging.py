# SPDX-License-Identifier: Apache-2.0
"""Received records against held ones; more in ``tests/oracle/test_sync.py``."""

from __future__ import annotations

import pytest
from tests.unit.protocols.synced import connection

from xlvs.model.merging import Effect, effect, updated
from xlvs.model.synced import Flag, Forward, Synced

OTHER = connection(server=b"\xc0\xa8\xc8\x0c")
END = int(Flag.INACTIVE)
TEMPLATE = int(Flag.TEMPLATE)


@pytest.mark.parametrize(
    ("held", "received", "expected"),
    [
        (None, connection(), Effect.OPEN),
        (None, connection(idle=899.0), Effect.OPEN),
        (None, connection(idle=900.0), Effect.OVER),
        (None, connection(timeout=0.0, idle=5.0), Effect.OPEN),
        (connection(), connection(), Effect.UPDATE),
        (connection(idle=2.0), connection(idle=1.0, state=4), Effect.UPDATE),
        (connection(idle=1.0), connection(idle=2.0, state=4), Effect.OLDER),
        (connection(idle=-1.0), connection(idle=2.0), Effect.UPDATE),
        (connection(), OTHER, Effect.REPLACE),
        (connection(), OTHER._replace(server_port=1, server=connection().server), Effect.REPLACE),
        (connection(), OTHER._replace(flags=END), Effect.REPLACED),
        (connection(idle=1.0), OTHER._replace(idle=2.0), Effect.OLDER),
        (connection(flags=TEMPLATE), OTHER._replace(flags=TEMPLATE), Effect.UPDATE),
    ],
)
def test_effects(held: Synced | None, received: Synced, expected: Effect) -> None:
    assert effect(held, received) is expected


def test_an_update_keeps_server_method_and_mark() -> None:
    held = connection(flags=int(Forward.DR | Flag.NO_OUTPUT), fwmark=5, idle=9.0)
    received = connection(flags=int(Forward.TUN | Flag.INACTIVE), state=4, timeout=120.0)
    after = updated(held, received)
    assert after.flags == Forward.DR | Flag.NO_OUTPUT | Flag.INACTIVE
    assert (after.state, after.timeout, after.idle, after.fwmark) == (4, 120.0, 0.0, 5)
