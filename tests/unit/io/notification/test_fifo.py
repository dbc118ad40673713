# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from xlvs.io.notification.fifo import FifoWriter


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[FifoWriter]:
    writer = FifoWriter(str(tmp_path / "fifo"))
    writer.open()
    yield writer
    writer.close()


def read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def test_lines_wait_for_a_reader(fifo: FifoWriter, tmp_path: Path) -> None:
    assert fifo.write("one")
    assert fifo.write("two\n")
    assert read(tmp_path / "fifo") == b"one\ntwo\n"


def test_nobody_reads(fifo: FifoWriter, tmp_path: Path) -> None:
    """It never waits; what does not fit is counted, and no line is cut."""
    line = "x" * 999
    written = 0
    while fifo.write(line):
        written += 1
    assert fifo.lost == 1
    assert not fifo.write(line)
    assert fifo.lost == 2
    assert read(tmp_path / "fifo") == b"".join([line.encode() + b"\n"] * written)
    assert fifo.write("again")


def test_a_line_too_long(fifo: FifoWriter) -> None:
    assert not fifo.write("x" * 4096)
    assert fifo.lost == 1


def test_a_new_pipe_in_its_place(fifo: FifoWriter, tmp_path: Path) -> None:
    os.unlink(tmp_path / "fifo")
    assert not fifo.write("lost")
    os.mkfifo(tmp_path / "fifo")
    assert fifo.write("found")
    assert read(tmp_path / "fifo") == b"found\n"


def test_removes_what_it_made_only(tmp_path: Path) -> None:
    path = tmp_path / "there"
    os.mkfifo(path)
    writer = FifoWriter(str(path))
    writer.open()
    writer.close()
    assert path.exists()


def test_no_fifo(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="is no FIFO"):
        FifoWriter(str(tmp_path / "file")).open()
