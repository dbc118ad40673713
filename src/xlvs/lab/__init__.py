# SPDX-License-Identifier: Apache-2.0
"""A small world in network namespaces: clients, a director, real servers.

The demo, the tests and the benchmarks use the same code::

    with Lab(prefix="xlvs-t1") as lab:
        lab.director.start_xlvsd(hook="tc")
        lab.director.ipvsadm("-A -t 10.0.0.1:80 -s rr")
        lab.client.run(["curl", "http://10.0.0.1/"])
"""

from __future__ import annotations

from xlvs.lab.lab import Lab
from xlvs.lab.problem import LabError

__all__ = ["Lab", "LabError"]
