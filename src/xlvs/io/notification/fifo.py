# SPDX-License-Identifier: Apache-2.0
"""Writing events to a named pipe without ever waiting for its reader."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat

log = logging.getLogger(__name__)


class FifoWriter:
    """``lost``: lines that nobody took. Lines wait in the pipe until somebody reads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._made = False
        self._identity = (0, 0)
        self._losing = False
        self.lost = 0

    def open(self) -> None:
        """Make the pipe if it is not there. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
            self._made = True
        self._reopen()

    def close(self) -> None:
        """Remove it if it was made here."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._made:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def write(self, line: str) -> bool:
        """Write a line as a whole, or count it as lost."""
        data = line.rstrip("\n").encode() + b"\n"
        try:
            if self._fd < 0 or self._moved():
                self._reopen()
            # Up to PIPE_BUF bytes are written as a whole or not at all.
            fits = len(data) <= select.PIPE_BUF
            written = os.write(self._fd, data) if fits else 0
        except OSError as error:
            return self._lose(error.strerror or str(error))
        if not written:
            return self._lose("the line is too long")
        if self._losing:
            log.warning("%s is read again; %d lines were lost so far", self._path, self.lost)
            self._losing = False
        return True

    def _lose(self, why: str) -> bool:
        self.lost += 1
        if not self._losing:
            log.warning("%s: lines are lost (%s)", self._path, why.lower())
        self._losing = True
        return False

    def _moved(self) -> bool:
        found = os.stat(self._path)
        return (found.st_dev, found.st_ino) != self._identity

    def _reopen(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        # For reading too: a pipe without reader could not be opened, or would break.
        fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(fd)
        if not stat.S_ISFIFO(found.st_mode):
            os.close(fd)
            raise FileExistsError(f"{self._path} is no FIFO")
        self._fd = fd
        self._identity = (found.st_dev, found.st_ino)
