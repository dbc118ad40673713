# SPDX-License-Identifier: Apache-2.0
"""Free memory as IPVS counts it."""

from __future__ import annotations

from xlvs.io import memory

MEMINFO = """\
MemTotal:        1531316 kB
MemFree:         1507460 kB
MemAvailable:    1500784 kB
Buffers:             100 kB
Cached:             2244 kB
HugePages_Total:       0
"""


def test_free_and_buffers_count_and_nothing_else():
    assert memory.pages(MEMINFO, 4096) == 376865 + 25


def test_this_machine_has_some():
    assert memory.available() > 0
