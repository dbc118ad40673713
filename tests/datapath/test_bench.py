# SPDX-License-Identifier: Apache-2.0
"""The benchmark still measures what it says: its own checks run on a few rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_short_run_finds_no_row_that_is_not_what_it_claims(tmp_path) -> None:
    command = ["bench/datapath.py", "--quick", "--rounds", "1", "--method", "dr", "--flows", "1"]
    run = subprocess.run(
        [sys.executable, *command, "--json", tmp_path / "all.json", "--plot", tmp_path / "plots"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "ERROR" not in run.stdout
    for part in ("| dr", "### Targets", "### Memory", "### Stateless mh", "### IPv6, new"):
        assert part in run.stdout
    figures = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert figures["errors"] == []
    assert figures["rounds"] == 1
    groups = {row["group"] for row in figures["rows"]}
    assert groups == {"floor", "established", "new", "stateless", "established6", "new6", "other"}
    (memory,) = figures["memory"]
    assert memory["bytes"] > memory["connections"] * 32
    assert {target["what"] for target in figures["targets"]} >= {"dr, established", "not ours"}
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert plots == {"program-established.svg", "program-new.svg"}


def test_a_short_run_of_features_finds_no_row_that_is_not_what_it_claims(tmp_path) -> None:
    """Few of them, but those whose packets become others."""
    command = ["-m", "bench.features", "--quick", "--rounds", "1"]
    for feature in ("syn-proxy", "proxy-v2", "toa"):
        command += ["--feature", feature]
    run = subprocess.run(
        [sys.executable, *command, "--json", tmp_path / "all.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "ERROR" not in run.stdout
    figures = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert figures["errors"] == []
    assert {flood["hook"] for flood in figures["floods"]} == {"xdp", "tc"}
    assert {row["feature"] for row in figures["rows"]} == {"off", "syn-proxy", "proxy-v2", "toa"}
