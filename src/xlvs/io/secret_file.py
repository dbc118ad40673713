# SPDX-License-Identifier: Apache-2.0
"""Files with secrets: for nobody's eyes but their owner's."""

from __future__ import annotations

import os
import stat

LARGEST = 1 << 16
"""Bytes of a secret's file."""


def read_secret(path: str) -> bytes:
    """What is in a plain file that only its owner, root or who asks, may read. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(None, "it is no plain file")
        if about.st_mode & 0o077:
            mode = stat.S_IMODE(about.st_mode)
            raise OSError(None, f"it is for others too (mode {mode:o}): chmod 600 {path}")
        if about.st_uid not in {0, os.geteuid()}:
            raise OSError(None, "it must be root's")
        if about.st_size > LARGEST:
            raise OSError(None, f"it is larger than {LARGEST} bytes")
        return file.read(LARGEST)
