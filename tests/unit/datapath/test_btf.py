# SPDX-License-Identifier: Apache-2.0
"""The BTF reader, on sections put together by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.datapath.btf import Btf, BtfError, Kind, parse, read, section


class Builder:
    """Writes a .BTF section, type by type."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.strings = bytearray(b"\0")
        self.types = bytearray()
        self.count = 0

    def text(self, value: str) -> int:
        if not value:
            return 0
        at = len(self.strings)
        self.strings += value.encode() + b"\0"
        return at

    def add(
        self,
        kind: Kind,
        name: str,
        size_or_ref: int,
        body: tuple[int, ...] = (),
        *,
        count: int = 0,
        flag: bool = False,
    ) -> int:
        info = flag << 31 | kind << 24 | count
        self.types += struct.pack(self.order + "III", self.text(name), info, size_or_ref)
        self.types += struct.pack(self.order + "I" * len(body), *(v & 0xFFFFFFFF for v in body))
        self.count += 1
        return self.count

    def blob(self) -> bytes:
        header = struct.pack(
            self.order + "HBBIIIII",
            0xEB9F,
            1,
            0,
            24,
            0,
            len(self.types),
            len(self.types),
            len(self.strings),
        )
        return header + bytes(self.types) + bytes(self.strings)

    def parse(self) -> Btf:
        return parse(self.blob())


@pytest.mark.parametrize("order", ["<", ">"])
def test_struct_with_typedef_array_and_bit_field(order: str) -> None:
    b = Builder(order)
    u16 = b.add(Kind.INT, "unsigned short", 2, (16,))
    be16 = b.add(Kind.TYPEDEF, "__be16", u16)
    const = b.add(Kind.CONST, "", be16)
    array = b.add(Kind.ARRAY, "", 0, (u16, u16, 5))
    b.add(
        Kind.STRUCT,
        "s",
        16,
        (b.text("port"), const, 0, b.text("list"), array, 16, b.text("bits"), u16, 3 << 24 | 96),
        count=3,
        flag=True,
    )
    btf = b.parse()
    found = btf.find(Kind.STRUCT, "s")
    assert found is not None
    assert [(m.name, m.bit_offset, m.bit_size) for m in found.members] == [
        ("port", 0, 0),
        ("list", 16, 0),
        ("bits", 96, 3),
    ]
    resolved, typedef = btf.resolve(found.members[0].type_id)
    assert (resolved.kind, resolved.size, typedef) == (Kind.INT, 2, "__be16")
    assert btf.size_of(found.members[1].type_id) == 10
    assert btf.find(Kind.UNION, "s") is None


def test_signed_int_and_pointer() -> None:
    b = Builder()
    signed = b.add(Kind.INT, "int", 4, (1 << 24 | 32,))
    pointer = b.add(Kind.PTR, "", signed)
    btf = b.parse()
    assert btf.types[signed].signed
    assert btf.size_of(pointer) == 8


def test_enums_of_both_widths() -> None:
    b = Builder()
    plain = b.add(Kind.ENUM, "e", 4, (b.text("A"), 1, b.text("B"), 0x80000000), count=2)
    negative = b.add(Kind.ENUM, "n", 4, (b.text("M"), -1), count=1, flag=True)
    wide = b.add(Kind.ENUM64, "w", 8, (b.text("W"), 5, 1), count=1)
    below = b.add(Kind.ENUM64, "v", 8, (b.text("V"), -2, -1), count=1, flag=True)
    types = b.parse().types
    assert types[plain].values == (("A", 1), ("B", 0x80000000))
    assert types[negative].values == (("M", -1),)
    assert types[wide].values == (("W", (1 << 32) + 5),)
    assert types[below].values == (("V", -2),)


def test_functions_and_variables_are_walked_over() -> None:
    b = Builder()
    number = b.add(Kind.INT, "int", 4, (32,))
    proto = b.add(Kind.FUNC_PROTO, "", number, (b.text("a"), number), count=1)
    b.add(Kind.FUNC, "f", proto)
    variable = b.add(Kind.VAR, "v", number, (1,))
    b.add(Kind.DATASEC, ".data", 4, (variable, 0, 4), count=1)
    b.add(Kind.DECL_TAG, "tag", variable, (0,))
    b.add(Kind.FLOAT, "double", 8)
    last = b.add(Kind.STRUCT, "last", 0)
    assert b.parse().types[last].name == "last"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "not a 64-bit ELF file"),
        (b"\x7fELF\x01" + bytes(80), "not a 64-bit ELF file"),
        (b"\x7fELF\x02\x01" + b"\xff" * 80, "damaged"),
    ],
    ids=["empty", "32-bit", "garbage"],
)
def test_no_elf(image: bytes, message: str) -> None:
    with pytest.raises(BtfError, match=message):
        read(image)


def test_missing_section(object_image: bytes) -> None:
    with pytest.raises(BtfError, match=r"no section \.nothing"):
        section(object_image, ".nothing")


def test_wrong_magic() -> None:
    with pytest.raises(BtfError, match="magic"):
        parse(bytes(64))


@given(st.binary(max_size=200), st.integers(0, 100))
def test_damage_is_an_error_and_nothing_else(garbage: bytes, keep: int) -> None:
    b = Builder()
    b.add(Kind.STRUCT, "s", 4, (b.text("x"), 1, 0), count=1)
    for blob in (garbage, b.blob()[:keep], b.blob()[:keep] + garbage):
        try:
            parse(blob)
        except BtfError:
            continue
