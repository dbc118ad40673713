# SPDX-License-Identifier: Apache-2.0
"""The end-to-end benchmark runs, checks its rows, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest
from bench.e2e.balancers import missing

ROOT = Path(__file__).resolve().parents[2]
RUN = [sys.executable, "-m", "bench.e2e.main", "--rounds", "1", "--seconds", "1"]
SHORT = [*RUN, "--only", "xlvs dr on xdp, 256 flows"]
PLACES = [Path(name) for name in ("/run/netns", "/run/xlvs", "/sys/fs/bpf/xlvs", "/tmp")]  # noqa: S108
ENV = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
INTERRUPTED = 130

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def left_by(pid: int) -> list[str]:
    return [f"{path}" for place in PLACES for path in place.glob(f"*e2e{pid}*")]


def test_a_short_run_finds_no_row_that_is_not_what_it_claims(tmp_path) -> None:
    found = tmp_path / "all.json"
    with Popen([*SHORT, "--json", found], cwd=ROOT, env=ENV, stdout=PIPE, stderr=PIPE) as run:
        out, said = run.communicate(timeout=120)
    assert run.returncode == 0, said.decode()
    assert b"ERROR" not in out
    figures = json.loads(found.read_text(encoding="utf-8"))
    floor, ours = figures["rows"]
    assert (floor["name"], ours["name"]) == ("XDP_DROP (floor)", "xlvs dr on xdp")
    assert ours["ratio"] == ours["median"] / floor["median"]
    assert left_by(run.pid) == []


@pytest.mark.parametrize("until", ["building the network", "xlvsd on", "round 1"])
def test_an_interrupted_run_leaves_nothing(until) -> None:
    with Popen(SHORT, cwd=ROOT, env=ENV, stdout=DEVNULL, stderr=PIPE, text=True) as run:
        for line in run.stderr:
            if until in line:
                break
        time.sleep(0.3)
        run.send_signal(signal.SIGTERM)
        said = run.stderr.read()
    assert run.returncode == INTERRUPTED, said
    assert left_by(run.pid) == []
