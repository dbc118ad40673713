# SPDX-License-Identifier: Apache-2.0
"""What can be refused before anything is built."""

from __future__ import annotations

import pytest

from xlvs.lab import Lab, LabError
from xlvs.lab.lab import realserver_up
from xlvs.lab.plan import TOPOLOGIES


@pytest.mark.parametrize("prefix", ["lab", "xlvs-", "xlvs-a-b", "xlvs-A", "xlvs-../x"])
def test_names_that_could_be_mistaken_for_others(prefix: str) -> None:
    with pytest.raises(LabError, match="is no name for a lab"):
        Lab(prefix=prefix)


def test_an_unknown_topology() -> None:
    with pytest.raises(LabError, match="no topology star: there are full, near, far"):
        Lab("star")


def test_what_is_typed_on_a_real_server() -> None:
    assert realserver_up(TOPOLOGIES["full"], "tun") == [
        *("up", "--vip", "10.0.0.3", "--vip", "fd00::3", "--method", "tun")
    ]
