# SPDX-License-Identifier: Apache-2.0
"""What the data path does with connections when the daemon asks: batches of records in a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

from xlvs.datapath.loader import DataPath
from xlvs.datapath.records import Batch
from xlvs.io import clock
from xlvs.model.problem import Code, Problem

PATIENCE = 1.0
"""Seconds that a batch may take; it takes some hundred microseconds."""

_U32 = 0xFFFFFFFF

R = TypeVar("R", bound=tuple[Any, ...])


class Batches(Generic[R]):
    """Records of one kind, worked on by one program. Close it before the path.

    ``program`` starts a timer in the kernel that works on the records of the map ``entries``
    that the map ``batch`` names, and writes a result into each.
    """

    def __init__(
        self, path: DataPath, record: type[R], *, entries: str, batch: str, program: str
    ) -> None:
        self._path = path
        self._program = program
        self._record = path.layout.codec(record)
        self._of_batch = path.layout.codec(Batch)
        self._stride = path.map(entries).stride
        self._entries = path.map(entries).view(writable=True)
        self._batch = path.map(batch).view(writable=True)
        self.size = len(self._entries) // self._stride
        """Records at a time."""

    def close(self) -> None:
        """Let go of the maps' memory."""
        self._entries.release()
        self._batch.release()

    def run(self, records: Sequence[R]) -> Iterator[R]:
        """Have all of them worked on; each as it is then. Raises Problem."""
        for first in range(0, len(records), self.size):
            batch = records[first : first + self.size]
            for i, each in enumerate(batch):
                raw = self._record.pack(each)
                self._entries[i * self._stride : i * self._stride + len(raw)] = raw
            self._work(len(batch))
            for i in range(len(batch)):
                yield self._record.unpack(self._entries, i * self._stride)

    def _work(self, count: int) -> None:
        codec, batch = self._of_batch, self._batch
        number = (codec.unpack(batch).begun + 1) & _U32
        # The number last: a batch that is not whole is not worked on.
        batch[: codec.size] = codec.pack(Batch(count, number, number - 1 & _U32))
        self._path.start(self._program)
        end = clock.monotonic() + PATIENCE
        while codec.unpack(batch).done != number:
            if clock.monotonic() > end:
                message = f"the data path did not begin {self._program} within {PATIENCE:g} s"
                raise Problem(Code.INTERNAL, message)
            clock.moment()
