# SPDX-License-Identifier: Apache-2.0
"""The benchmark still measures what it says: its own checks run on a few rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_short_run_finds_no_row_that_is_not_what_it_claims() -> None:
    command = ["bench/datapath.py", "--quick", "--rounds", "1", "--method", "dr", "--flows", "1"]
    run = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "ERROR" not in run.stdout
    assert "| dr" in run.stdout
