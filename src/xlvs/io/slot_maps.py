# SPDX-License-Identifier: Apache-2.0
"""Slots of mh and sh to and from their pages: maps in a map, made as they are needed."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from xlvs.datapath import libbpf, records
from xlvs.datapath import writes as w
from xlvs.datapath.loader import DataPath
from xlvs.datapath.slots import Owners, Past, Pasts
from xlvs.datapath.space import page_of
from xlvs.datapath.tables import Region

_WORD = 4
_MADE_AT_ONCE = 64
"""Pages with a descriptor each; the kernel's default is that a process has 1024 at most."""


class SlotMaps:
    """The map ``hash_slots`` of one data path. All raise OSError.

    No page stays open or mapped: with ten thousand services there are hundreds.
    """

    def __init__(self, path: DataPath) -> None:
        self._outer = path.map("hash_slots")
        codec = path.layout.codec(records.HashSlot)
        self._bytes = codec.size
        self._width = codec.size // _WORD
        self._at = {name: at // _WORD for name, at in codec.offsets.items()}

    def pages(self) -> frozenset[int]:
        """The pages that there are, by number."""
        return frozenset(int.from_bytes(key, "little") for key, _ in self._outer.items())

    def put(self, numbers: Sequence[int]) -> None:
        """Make pages, where there are none.

        They get their places by few calls: for each the kernel waits until no program
        runs that could have seen what was there, some 13 ms.
        """
        rest = iter(numbers)
        while some := list(islice(rest, _MADE_AT_ONCE)):
            made: list[int] = []
            try:
                made.extend(self._made() for _ in some)
                pairs = zip(some, map(_number, made), strict=True)
                self._outer.update_many(pairs)
            finally:
                for fd in made:
                    os.close(fd)

    def drop(self, numbers: Sequence[int]) -> None:
        """Let go of pages that no packet reads."""
        for number in numbers:
            # Kernels before 6.8 may free a map at once that a program still reads. This
            # keeps it until the call, which waits for running programs, has returned.
            kept = self._outer.inner(number)
            self._outer.delete(number)
            if kept is not None:
                kept.close()

    def read(self, region: Region) -> tuple[Owners, Pasts]:
        """Whose the slots are, and what they remember."""
        words = array("I")
        if region.size:
            with self._mapped(region) as raw:
                words.frombytes(raw)
        owners, previous, changed_at = (
            words[self._at[name] :: self._width]
            for name in ("destination", "previous", "changed_at")
        )
        if previous == _nobody(len(previous)):
            return owners, {}
        pasts = {
            slot: Past(destination, changed_at[slot])
            for slot, destination in enumerate(previous)
            if destination != records.NO_DESTINATION
        }
        return owners, pasts

    def write(self, write: w.WriteSlots) -> None:
        """Write slots into a page that there is."""
        size = write.region.size
        words = array("I", bytes(size * self._bytes))
        previous, changed_at = _nobody(size), array("I", bytes(size * _WORD))
        for slot, past in write.pasts.items():
            previous[slot], changed_at[slot] = past.destination, past.changed_at
        words[self._at["destination"] :: self._width] = write.owners
        words[self._at["previous"] :: self._width] = previous
        words[self._at["changed_at"] :: self._width] = changed_at
        with self._mapped(write.region) as raw:
            raw[:] = words.tobytes()

    def _made(self) -> int:
        return libbpf.map_create(
            libbpf.BPF_MAP_TYPE_ARRAY,
            "slot_page",
            _WORD,
            self._bytes,
            records.SLOT_PAGE,
            libbpf.BPF_F_MMAPABLE,
        )

    @contextmanager
    def _mapped(self, region: Region) -> Iterator[memoryview]:
        """The memory of a region."""
        page = self._outer.inner(page_of(region))
        if page is None:
            msg = f"there is no page {page_of(region)} of slots"
            raise OSError(msg)
        try:
            begin = region.base % records.SLOT_PAGE * self._bytes
            with (
                page.view(writable=True) as view,
                view[begin : begin + region.size * self._bytes] as part,
            ):
                yield part
        finally:
            page.close()


def _nobody(size: int) -> array[int]:
    return array("I", [records.NO_DESTINATION]) * size


def _number(value: int) -> bytes:
    return value.to_bytes(_WORD, "little")
