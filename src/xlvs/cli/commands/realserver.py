# SPDX-License-Identifier: Apache-2.0
"""``xlvs realserver up|down|check``."""

from __future__ import annotations

from xlvs.realserver.command import add_arguments, run

__all__ = ["add_arguments", "run"]
