# SPDX-License-Identifier: Apache-2.0
"""How records lie in memory, read from the BTF of the object that is loaded.

Pure. The formats are compiled once; packing 100,000 destinations takes about
half a second.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from socket import htonl, htons, ntohl, ntohs
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_type_hints

from xlvs.datapath import records
from xlvs.datapath.btf import Btf, Kind, Member, Type

R = TypeVar("R", bound=tuple[Any, ...])

_ADDRESS = "xlvs_addr"
_BIG_ENDIAN = {"__be16": (htons, ntohs), "__be32": (htonl, ntohl)}
"""To the network's byte order and back."""
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_PADDING = re.compile(r"pad\d*")


class LayoutError(ValueError):
    """Python's records and C's structs disagree; the message names the field."""


class _Field(NamedTuple):
    """One field as struct-module code; converters are None where the code suffices."""

    code: str
    width: int  # number of values that the code consumes
    encode: Callable[[Any], Any] | None
    decode: Callable[[Any], Any] | None


def _plain(code: str) -> _Field:
    """One value, taken as it is."""
    return _Field(code, 1, None, None)


@dataclass(frozen=True)
class Codec(Generic[R]):
    """Packs and unpacks one record type. ``offsets`` in bytes, by field name."""

    record: Callable[..., R]
    size: int
    offsets: Mapping[str, int]
    _struct: struct.Struct
    _special: tuple[tuple[int, _Field], ...]
    """Fields that are more than a value of the struct module, by their place; few are."""

    def pack(self, record: R) -> bytes:
        """The record's bytes. Raises struct.error for a number that does not fit."""
        if not self._special:
            return self._struct.pack(*record)
        flat = list(record)
        for place, (_, width, encode, _) in self._special[::-1]:
            value = flat[place] if encode is None else encode(flat[place])
            if width == 1:
                flat[place] = value
            else:
                flat[place : place + 1] = value
        return self._struct.pack(*flat)

    def unpack(self, data: bytes | memoryview, offset: int = 0) -> R:
        """The record at ``offset``."""
        values = list(self._struct.unpack_from(data, offset))
        for place, (_, width, _, decode) in self._special:
            if width == 1:
                value = values[place]
            else:
                value = tuple(values[place : place + width])
                values[place : place + width] = (value,)
            values[place] = value if decode is None else decode(value)
        return self.record(*values)


