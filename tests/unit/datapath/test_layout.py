# SPDX-License-Identifier: Apache-2.0
"""Records against the structs of the compiled object."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlvs.datapath import records
from xlvs.datapath.btf import Btf, Kind, read
from xlvs.datapath.layout import Layout, LayoutError, difference
from xlvs.datapath.loader import OBJECTS

LAYOUT = Layout(read((OBJECTS / "xdp.bpf.o").read_bytes()))
RECORDS = list(records.STRUCTS)


def changed(btf: Btf, name: str, **changes: object) -> Btf:
    """The same types with one struct or enum changed."""
    types = tuple(replace(t, **changes) if t.name == name else t for t in btf.types)
    return Btf(types)


@pytest.mark.parametrize("record", RECORDS)
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=25)
def test_packing_loses_nothing(record: type, seed: int) -> None:
    size = LAYOUT.size(record)
    value = LAYOUT.unpack(record, Random(seed).randbytes(size))
    packed = LAYOUT.pack(value)
    assert len(packed) == size
    assert LAYOUT.unpack(record, packed) == value
    assert LAYOUT.unpack(record, b"abc" + packed, 3) == value


@pytest.mark.parametrize("record", RECORDS)
def test_defaults_are_zero_but_for_gcd(record: type) -> None:
    packed = LAYOUT.pack(record())
    assert packed.replace(b"\1\0\0\0", bytes(4)) == bytes(len(packed))


def test_byte_order_follows_the_typedef() -> None:
    offsets = LAYOUT.codec(records.ServiceKey).offsets
    packed = LAYOUT.pack(records.ServiceKey(port=0x1234, fwmark=0x1234))
    assert packed[offsets["port"] :][:2] == b"\x12\x34"
    assert int.from_bytes(packed[offsets["fwmark"] :][:4], "little") == 0x1234


def test_padding_stays_zero() -> None:
    record = records.ServiceKey4(0xFFFFFFFF, 0xFFFF, 0xFF)
    codec = LAYOUT.codec(records.ServiceKey4)
    assert codec.pack(record) == b"\xff" * 7 + b"\0"


def test_a_field_that_c_lacks_is_named(btf: Btf) -> None:
    struct = btf.find(Kind.STRUCT, "xlvs_reason_stats")
    assert struct is not None
    wrong = changed(btf, "xlvs_reason_stats", members=(struct.members[0],))
    with pytest.raises(LayoutError, match="xlvs_reason_stats: field 1 is None in C and bytes"):
        Layout(wrong)


def test_a_renamed_field_is_named(btf: Btf) -> None:
    struct = btf.find(Kind.STRUCT, "xlvs_reason_stats")
    assert struct is not None
    members = (replace(struct.members[0], name="frames"), struct.members[1])
    with pytest.raises(LayoutError, match="field 0 is frames in C and packets in Python"):
        Layout(changed(btf, "xlvs_reason_stats", members=members))


def test_a_field_of_another_type_is_named(btf: Btf) -> None:
    struct = btf.find(Kind.STRUCT, "xlvs_interface")
    assert struct is not None
    of_address = struct.members[0].type_id
    members = tuple(
        replace(m, type_id=of_address) if m.name == "carrier" else m for m in struct.members
    )
    with pytest.raises(LayoutError, match=r"xlvs_interface\.carrier is struct xlvs_addr"):
        Layout(changed(btf, "xlvs_interface", members=members))


def test_a_changed_enumerator_is_named(btf: Btf) -> None:
    enum = btf.find(Kind.ENUM, "xlvs_scheduler")
    assert enum is not None
    values = tuple((n, 9 if n == "XLVS_SCHED_LC" else v) for n, v in enum.values)
    with pytest.raises(LayoutError, match="XLVS_SCHED_LC is 9 in C and 3 in Python"):
        Layout(changed(btf, "xlvs_scheduler", values=values))


@pytest.mark.parametrize(("kind", "name"), [("struct", "xlvs_stats"), ("enum", "xlvs_reason")])
def test_what_is_missing_is_named(btf: Btf, kind: str, name: str) -> None:
    renamed = Btf(tuple(replace(t, name="x") if t.name == name else t for t in btf.types))
    with pytest.raises(LayoutError, match=f"no {kind} {name}"):
        Layout(renamed)


def test_only_records_have_codecs(layout: Layout) -> None:
    with pytest.raises(LayoutError, match="tuple is no record"):
        layout.codec(tuple)


def test_reasons_have_names(layout: Layout) -> None:
    assert layout.reasons[0] == "none"
    assert layout.reasons[1] == "fwd_nat"
    assert "max" not in layout.reasons.values()


def test_fingerprints_that_differ_say_where(layout: Layout) -> None:
    ours = layout.fingerprint()
    assert difference(ours, ours) == ""
    theirs = json.loads(ours)
    theirs["structs"]["xlvs_reason_stats"]["size"] = 24
    text = difference(ours, json.dumps(theirs).encode())
    assert text == "structs xlvs_reason_stats size is 24 in the pinned maps and 16 in this version"
    assert "cannot be read" in difference(ours, b"\xff")


def test_a_hundred_thousand_destinations_pack_in_moments(layout: Layout) -> None:
    codec = layout.codec(records.Destination)
    record = records.Destination(port=80, weight=-1)
    start = time.process_time()
    for _ in range(100_000):
        codec.pack(record)
    assert time.process_time() - start < 3
