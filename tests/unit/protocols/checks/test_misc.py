# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from xlvs.protocols.checks import misc


@pytest.mark.parametrize(
    ("status", "dynamic", "ok", "weight"),
    [
        (0, False, True, None),
        (0, True, True, None),
        (1, False, False, None),
        (1, True, False, None),
        (2, False, False, None),
        (2, True, True, 0),
        (12, True, True, 10),
        (255, True, True, 253),
    ],
)
def test_judge(status: int, dynamic: bool, ok: bool, weight: int | None) -> None:
    outcome = misc.judge(status, dynamic=dynamic)
    assert (outcome.ok, outcome.weight) == (ok, weight)


def test_cause() -> None:
    assert misc.judge(3, dynamic=False, said="disk full").cause == "exit status 3: disk full"
