# SPDX-License-Identifier: Apache-2.0
"""IPVS's rate estimator: every two seconds a quarter of the difference.

The numbers are scaled integers as in the kernel's ip_vs_est.c, because listings
show them rounded the way that this arithmetic rounds: connections and packets by
2**10 per unit and second, bytes by 2**5. They are kept in columns, because there may be
a hundred thousand of each. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from xlvs.wire.messages import Counters, Rates

PERIOD = 2.0
"""Seconds between two runs."""

Rows = npt.NDArray[np.int64]
"""Numbers, a row for each id; columns are the fields of ``Counters`` and of ``Rates``."""

FIELDS = Counters.__struct_fields__

_SHIFTS = np.array([5 if name.endswith("bytes") else 10 for name in FIELDS])
# Over two seconds, so a difference is shifted by one less than the scale.
_SAMPLE_SHIFTS = _SHIFTS - 1
_HALVES = (1 << _SAMPLE_SHIFTS) - 1


class Estimator:
    """Of each id the counters at its last run, and the averages, scaled."""

    def __init__(self) -> None:
        self._last = _nothing(0)
        self._average = _nothing(0)
        self._running = np.zeros(0, bool)

    @property
    def reach(self) -> int:
        """All ids that run are below it."""
        running = self._running.nonzero()[0]
        return int(running[-1]) + 1 if len(running) else 0

    def begin(self, ids: Sequence[int], now: Sequence[Counters] = ()) -> None:
        """Ids are new: from these counters on, or from zero. No rate yet."""
        places = self._places(ids)
        self._last[places] = list(map(_row, now)) if now else 0
        self._average[places] = 0

    def turn(self, runs: Mapping[int, bool]) -> None:
        """Ids take part in runs, from where they were last time, or do not any more."""
        places = self._places(runs)
        self._running[places] = list(runs.values())

    def run(self, first: int, now: Rows) -> None:
        """One run of the ids from ``first`` on, ``PERIOD`` after the one before."""
        part = slice(first, first + len(now))
        running = self._running[part]
        now = now[: len(running)]
        last, average = self._last[part], self._average[part]
        sample = np.maximum(now - last, 0) << _SAMPLE_SHIFTS
        np.copyto(average, average + ((sample - average) >> 2), where=running[:, None])
        np.copyto(last, now, where=running[:, None])

    def silence(self, ids: Iterable[int]) -> None:
        """The rates begin at zero again (``ipvsadm -Z``); the counters go on."""
        places = self._places(ids)
        self._average[places] = 0

    def last(self, ids: Iterable[int]) -> Iterator[Counters]:
        """Counters as of the last run."""
        places = self._places(ids)
        for row in self._last[places].tolist():
            yield counters(row)

    def rates(self, ids: Iterable[int]) -> Iterator[Rates]:
        """What listings show: per second, whole numbers."""
        places = self._places(ids)
        shown = (self._average[places] + _HALVES) >> _SHIFTS
        for row in shown.tolist():
            yield Rates(*row) if any(row) else _NO_RATES

    def _places(self, ids: Iterable[int]) -> npt.NDArray[np.int64]:
        places = np.fromiter(ids, np.int64)
        if len(places):
            self._reach(int(places.max()))
        return places

    def _reach(self, id_: int) -> None:
        """There is a place for this id."""
        more = id_ + 1 - len(self._running)
        if more > 0:
            more = max(more, len(self._running))  # doubled, so that growing takes little time
            self._last = np.concatenate((self._last, _nothing(more)))
            self._average = np.concatenate((self._average, _nothing(more)))
            self._running = np.concatenate((self._running, np.zeros(more, bool)))


NO_COUNTERS = Counters()
_NO_RATES = Rates()


def counters(row: Sequence[int]) -> Counters:
    """One of ``Rows``."""
    return Counters(*row) if any(row) else NO_COUNTERS


def _row(each: Counters) -> tuple[int, ...]:
    return msgspec.structs.astuple(each)


def _nothing(count: int) -> Rows:
    return np.zeros((count, len(FIELDS)), np.int64)
