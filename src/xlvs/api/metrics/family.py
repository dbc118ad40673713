# SPDX-License-Identifier: Apache-2.0
"""A metric family: its name, what it means, its labels, and its samples as the library has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from math import isinf
from typing import Generic, NamedTuple, TypeVar

from prometheus_client.core import Metric

from xlvs.engine.histogram import Histogram
from xlvs.model.detail import Detail

ROWS = 500
"""Rows in one part: some milliseconds of work."""

_TOTAL = "_total"

T = TypeVar("T")
Row_contra = TypeVar("Row_contra", contravariant=True)

Sample = tuple[tuple[str, ...], float]
"""Labels' values, in the family's order, and the number."""


class Kind(StrEnum):
    """What its values do."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Column(NamedTuple, Generic[Row_contra]):
    """One sample of a row: its number, and the labels that it has besides the row's."""

    number: Callable[[Row_contra], float]
    labels: tuple[tuple[str, str], ...] = ()


class Lines(NamedTuple):
    """Some samples of a family as text, the same in both formats.

    The library takes 8 µs for a sample and this a tenth; there may be a million of them.
    """

    family: Family
    text: str


class Family(NamedTuple):
    """``help`` is shown by Prometheus; ``detail``: there is nothing of it with less than that."""

    kind: Kind
    name: str
    labels: tuple[str, ...]
    help: str
    detail: Detail = Detail.SERVICES

    def of(self, samples: Iterable[Sample]) -> Metric:
        """With these values; each has its labels' values in the family's order."""
        metric = Metric(self.name.removesuffix(_TOTAL), self.help, self.kind)
        for values, number in samples:
            metric.add_sample(self.name, dict(zip(self.labels, values, strict=True)), number)
        return metric

    def one(self, number: float) -> Metric:
        """With one value, of a family without labels."""
        return self.of([((), number)])

    def times(self, samples: Iterable[tuple[tuple[str, ...], Histogram]]) -> Metric:
        """With these histograms."""
        metric = Metric(self.name, self.help, self.kind)
        for values, seen in samples:
            labels = dict(zip(self.labels, values, strict=True))
            count = 0
            for bound, count in seen.cumulative():
                at = {**labels, "le": "+Inf" if isinf(bound) else str(float(bound))}
                metric.add_sample(f"{self.name}_bucket", at, count)
            metric.add_sample(f"{self.name}_count", labels, count)
            metric.add_sample(f"{self.name}_sum", labels, seen.sum)
        return metric

    def parts(self, rows: Iterable[tuple[str, T]], columns: Sequence[Column[T]]) -> Iterator[Lines]:
        """Of many rows, each with its labels' text; at least one part."""
        left = iter(rows)
        shaped = [
            (each.number, "".join(f',{label}="{value}"' for label, value in each.labels))
            for each in columns
        ]
        part = list(islice(left, ROWS))
        yield Lines(self, self._text(part, shaped))
        while part := list(islice(left, ROWS)):
            yield Lines(self, self._text(part, shaped))

    def _text(
        self, rows: Sequence[tuple[str, T]], columns: Sequence[tuple[Callable[[T], float], str]]
    ) -> str:
        name = self.name
        return "".join(
            f"{name}{{{labels}{more}}} {number(row)}\n"
            for labels, row in rows
            for number, more in columns
        )


def counter(name: str, labels: tuple[str, ...], help_: str) -> Family:
    """It only grows, until the thing that it belongs to is gone."""
    return Family(Kind.COUNTER, name, labels, help_)


def gauge(name: str, labels: tuple[str, ...], help_: str) -> Family:
    """It is what it is now."""
    return Family(Kind.GAUGE, name, labels, help_)


def histogram(name: str, labels: tuple[str, ...], help_: str) -> Family:
    """Observations, in seconds."""
    return Family(Kind.HISTOGRAM, name, labels, help_)


def detailed(family: Family) -> Family:
    """One series, or more, for each destination."""
    return family._replace(detail=Detail.DESTINATIONS)
