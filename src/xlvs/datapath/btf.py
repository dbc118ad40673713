# SPDX-License-Identifier: Apache-2.0
"""A reader of BTF, the type information that clang writes into an eBPF object.

Pure: bytes in, types out. Only what C data needs is interpreted; functions and
variables are walked over. Format: Documentation/bpf/btf.rst of the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

_Text = Callable[[int], str]
_MAGIC = 0xEB9F
_ELF_CLASS_64 = 2
_ELF_LITTLE = 1
_ELF_HEADER_BYTES = 64


class BtfError(ValueError):
    """The bytes are no ELF object with a usable .BTF section."""


class Kind(IntEnum):
    """BTF_KIND_*."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


MODIFIERS = frozenset({Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
"""Kinds that only decorate the type that they refer to."""

# Bytes that follow the common header: a fixed part, and so much per member.
_FIXED = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}
_PER_MEMBER = {
    Kind.STRUCT: 12,
    Kind.UNION: 12,
    Kind.ENUM: 8,
    Kind.FUNC_PROTO: 8,
    Kind.DATASEC: 12,
    Kind.ENUM64: 12,
}
_SIZED = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FLOAT})


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct or union; ``bit_size`` is 0 unless it is a bit field."""

    name: str
    type_id: int
    bit_offset: int
    bit_size: int = 0


@dataclass(frozen=True, slots=True)
class Type:
    """One BTF type; ``size`` in bytes, ``ref`` the type referred to, ``count`` of an array."""

    kind: Kind
    name: str = ""
    size: int = 0
    ref: int = 0
    count: int = 0
    signed: bool = False
    members: tuple[Member, ...] = ()
    values: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Btf:
    """All types of an object; a type's id is its index."""

    types: tuple[Type, ...]

    def find(self, kind: Kind, name: str) -> Type | None:
        """The first type of that kind and name."""
        return next((t for t in self.types if t.kind is kind and t.name == name), None)

    def resolve(self, type_id: int) -> tuple[Type, str]:
        """Strip typedefs and modifiers; also give the outermost typedef's name, or ""."""
        name = ""
        found = self.types[type_id]
        while found.kind is Kind.TYPEDEF or found.kind in MODIFIERS:
            if found.kind is Kind.TYPEDEF and not name:
                name = found.name
            found = self.types[found.ref]
        return found, name

    def size_of(self, type_id: int) -> int:
        """Bytes that a value of the type takes in memory."""
        found, _ = self.resolve(type_id)
        if found.kind is Kind.ARRAY:
            return found.count * self.size_of(found.ref)
        return 8 if found.kind is Kind.PTR else found.size


def section(image: bytes, name: str) -> bytes:
    """The bytes of one section of a 64-bit ELF file. Raises BtfError."""
    if len(image) < _ELF_HEADER_BYTES or image[:4] != b"\x7fELF" or image[4] != _ELF_CLASS_64:
        msg = "not a 64-bit ELF file"
        raise BtfError(msg)
    order = "<" if image[5] == _ELF_LITTLE else ">"
    (table,) = struct.unpack_from(order + "Q", image, 40)
    entry_size, entries, names_index = struct.unpack_from(order + "HHH", image, 58)
    try:
        headers = [
            struct.unpack_from(order + "IIQQQQ", image, table + i * entry_size)
            for i in range(entries)
        ]
        names_at = headers[names_index][4]
        for header in headers:
            start = names_at + header[0]
            if image[start : image.index(b"\0", start)] == name.encode():
                return image[header[4] : header[4] + header[5]]
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        msg = "the ELF file is damaged"
        raise BtfError(msg) from error
    msg = f"the ELF file has no section {name}"
    raise BtfError(msg)


def parse(blob: bytes) -> Btf:
    """Read a .BTF section. Raises BtfError."""
    try:
        return _parse(blob)
    except BtfError:
        raise
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        msg = "the .BTF section is damaged"
        raise BtfError(msg) from error


def read(image: bytes) -> Btf:
    """Read the BTF of an ELF object. Raises BtfError."""
    return parse(section(image, ".BTF"))


def _parse(blob: bytes) -> Btf:
    order = "<" if struct.unpack_from("<H", blob)[0] == _MAGIC else ">"
    magic, _, _, header, type_at, type_size, string_at, string_size = struct.unpack_from(
        order + "HBBIIIII", blob
    )
    if magic != _MAGIC:
        msg = "wrong magic"
        raise BtfError(msg)
    strings = blob[header + string_at : header + string_at + string_size]

    def text(offset: int) -> str:
        return strings[offset : strings.index(b"\0", offset)].decode()

    types = [Type(Kind.VOID, "void")]
    at, end = header + type_at, header + type_at + type_size
    while at < end:
        name, info, size_or_ref = struct.unpack_from(order + "III", blob, at)
        kind, count, flag = Kind(info >> 24 & 0x1F), info & 0xFFFF, bool(info >> 31)
        body = at + 12
        length = _FIXED.get(kind, 0) + count * _PER_MEMBER.get(kind, 0)
        types.append(
            _type(order, blob[body : body + length], kind, text, (name, size_or_ref, count, flag))
        )
        at = body + length
    return Btf(tuple(types))


def _type(
    order: str,
    body: bytes,
    kind: Kind,
    text: _Text,
    header: tuple[int, int, int, bool],
) -> Type:
    name_at, size_or_ref, count, flag = header
    name = text(name_at)
    size, ref = (size_or_ref, 0) if kind in _SIZED else (0, size_or_ref)
    match kind:
        case Kind.INT:
            (encoding,) = struct.unpack(order + "I", body)
            return Type(kind, name, size, signed=bool(encoding >> 24 & 1))
        case Kind.ARRAY:
            element, _, length = struct.unpack(order + "III", body)
            return Type(kind, name, ref=element, count=length)
        case Kind.STRUCT | Kind.UNION:
            members = []
            for member, type_id, offset in struct.iter_unpack(order + "III", body):
                bits, offset_bits = (offset >> 24, offset & 0xFFFFFF) if flag else (0, offset)
                members.append(Member(text(member), type_id, offset_bits, bits))
            return Type(kind, name, size, members=tuple(members))
        case Kind.ENUM:
            code = order + ("Ii" if flag else "II")
            values = tuple((text(n), v) for n, v in struct.iter_unpack(code, body))
            return Type(kind, name, size, signed=flag, values=values)
        case Kind.ENUM64:
            wide = tuple(
                (text(n), _wide(low, high, signed=flag))
                for n, low, high in struct.iter_unpack(order + "III", body)
            )
            return Type(kind, name, size, signed=flag, values=wide)
        case _:
            return Type(kind, name, size, ref, count)


def _wide(low: int, high: int, *, signed: bool) -> int:
    value = high << 32 | low
    return value - (1 << 64) if signed and value >> 63 else value
