# SPDX-License-Identifier: Apache-2.0
"""Our sync daemons and the kernel's, each hearing the other, in a guest with a real kernel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from . import uml

GUEST = Path(uml.__file__).with_name("sync_guest.py")
SOURCES = Path(__file__).parents[2] / "src"
PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP"}
STATES = {(6, 1): "ESTABLISHED", (6, 7): "CLOSE_WAIT", (17, 0): "UDP", (132, 8): "ESTABLISHED"}
TEMPLATE = 0x1000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    why = uml.missing()
    if why:
        pytest.skip(why)
    work = tmp_path_factory.mktemp("uml")
    uml.run(work, ["env", f"PYTHONPATH={SOURCES}", sys.executable, str(GUEST)])
    found: list[dict[str, Any]] = json.loads((work / "result.json").read_text())
    return found


def end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def line(one: dict[str, Any]) -> tuple[str, ...]:
    """As ``ipvsadm -Lnc`` lists it, without the time."""
    state = "ASSURED" if one["flags"] & TEMPLATE else STATES[one["protocol"], one["state"]]
    return (
        PROTOCOLS[one["protocol"]],
        state,
        end(one["client"], one["client_port"]),
        end(one["virtual"], one["virtual_port"]),
        end(one["server"], one["server_port"]),
    )


def seconds(text: str) -> int:
    minutes, rest = text.split(":")
    return int(minutes) * 60 + int(rest)


@pytest.mark.parametrize("number", [0, 1], ids=["IPv4", "IPv6 group and two ports"])
def test_the_kernel_takes_our_messages(results: list[dict[str, Any]], number: int) -> None:
    result = results[number]
    listed = {(row[0], *row[2:]): seconds(row[1]) for row in result["listed"]}
    for one in result["said"]:
        left = listed[line(one)]
        assert 0 <= one["timeout"] - left < 10, line(one)
    assert len(listed) >= len(result["said"])


@pytest.mark.parametrize("number", [0, 1], ids=["IPv4", "IPv6 group and two ports"])
def test_we_take_the_kernels_messages(results: list[dict[str, Any]], number: int) -> None:
    received = results[number]["received"]
    got = [one for one in received["got"] if one["virtual_port"] == 80]
    assert [one["state"] for one in got][-1] == 5
    assert {one["state"] for one in got} >= {1, 5}
    last = got[-1]
    assert (last["client"], last["server"]) == ("10.0.0.1", "192.168.77.2")
    assert (last["server_port"], last["timeout"]) == (8080, 120.0)
    rows = [row for row in received["listed"] if row[3] == end("10.0.0.1", last["client_port"])]
    assert [row[2] for row in rows] == ["TIME_WAIT"]
