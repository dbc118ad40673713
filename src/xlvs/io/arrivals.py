# SPDX-License-Identifier: Apache-2.0
"""Who asks services for connections: the map ``arrivals``, which packets write on each CPU."""

from __future__ import annotations

from xlvs.datapath.loader import DataPath
from xlvs.datapath.records import Arrivals, Refusals, SynLoad


def arrivals(path: DataPath, service: int) -> Arrivals:
    """Of one service, by its id: the sum of all CPUs."""
    codec = path.layout.codec(Arrivals)
    each = (codec.unpack(raw) for raw in path.map("arrivals").lookup_percpu(service))
    refused, syn = zip(*each, strict=True)
    return Arrivals(
        Refusals(*map(sum, zip(*refused, strict=True))),
        SynLoad(*map(sum, zip(*syn, strict=True))),
    )
