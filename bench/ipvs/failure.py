# SPDX-License-Identifier: Apache-2.0
"""What ends a run, in one sentence."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - as xlvs.model.problem.Problem
    """Nothing was measured, and why."""
