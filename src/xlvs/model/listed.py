# SPDX-License-Identifier: Apache-2.0
"""The destinations of one service while edits change them."""

from __future__ import annotations

from collections.abc import Iterator

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Destination, DestinationKey, Service

Entry = tuple[Service, tuple[Destination, ...]]
"""A service and its destinations, newest first."""


class Listed:
    """A list in which each change takes the same time, however long it is."""

    def __init__(self, service: Service, destinations: tuple[Destination, ...]) -> None:
        self.service = service
        # The oldest first: what is added is the last of a dict.
        self._by_key = {each.key: each for each in reversed(destinations)}

    def entry(self) -> Entry:
        """The list as it is now."""
        return self.service, tuple(reversed(self._by_key.values()))

    def weights(self) -> Iterator[int]:
        """Of all destinations."""
        return (each.weight for each in self._by_key.values())

    def check_new(self, key: DestinationKey) -> None:
        """Raises Problem if the list has it."""
        if key in self._by_key:
            raise Problem(Code.DESTINATION_EXISTS, "Destination already exists", "/destination/key")

    def find(self, key: DestinationKey) -> Destination:
        """The destination of that key. Raises Problem if there is none."""
        try:
            return self._by_key[key]
        except KeyError:
            raise _no_such() from None

    def put(self, destination: Destination) -> None:
        """A new one goes to the head, another keeps its place."""
        self._by_key[destination.key] = destination

    def remove(self, key: DestinationKey) -> None:
        """Raises Problem if it is not there."""
        if self._by_key.pop(key, None) is None:
            raise _no_such()


def _no_such() -> Problem:
    return Problem(Code.NO_SUCH_DESTINATION, "No such destination", "/destination")
