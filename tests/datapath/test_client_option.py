# SPDX-License-Identifier: Apache-2.0
"""Which option of a TCP header says who the client is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from hatch_build import compiler, flags
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client_option import option

from xlvs.datapath import libbpf, testrun

SOURCE = Path(__file__).resolve().parent / "bpf" / "client_option.c"
FOUR, SIX = "203.0.113.9", "2001:db8::9"
FORGED = "198.51.100.1"
SAYS = 256

OPTION4, OPTION6 = option(FOUR), option(SIX)
MSS, SACK, STAMP = b"\2\4\5\xb4", b"\4\2", b"\x08\x0a" + bytes(8)
USUAL = MSS + SACK + STAMP + b"\1\3\3\7"  # as Linux sends it


class Reader(NamedTuple):
    program: int
    said: int

    def __call__(self, options: bytes, family: int = 4, kind: int = 254) -> tuple[int, str, int]:
        """How many options there are, and what the first says: address and port, or nothing."""
        padded = options + bytes(-len(options) % 4)
        header = bytes(12) + bytes([(20 + len(padded)) // 4 << 4]) + bytes(7) + padded
        assert len(header) <= 60
        frame = bytes([kind, family == 4]) + bytes(12) + header.ljust(60, b"\xfe")
        found = testrun.test_run(self.program, frame).retval
        if not found & SAYS:
            return found, "", 0
        value = libbpf.map_lookup(self.said, bytes(4), 20)
        assert value is not None
        address = ip_address(value[:16])
        mapped = address.ipv4_mapped
        return found & ~SAYS, str(mapped or address), int.from_bytes(value[16:18], "big")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    target = tmp_path_factory.mktemp("option") / "option.o"
    subprocess.run([compiler(), *flags(), "-c", str(SOURCE), "-o", str(target)], check=True)
    with closing(libbpf.Object(str(target), None)) as loaded:
        loaded.load()
        yield Reader(loaded.program_fds()["read_option"], loaded.map_fds()["said"])


@pytest.mark.parametrize(
    ("options", "family", "found"),
    [
        (b"", 4, (0, "", 0)),
        (USUAL, 4, (0, "", 0)),
        (OPTION4, 4, (1, FOUR, 4711)),
        (OPTION4 + USUAL, 4, (1, FOUR, 4711)),
        (USUAL + OPTION4, 4, (1, FOUR, 4711)),
        (b"\1\1" + OPTION4, 4, (1, FOUR, 4711)),
        (b"\1" * 32 + OPTION4, 4, (1, FOUR, 4711)),
        (OPTION6, 6, (1, SIX, 4711)),
        (OPTION6 + USUAL, 6, (1, SIX, 4711)),
        (USUAL + OPTION6, 6, (1, SIX, 4711)),
        # Several: the first counts, or none.
        (OPTION4 + option(FORGED), 4, (2, FOUR, 4711)),
        (OPTION4 + option(FORGED) * 4, 4, (5, FOUR, 4711)),
        (OPTION6 + option(FORGED), 4, (2, "", 0)),
        (b"\xfe\4\xf9\x89" + option(FORGED), 4, (2, "", 0)),
        # Of the other family, or of no form at all.
        (OPTION4, 6, (1, "", 0)),
        (OPTION6, 4, (1, "", 0)),
        (b"\xfe\2", 4, (1, "", 0)),
        # Behind the end, inside another option, of another kind.
        (b"\0" + OPTION4, 4, (0, "", 0)),
        (b"\xfd\x0a" + OPTION4, 4, (0, "", 0)),
        (option(FORGED, kind=253) + OPTION4, 4, (1, FOUR, 4711)),
        # Lengths that are none, or lead out of the header: nothing after that is read.
        (b"\x05\0" + OPTION4, 4, (0, "", 0)),
        (b"\x05\1" + OPTION4, 4, (0, "", 0)),
        (b"\x05\xff" + OPTION4, 4, (0, "", 0)),
        (OPTION4[:4], 4, (0, "", 0)),
        (USUAL + b"\xfe\x15" + OPTION6[2:], 6, (0, "", 0)),
        (b"\1\1\1\xfe", 4, (0, "", 0)),
    ],
)
def test_what_counts(read: Reader, options: bytes, family: int, found: object) -> None:
    assert read(options, family) == found


@pytest.mark.parametrize("kind", [252, 253])
def test_the_kind_is_a_setting(read: Reader, kind: int) -> None:
    assert read(option(FORGED) + option(FOUR, kind=kind), kind=kind) == (1, FOUR, 4711)


def expected(options: bytes, family: int) -> tuple[int, str, int]:
    """The same by plain reading."""
    options += bytes(-len(options) % 4)
    at, found = 0, []
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            break
        if options[at] == 254:
            found.append(options[at : at + length])
        at += length
    if not found or len(found[0]) != (8 if family == 4 else 20):
        return len(found), "", 0
    address = ip_address(found[0][4:])
    return (
        len(found),
        str(getattr(address, "ipv4_mapped", None) or address),
        int.from_bytes(found[0][2:4], "big"),
    )


PIECES = st.sampled_from(
    [OPTION4, OPTION6, option(FORGED), MSS, SACK, STAMP, b"\1", b"\0", b"\xfe"]
)


@settings(max_examples=300, deadline=None)
@given(
    options=st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=12).map(b"".join)),
    family=st.sampled_from([4, 6]),
)
def test_any_layout(read: Reader, options: bytes, family: int) -> None:
    assert read(options[:40], family) == expected(options[:40], family)
