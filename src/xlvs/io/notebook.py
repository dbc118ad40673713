# SPDX-License-Identifier: Apache-2.0
"""What is wanted, written down before it is made true: all of it, or what is otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from xlvs.datapath.history import Changes
from xlvs.io.ledger import Ledger
from xlvs.io.statefile import Saved, SavedChange, SavedDrain, SavedService
from xlvs.model.desired import Desired
from xlvs.model.listed import Entry
from xlvs.model.problem import Code, Problem

MANY = 1024
"""Services that changed at once, from which on everything is written."""


class Store(Protocol):
    """Where what is wanted outlives the daemon (``statefile.StateFile``)."""

    def save(self, saved: Saved) -> None:
        """Keep this. Raises OSError."""

    def append(self, change: SavedChange) -> bool:
        """Keep what was kept last, and this; False if that cannot be. Raises OSError."""


class Notebook:
    """What a director has written down. Its methods raise Problem, and then nothing was."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._baselines = -1  # the ledger's revision that was saved last

    def save(self, desired: Desired, ledger: Ledger) -> None:
        """Write down everything."""
        saved = Saved(
            services=[_service(entry) for entry in desired.services.values()],
            timeouts=desired.timeouts,
            marks=list(desired.marks),
            settings=dict(desired.settings),
            drains=_drains(desired),
            sync=dict(desired.sync),
            pools=dict(desired.pools),
            lists={name: each.records for name, each in desired.lists.items()},
            service_baselines=ledger.service_baselines,
            destination_baselines=ledger.destination_baselines,
            retired=ledger.retired,
        )
        with _saving():
            self._store.save(saved)
        self._baselines = ledger.revision

    def change(self, before: Desired, then: Desired, changes: Changes, ledger: Ledger) -> None:
        """Write down what is otherwise, if anything is: ``changes.services``, and no mark rules."""
        listed = {key: then.services[key] for key in changes.services if key in then.services}
        gone = [
            key
            for key in changes.services
            if key in before.services and (key not in listed or key in changes.begun)
        ]
        same = not gone and all(before.services.get(key) == each for key, each in listed.items())
        others = (before.drains, before.timeouts, before.settings)
        if same and others == (then.drains, then.timeouts, then.settings):
            return
        # As a change, what is much would soon be written once more, with everything.
        if len(changes.services) < MANY and self._baselines == ledger.revision:
            change = SavedChange(
                gone=gone,
                services=list(map(_service, listed.values())),
                drains=_drains(then),
                retired=ledger.retired,
                timeouts=then.timeouts,
                settings=dict(then.settings),
            )
            with _saving():
                if self._store.append(change):
                    return
        self.save(then, ledger)


@contextmanager
def _saving() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Problem(
            Code.INTERNAL, f"what is wanted cannot be saved, so nothing was changed: {error}"
        ) from error


def _service(entry: Entry) -> SavedService:
    service, destinations = entry
    return SavedService(service=service, destinations=list(destinations))


def _drains(desired: Desired) -> list[SavedDrain]:
    return [
        SavedDrain(service=service, destination=destination, drain=drain)
        for (service, destination), drain in desired.drains.items()
    ]
