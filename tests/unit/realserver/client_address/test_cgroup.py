# SPDX-License-Identifier: Apache-2.0
"""Where cgroups of version 2 are, by the mount table."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlvs.model.problem import Problem
from xlvs.realserver.client_address import cgroup

HYBRID = """\
24 1 0:22 / /sys rw - sysfs sys rw
32 24 0:29 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
33 32 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
34 32 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
"""


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        (HYBRID, "/sys/fs/cgroup/unified"),
        ("31 24 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup"),
        ("31 24 0:27 / /my\\040groups rw - cgroup2 none rw\n", "/my groups"),
        ("31 24 0:27 /part /sys/fs/cgroup rw - cgroup2 none rw\n", None),
        ("34 32 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", None),
        ("", None),
    ],
)
def test_the_mount_table(mounts: str, place: str | None) -> None:
    assert cgroup.mounted_at(mounts) == place


def test_none_is_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor where the first process looks; then a path may still be named."""
    monkeypatch.setattr(cgroup, "_VIEWS", ((str(tmp_path / "no"), ""),))
    with pytest.raises(Problem, match="no cgroup2 file system is mounted"):
        cgroup.find(None)
    with pytest.raises(Problem, match="is not a cgroup of version 2"):
        cgroup.find(str(tmp_path))
    (tmp_path / "cgroup.controllers").touch()
    found = cgroup.find(str(tmp_path))
    assert found == cgroup.Cgroup(str(tmp_path), tmp_path.stat().st_ino, root=False)
    with cgroup.opened(found) as folder:
        assert folder >= 0


def test_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As another process sees it, if this one's table has none."""
    (tmp_path / "cgroup.controllers").touch()
    for name, text in (("ours", ""), ("theirs", f"1 1 0:1 / {tmp_path} rw - cgroup2 none rw\n")):
        (tmp_path / name).write_text(text)
    views = ((str(tmp_path / "ours"), ""), (str(tmp_path / "theirs"), ""))
    monkeypatch.setattr(cgroup, "_VIEWS", views)
    assert cgroup.find(None) == cgroup.find(str(tmp_path))
    assert cgroup.find(None).root
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert cgroup.path_of(below.stat().st_ino) == str(below)
    assert cgroup.path_of(0) == "with id 0"
