# SPDX-License-Identifier: Apache-2.0
"""The rules of marks to and from their maps; each set of them lies under its number."""

from __future__ import annotations

from collections.abc import Iterator

from xlvs.datapath import records
from xlvs.datapath.layout import Layout
from xlvs.datapath.loader import DataPath
from xlvs.datapath.maps import Map
from xlvs.datapath.marks import Change, Classes, Marks, PortPrefix, Prefix

_ID_BYTES = 4


class MarkMaps:
    """The maps of one data path."""

    def __init__(self, path: DataPath) -> None:
        self._layout: Layout = path.layout
        self._to, self._from = path.map("mark_to"), path.map("mark_from")
        self._ports, self._classes = path.map("mark_ports"), path.map("mark_classes")

    def read(self, number: int) -> Marks:
        """The rules of one set. Raises OSError."""
        unpack = self._layout.unpack
        ports, classes = {}, {}
        for raw, value in self._ports.items():
            port = unpack(records.MarkPort, raw)
            if port.set == number:
                ports[_port_prefix(port)] = int.from_bytes(value, "little")
        for raw, value in self._classes.items():
            key = unpack(records.MarkClasses, raw)
            if key.set == number:
                mark = unpack(records.Mark, value)
                classes[Classes(key.to, key.source, key.ports)] = Change(mark.keep, mark.value)
        return Marks(
            to=dict(self._prefixes(self._to, number)),
            source=dict(self._prefixes(self._from, number)),
            ports=ports,
            classes=classes,
        )

    def write(self, number: int, marks: Marks, keep: int) -> None:
        """Write a set whole; of the others only ``keep`` stays. Raises OSError.

        Others are there if a daemon was killed while it wrote.
        """
        self.drop_others(keep)
        pack = self._layout.pack
        for place, prefixes in ((self._to, marks.to), (self._from, marks.source)):
            place.update_many(
                (
                    pack(records.MarkAddress(records.MARK_SET_BITS + p.bits, number, p.address)),
                    _number(each),
                )
                for p, each in prefixes.items()
            )
        self._ports.update_many(
            (pack(_port_key(number, prefix)), _number(each)) for prefix, each in marks.ports.items()
        )
        self._classes.update_many(
            (pack(records.MarkClasses(number, *classes)), pack(records.Mark(*change)))
            for classes, change in marks.classes.items()
        )

    def drop_others(self, keep: int) -> None:
        """Delete all sets but one. Raises OSError."""
        for place, record in (
            (self._to, records.MarkAddress),
            (self._from, records.MarkAddress),
            (self._ports, records.MarkPort),
            (self._classes, records.MarkClasses),
        ):
            at = self._layout.codec(record).offsets["set"]
            kept = _number(keep)
            gone = [key for key, _ in place.items() if key[at : at + _ID_BYTES] != kept]
            for key in gone:
                place.delete(key)

    def _prefixes(self, place: Map, number: int) -> Iterator[tuple[Prefix, int]]:
        for raw, value in place.items():
            key = self._layout.unpack(records.MarkAddress, raw)
            if key.set == number:
                prefix = Prefix(key.address, key.prefixlen - records.MARK_SET_BITS)
                yield prefix, int.from_bytes(value, "little")


def _port_prefix(key: records.MarkPort) -> PortPrefix:
    return PortPrefix(key.protocol, key.port, key.prefixlen - records.MARK_PROTOCOL_BITS)


def _port_key(number: int, prefix: PortPrefix) -> records.MarkPort:
    bits = records.MARK_PROTOCOL_BITS + prefix.bits
    return records.MarkPort(bits, number, prefix.protocol, prefix.port)


def _number(value: int) -> bytes:
    return value.to_bytes(_ID_BYTES, "little")
