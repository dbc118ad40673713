# SPDX-License-Identifier: Apache-2.0
"""How the file's real servers stand: what health says that is not as it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from xlvs.model.service import Destination, DestinationKey, ServiceKey

OUT = None
"""Not in rotation."""

AS_ASKED = -1
"""In rotation, with the weight that is asked for."""

Place = int | None
"""OUT, AS_ASKED or another weight."""


class Standing(msgspec.Struct):
    """Of one service's servers. ``places`` leaves out those that are AS_ASKED."""

    places: dict[DestinationKey, Place] = {}
    sorry: Destination | None = None


class Standings(Mapping[ServiceKey, Standing]):
    """By service. A service is left out while nothing is different from what is asked."""

    def __init__(self) -> None:
        self._by_service: dict[ServiceKey, Standing] = {}

    def __getitem__(self, service: ServiceKey) -> Standing:
        return self._by_service[service]

    def __iter__(self) -> Iterator[ServiceKey]:
        return iter(self._by_service)

    def __len__(self) -> int:
        return len(self._by_service)

    def place(self, service: ServiceKey, destination: DestinationKey) -> Place:
        """How this server stands."""
        standing = self._by_service.get(service)
        return AS_ASKED if standing is None else standing.places.get(destination, AS_ASKED)

    def put(self, service: ServiceKey, destination: DestinationKey, place: Place) -> bool:
        """It stands so from now on; whether that is another place."""
        if self.place(service, destination) == place:
            return False
        standing = self._of(service)
        if place == AS_ASKED:
            del standing.places[destination]
        else:
            standing.places[destination] = place
        self._tidy(service, standing)
        return True

    def put_sorry(self, service: ServiceKey, sorry: Destination | None) -> bool:
        """The sorry server with its weight, None: it is out; whether that is different."""
        before = self._by_service.get(service)
        if (before.sorry if before else None) == sorry:
            return False
        standing = self._of(service)
        standing.sorry = sorry
        self._tidy(service, standing)
        return True

    def drop(self, service: ServiceKey) -> bool:
        """Health has no say about this service any more; whether it had."""
        return self._by_service.pop(service, None) is not None

    def _of(self, service: ServiceKey) -> Standing:
        return self._by_service.setdefault(service, Standing())

    def _tidy(self, service: ServiceKey, standing: Standing) -> None:
        if not standing.places and standing.sorry is None:
            del self._by_service[service]
