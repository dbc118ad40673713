# SPDX-License-Identifier: Apache-2.0
"""Schedulers by what their choice depends on."""

from __future__ import annotations

from xlvs.datapath.records import Scheduler

BY_TURN_OR_LOAD = [
    Scheduler.RR,
    Scheduler.WRR,
    Scheduler.LC,
    Scheduler.WLC,
    Scheduler.SED,
    Scheduler.NQ,
    Scheduler.FO,
    Scheduler.OVF,
]
"""Neither the client nor chance has a part in it."""
