# SPDX-License-Identifier: Apache-2.0
"""Reads a configuration from the disk: files, environment and chance for the pure reader."""

from __future__ import annotations

import glob
import os
import random
import stat

from xlvs.config.keepalived.load import load
from xlvs.config.keepalived.reader import Files, Surroundings
from xlvs.io.secret_file import read_secret
from xlvs.model.configuration import Configuration

LARGEST = 256 * 1024 * 1024
"""Bytes of a file that is read."""


def read_file(path: str) -> bytes:
    """The contents of a plain file. Raises OSError for everything else, and for huge ones."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(None, "it is no plain file")
        if about.st_size > LARGEST:
            raise OSError(None, f"it is larger than {LARGEST} bytes")
        return file.read(LARGEST)


def default_config_id() -> str:
    """keepalived's: the first part of the host's name."""
    return os.uname().nodename.partition(".")[0]


def surroundings(config_id: str | None = None) -> Surroundings:
    """This machine's. ``config_id`` None: the host's name."""
    return Surroundings(
        files=Files(read_file, glob.glob, read_secret),
        config_id=default_config_id() if config_id is None else config_id,
        environment=os.environ,
        random=random.Random(),  # noqa: S311  # ${_RANDOM} is no secret
    )


def read_configuration(path: str, config_id: str | None = None) -> Configuration:
    """What a keepalived.conf says. Raises ConfigurationError.

    Takes a second for 2,000 services with 40,000 real servers: nothing for an event loop.
    """
    return load(os.path.abspath(path), surroundings(config_id))
