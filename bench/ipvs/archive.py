# SPDX-License-Identifier: Apache-2.0
"""An initramfs: a cpio archive of the "newc" form (cpio(5)), made without copying files first."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

MAGIC = b"070701"
ALIGNMENT = 4


class Archive:
    """Files by their path in the guest; folders above them are made."""

    def __init__(self) -> None:
        self._entries: dict[PurePosixPath, tuple[int, int, bytes]] = {}

    def put(self, path: str | PurePosixPath, content: bytes, *, mode: int = 0o644) -> None:
        """A file of one's own."""
        self._add(PurePosixPath(path), stat.S_IFREG | mode, 0, content)

    def copy(self, source: Path, path: str | PurePosixPath | None = None) -> None:
        """A file of this machine, links followed; its time stays, Python compares it."""
        found = source.stat()
        to = PurePosixPath(path or source)
        self._add(
            to, stat.S_IFREG | found.st_mode & 0o777, int(found.st_mtime), source.read_bytes()
        )

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._add(PurePosixPath(path), stat.S_IFLNK | 0o777, 0, target.encode())

    def has(self, path: str | PurePosixPath) -> bool:
        """Whether something is there already."""
        return PurePosixPath(path) in self._entries

    def write(self, to: Path) -> None:
        """The archive, in an order that does not depend on how it was filled."""
        with to.open("wb") as out:
            for number, (path, entry) in enumerate(sorted(self._entries.items()), 1):
                out.write(_record(str(path).lstrip("/"), number, *entry))
            out.write(_record("TRAILER!!!", 0, 0, 0, b""))

    def _add(self, path: PurePosixPath, mode: int, time: int, content: bytes) -> None:
        for folder in path.parents:
            if folder.name:
                self._entries.setdefault(folder, (stat.S_IFDIR | 0o755, 0, b""))
        self._entries[path] = (mode, time, content)


def _record(name: str, number: int, mode: int, time: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, four device numbers, name's length, checksum
    fields = (number, mode, 0, 0, 1, time, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = MAGIC + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
