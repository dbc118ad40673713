# SPDX-License-Identifier: Apache-2.0
"""Files with secrets: what is not for their owner alone is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlvs.io.secret_file import LARGEST, read_secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "secret"
    made.write_bytes(b"hush")
    made.chmod(0o600)
    return made


def test_its_owners(file: Path) -> None:
    assert read_secret(str(file)) == b"hush"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_for_others_too(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(OSError, match=rf"for others too \(mode {mode:o}\): chmod 600 {file}"):
        read_secret(str(file))


def test_somebody_elses(file: Path) -> None:
    os.chown(file, 65534, 65534)
    with pytest.raises(OSError, match="it must be root's"):
        read_secret(str(file))


def test_what_is_no_file_or_is_too_large(file: Path) -> None:
    with pytest.raises(OSError, match="no plain file"):
        read_secret("/dev/null")
    file.write_bytes(bytes(LARGEST + 1))
    with pytest.raises(OSError, match="larger than"):
        read_secret(str(file))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        read_secret(str(file))
