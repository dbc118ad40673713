# SPDX-License-Identifier: Apache-2.0
"""One daemon per instance, and who it is.

A record lock, not flock: the kernel tells the holder's process id, so that whoever
wants to end the daemon never ends another process that got an old number.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from xlvs.model.problem import Code, Problem

# struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = struct.Struct("hhqqi4x")


class Lock:
    """The lock of a running daemon; let go of when the process ends."""

    def __init__(self, path: Path) -> None:
        """Take it. Raises Problem when another daemon has it."""
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = holder(path)
            os.close(self._fd)
            raise Problem(
                Code.INVALID,
                f"another xlvsd runs this instance (process {other}): "
                "end it, or choose another --instance",
                "--instance",
            ) from error
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let another daemon run."""
        os.close(self._fd)


def holder(path: Path) -> int:
    """Process id of the daemon that holds the lock, 0 if none does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return 0 if kind == fcntl.F_UNLCK else int(pid)
