# SPDX-License-Identifier: Apache-2.0
"""What a connection costs in memory, by the kernel's own figures of the maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import Harness
from bench.world import SIZES, TABLE_MIN, Interfaces, Key, places, world
from xlvs.datapath.loader import Sizes
from xlvs.model.service import Method

FILL = 0.8
TABLE_MAPS = ("connections4", "regions4")
TARGETS = {1: 96, 2: 160}
"""Bytes per connection, by the places that it takes."""


class Use(NamedTuple):
    """A table filled to FILL of what it is rated for; ``size`` of its maps in bytes."""

    method: Method
    rated: int
    connections: int
    size: int

    @property
    def each(self) -> float:
        """Bytes per connection."""
        return self.size / self.connections

    @property
    def target(self) -> int:
        """What it should not exceed."""
        return TARGETS[places(self.method)]

    @property
    def met(self) -> bool:
        """Whether it does not."""
        return self.each <= self.target

    def document(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "method": self.method,
            "rated": self.rated,
            "connections": self.connections,
            "bytes": self.size,
            "bytes_per_connection": round(self.each, 2),
            "target": self.target,
            "met": self.met,
        }


def connections(method: Method) -> int:
    """So many fill a table of TABLE_MIN to FILL."""
    return int(TABLE_MIN * FILL) // places(method)


def memlock(fdinfo: str) -> int:
    """Bytes of a map, of what the kernel says about its descriptor."""
    for line in fdinfo.splitlines():
        name, _, value = line.partition(":")
        if name == "memlock":
            return int(value)
    raise ValueError("the kernel does not say how much memory the map takes")


def measure(
    methods: Sequence[Method],
    interfaces: Interfaces,
    objects: Path,
    harness: Harness,
    say: Callable[[str], None],
) -> list[Use]:
    """Fill a table for each method, as packets do it; none may be refused."""
    sizes = Sizes(
        connections=TABLE_MIN,
        services=SIZES.services,
        destinations=SIZES.destinations,
        service_destinations=SIZES.service_destinations,
        port_blocks=SIZES.port_blocks,
    )
    found = []
    for method in methods:
        key = Key(method, connections(method))
        say(f"memory: {key.text} in a table for {TABLE_MIN}")
        with world(key, 0, interfaces, objects, harness, sizes=sizes) as made:
            fds = [made.path.map(name).fd for name in TABLE_MAPS]
            size = sum(
                memlock(Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")) for fd in fds
            )
        found.append(Use(method, TABLE_MIN, key.connections, size))
    return found