class Layout:
    """All records and enums of one object. Raises LayoutError when built from another abi."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._codecs: dict[type, Codec[Any]] = {}
        for record in records.STRUCTS:
            self.codec(cast("type[Any]", record))
        for name, (prefix, known) in records.ENUMS.items():
            self._check_enum(name, prefix, known)
        self.reasons: Mapping[int, str] = self.enum_names("xlvs_reason", "XLVS_REASON_")
        """Index of a reason's counter -> its name (``fwd_nat``)."""
        self.stream_events: Mapping[int, str] = self.enum_names(
            "xlvs_stream_event", "XLVS_STREAM_EVENT_"
        )
        """Index of a counter of streams -> its name (``toa``)."""

    def codec(self, record: type[R]) -> Codec[R]:
        """The codec of a record type of ``records``; kept."""
        codec = self._codecs.get(record)
        if codec is None:
            codec = self._compile(record)
            self._codecs[record] = codec
        return cast("Codec[R]", codec)

    def pack(self, record: tuple[Any, ...]) -> bytes:
        """The bytes of any record."""
        return self._codecs[type(record)].pack(record)

    def unpack(self, record: type[R], data: bytes | memoryview, offset: int = 0) -> R:
        """The record of that type at ``offset``."""
        return self.codec(record).unpack(data, offset)

    def size(self, record: type[tuple[Any, ...]]) -> int:
        """Bytes of a record."""
        return self.codec(record).size

    def enum(self, name: str) -> Mapping[str, int]:
        """Enumerators of a C enum, as C spells them. Raises LayoutError."""
        found = self._btf.find(Kind.ENUM, name)
        if found is None:
            msg = f"the object's BTF has no enum {name}"
            raise LayoutError(msg)
        return dict(found.values)

    def enum_names(self, name: str, prefix: str) -> Mapping[int, str]:
        """Value -> name in lower case without the prefix; the closing ``MAX`` is left out."""
        return {
            value: spelled.removeprefix(prefix).lower()
            for spelled, value in self.enum(name).items()
            if spelled != prefix + "MAX"
        }

    def describe(self) -> dict[str, Any]:
        """Every struct and enum in plain values: what must agree to share pinned maps."""
        structs = {}
        for name in sorted({_ADDRESS, *records.STRUCTS.values()}):
            found = self._struct(name)
            structs[name] = {
                "size": found.size,
                "fields": [
                    [m.name, m.bit_offset // 8, self._btf.size_of(m.type_id)] for m in found.members
                ],
            }
        enums = {
            name: dict(sorted(self.enum(name).items())) for name in [*records.ENUMS, "xlvs_reason"]
        }
        return {"structs": structs, "enums": enums}

    def fingerprint(self) -> bytes:
        """``describe()`` in canonical JSON; kept beside the pinned maps."""
        return json.dumps(self.describe(), sort_keys=True, separators=(",", ":")).encode()

    def _struct(self, name: str) -> Type:
        found = self._btf.find(Kind.STRUCT, name)
        if found is None:
            msg = f"the object's BTF has no struct {name}"
            raise LayoutError(msg)
        return found

    def _compile(self, record: type[R]) -> Codec[R]:
        name = records.STRUCTS.get(cast("Any", record))
        if name is None:
            msg = f"{record.__name__} is no record of the data path"
            raise LayoutError(msg)
        found = self._struct(name)
        hints = get_type_hints(record)
        members = [m for m in found.members if not _PADDING.fullmatch(m.name)]
        spelled = [m.name for m in members]
        if spelled != list(hints):
            _complain(name, spelled, list(hints))
        code, at = "=", 0
        fields = []
        for member in members:
            offset = member.bit_offset // 8
            field = self._field(name, member, hints[member.name])
            code += f"{offset - at}x" + field.code
            at = offset + self._btf.size_of(member.type_id)
            fields.append(field)
        code += f"{found.size - at}x"
        compiled = struct.Struct(code)
        if compiled.size != found.size:
            msg = f"struct {name} is {found.size} bytes in C, {compiled.size} as read here"
            raise LayoutError(msg)
        offsets = {m.name: m.bit_offset // 8 for m in found.members}
        special = tuple((i, f) for i, f in enumerate(fields) if f != _plain(f.code))
        return Codec(record, found.size, offsets, compiled, special)

    def _field(self, owner: str, member: Member, hint: object) -> _Field:
        if member.bit_size:
            msg = f"{owner}.{member.name} is a bit field"
            raise LayoutError(msg)
        found, typedef = self._btf.resolve(member.type_id)
        wanted, field = self._convert(found, typedef, hint)
        if field is None or not wanted:
            msg = (
                f"{owner}.{member.name} is {found.kind.name.lower()} {found.name} in C, not {hint}"
            )
            raise LayoutError(msg)
        return field

    def _convert(self, found: Type, typedef: str, hint: object) -> tuple[bool, _Field | None]:
        match found.kind:
            case Kind.INT | Kind.ENUM | Kind.ENUM64 if found.size in _CODES:
                return hint is int, _number(found, typedef)
            case Kind.STRUCT if found.name == _ADDRESS:
                return hint is bytes, _plain(f"{found.size}s")
            case Kind.STRUCT:
                nested = self.codec(cast("type[tuple[Any, ...]]", hint))
                fits = records.STRUCTS.get(cast("Any", hint)) == found.name
                # Many destinations have the same next hop.
                pack = lru_cache(maxsize=256)(nested.pack)
                return fits, _Field(f"{nested.size}s", 1, pack, nested.unpack)
            case Kind.ARRAY:
                return self._convert_array(found, hint)
            case _:
                return False, None

    def _convert_array(self, found: Type, hint: object) -> tuple[bool, _Field | None]:
        element, typedef = self._btf.resolve(found.ref)
        if element.kind is Kind.INT and element.size == 1:
            return hint is bytes, _plain(f"{found.count}s")
        if element.kind is Kind.INT and typedef not in _BIG_ENDIAN:
            code = f"{found.count}{_CODES[element.size]}"
            return hint == tuple[int, ...], _Field(code, found.count, None, None)
        inner = cast("Any", getattr(hint, "__args__", (None,))[0])
        if element.kind is not Kind.STRUCT or records.STRUCTS.get(inner) != element.name:
            return False, None
        nested = self.codec(cast("type[tuple[Any, ...]]", inner))
        if found.count == 1:  # one value, which is handed over without a sequence around it
            return True, _Field(
                f"{nested.size}s",
                1,
                lambda values: nested.pack(values[0]),
                lambda value: (nested.unpack(value),),
            )

        def encode(values: tuple[Any, ...]) -> list[bytes]:
            return [nested.pack(value) for value in values]

        def decode(values: tuple[bytes, ...]) -> tuple[Any, ...]:
            return tuple(nested.unpack(value) for value in values)

        return True, _Field(f"{nested.size}s" * found.count, found.count, encode, decode)

    def _check_enum(self, name: str, prefix: str, known: type[Any]) -> None:
        in_c = {
            spelled.removeprefix(prefix): value
            for spelled, value in self.enum(name).items()
            if spelled != prefix + "MAX"
        }
        in_python = {member.name: member.value for member in known}
        for spelled in in_c.keys() | in_python.keys():
            if in_c.get(spelled) != in_python.get(spelled):
                msg = (
                    f"enum {name}: {prefix}{spelled} is {in_c.get(spelled)} in C "
                    f"and {in_python.get(spelled)} in Python"
                )
                raise LayoutError(msg)


def _number(found: Type, typedef: str) -> _Field:
    code = _CODES[found.size]
    if typedef in _BIG_ENDIAN:
        return _Field(code, 1, *_BIG_ENDIAN[typedef])
    return _plain(code.lower() if found.signed else code)


def _complain(name: str, in_c: list[str], in_python: list[str]) -> None:
    for position, (theirs, ours) in enumerate(zip([*in_c, None], [*in_python, None], strict=False)):
        if theirs != ours:
            msg = f"struct {name}: field {position} is {theirs} in C and {ours} in Python"
            raise LayoutError(msg)
    msg = f"struct {name}: C has {in_c}, Python {in_python}"
    raise LayoutError(msg)


def difference(ours: bytes, theirs: bytes) -> str:
    """The first place where two fingerprints differ, in words; "" if they agree."""
    if ours == theirs:
        return ""
    try:
        there = json.loads(theirs)
    except ValueError:
        return "the pinned description cannot be read"
    return _differ(json.loads(ours), there, "")


def _differ(ours: object, theirs: object, path: str) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                return _differ(ours.get(key), theirs.get(key), f"{path} {key}".strip())
    return f"{path} is {theirs} in the pinned maps and {ours} in this version"
