# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlvs.io.notification.security import insecure


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "script"
    path.parent.mkdir(mode=0o755)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_fine(script: Path) -> None:
    assert insecure(str(script)) == ""
    assert insecure("/bin/sh") == ""


def test_who_may_write(script: Path) -> None:
    script.chmod(0o757)
    assert insecure(str(script)) == f"{script} is writable for everybody"
    script.chmod(0o775)
    assert insecure(str(script)) == ""  # root's group
    os.chown(script, 0, 12)
    assert insecure(str(script)) == f"{script} is writable for group 12"
    os.chown(script, 12, 0)
    assert insecure(str(script)) == f"{script} belongs to user 12, not root"


def test_folders(script: Path) -> None:
    script.parent.chmod(0o777)
    assert insecure(str(script)) == f"{script.parent} is writable for everybody"
    script.parent.chmod(0o1777)
    assert insecure(str(script)) == ""


def test_links(script: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(script)
    assert insecure(str(link)) == ""
    script.chmod(0o757)
    assert insecure(str(link)) == f"{script} is writable for everybody"


def test_no_file(script: Path) -> None:
    assert insecure(str(script.parent)) == f"{script.parent} is no file"
    assert "no such file" in insecure(str(script) + "x")
    assert insecure("script") == "script is no absolute path"
