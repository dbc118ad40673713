# SPDX-License-Identifier: Apache-2.0

import os

import pytest

from xlvs.io import tracked_file


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (b"7\n", 7),
        (b"  -3 and more\n", -3),
        (b"", 0),
        (b"up", 0),
        (b"\xff\xfe", 0),
        (b"9" * 30, 2**31 - 1),
        (b"-" + b"9" * 30, 1 - 2**31),
    ],
)
def test_what_a_file_says(tmp_path, content, number):
    path = tmp_path / "number"
    path.write_bytes(content)
    assert tracked_file.number(str(path)) == number


def test_what_is_no_file_says_0_at_once(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for each in (tmp_path / "none", tmp_path, fifo):
        assert tracked_file.number(str(each)) == 0
