# SPDX-License-Identifier: Apache-2.0
"""Which connections of the table somebody means."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from xlvs.model.service import Method, Network, Protocol, ServiceKey


class Templates(StrEnum):
    """What becomes of persistence's templates, which are in the table, too."""

    WITH = "with"
    WITHOUT = "without"
    ONLY = "only"


class Side(NamedTuple):
    """One end: addresses and a port, None: any."""

    network: Network | None = None
    port: int | None = None


class ConnectionFilter(NamedTuple):
    """All that is said has to fit; what is empty fits anything.

    ``states`` are IPVS's names; templates have none of them, so a filter by states leaves
    them out. ``service``: by its destinations, so connections of a mark are found as well.
    """

    service: ServiceKey | None = None
    destination: Side = Side()
    client: Side = Side()
    virtual: Side = Side()
    protocols: frozenset[Protocol] = frozenset()
    states: frozenset[str] = frozenset()
    methods: frozenset[Method] = frozenset()
    templates: Templates = Templates.WITH
