# SPDX-License-Identifier: Apache-2.0
"""eBPF objects: open, size the maps, load."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import NamedTuple

from xlvs.datapath.libbpf.calls import call, library, pointer
from xlvs.datapath.libbpf.structs import OpenOptions


class MapDefinition(NamedTuple):
    """A map as the object defines it; ``pinned`` if by name."""

    handle: int
    name: str
    type: int
    key_size: int
    value_size: int
    flags: int
    pinned: bool


class Object:
    """An opened eBPF object; ``close`` frees it and every descriptor that it owns."""

    def __init__(self, path: str, pin_root: str | None) -> None:
        options = OpenOptions(pin_root_path=pin_root.encode() if pin_root else None)
        self._handle = pointer("bpf_object__open_file", path.encode(), ctypes.byref(options))

    def close(self) -> None:
        """Free it; idempotent."""
        if self._handle:
            library().bpf_object__close(self._handle)
            self._handle = 0

    def maps(self) -> list[MapDefinition]:
        """Maps of the object, in its order."""
        of = library()
        return [
            MapDefinition(
                handle,
                of.bpf_map__name(handle).decode(),
                of.bpf_map__type(handle),
                of.bpf_map__key_size(handle),
                of.bpf_map__value_size(handle),
                of.bpf_map__map_flags(handle),
                of.bpf_map__pin_path(handle) is not None,
            )
            for handle in self._each("bpf_object__next_map")
        ]

    def set_max_entries(self, definition: MapDefinition, entries: int) -> None:
        """Size a map; before load."""
        call("bpf_map__set_max_entries", definition.handle, entries)

    def choose(self, wanted: str) -> None:
        """Load this program and no other one; before load."""
        for handle in self._each("bpf_object__next_program"):
            name = library().bpf_program__name(handle).decode()
            call("bpf_program__set_autoload", handle, name == wanted)

    def load(self) -> None:
        """Create or reuse the maps, and have the verifier accept the programs."""
        call("bpf_object__load", self._handle)

    def map_fds(self) -> dict[str, int]:
        """Descriptors of the loaded maps, owned by this object."""
        return {d.name: call("bpf_map__fd", d.handle) for d in self.maps()}

    def program_fds(self) -> dict[str, int]:
        """Descriptors of the loaded programs, owned by this object."""
        return {
            library().bpf_program__name(handle).decode(): call("bpf_program__fd", handle)
            for handle in self._each("bpf_object__next_program")
            if library().bpf_program__autoload(handle)
        }

    def _each(self, function: str) -> Iterator[int]:
        step = getattr(library(), function)
        handle = step(self._handle, None)
        while handle:
            yield handle
            handle = step(self._handle, handle)
