# SPDX-License-Identifier: Apache-2.0
"""What one reading of a configuration collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xlvs.config.keepalived.places import Findings, Place
from xlvs.config.keepalived.table import Once, Values
from xlvs.config.keepalived.tree import Node
from xlvs.model.checker import VirtualService
from xlvs.model.configuration import Tls
from xlvs.model.service import Address
from xlvs.model.tracking import Bfd, File, Process, Script, TrackGroup
from xlvs.model.vrrp import Group, Instance, StaticNetwork

if TYPE_CHECKING:
    from xlvs.config.keepalived.endpoints import Member


@dataclass(slots=True)
class Reference:
    """A name that something else in the file has to have, and where it was said."""

    kind: str
    name: str
    place: Place
    said_by: str


@dataclass(slots=True)
class Reading:
    """Results, and what validation needs to say where something stands."""

    findings: Findings
    read: Callable[[str], bytes]
    """A file that a keyword names, such as a key. Raises OSError."""
    read_secret: Callable[[str], bytes]
    """The same of one that nobody else may read."""
    globals: Values = field(default_factory=dict)
    global_node: Node | None = None
    services: list[VirtualService] = field(default_factory=list)
    pending_services: list[tuple[Node, Values]] = field(default_factory=list)
    server_groups: dict[str, list[Member]] = field(default_factory=dict)
    local_addresses: dict[str, tuple[Address, ...]] = field(default_factory=dict)
    client_lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    bfds: list[Bfd] = field(default_factory=list)
    track_groups: list[TrackGroup] = field(default_factory=list)
    static: StaticNetwork = StaticNetwork()  # noqa: RUF009  # frozen
    tls: Tls | None = None
    sync: Values = field(default_factory=dict)
    sync_place: Place | None = None
    garp_groups: dict[str, Values] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    """Where a thing of a kind and a name stands."""
    names: dict[str, Once] = field(default_factory=dict)

    def once(self, kind: str, node: Node, name: str) -> bool:
        """Whether this is the first of that kind and name; if not, that is a problem."""
        self.places.setdefault((kind, name), node.place(1))
        return self.names.setdefault(kind, Once(kind)).add(self, node, name)

    def refer(self, kind: str, name: str, place: Place, said_by: str) -> None:
        """Note that a thing of that kind and name has to be there."""
        self.references.append(Reference(kind, name, place, said_by))
