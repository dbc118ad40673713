# SPDX-License-Identifier: Apache-2.0
"""What the daemons say, on standard error: sentences, or an object of JSON in each line.

journald takes the level from the beginning of a line (sd-daemon(3)): it is there when
standard error is journald's.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

import msgspec

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
"""syslog's, from the top; what is below is 7, debug."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; anything else is a field that the caller added by ``extra``."""


class Format(StrEnum):
    """``--log-format``."""

    TEXT = "text"
    JSON = "json"


def configure(wanted: Format, text: str, stream: TextIO | None = None) -> None:
    """Log to this, standard error if it is None. ``text``: logging's format of a sentence."""
    stream = sys.stderr if stream is None else stream
    formatter = Json() if wanted is Format.JSON else logging.Formatter(text)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Prioritized(formatter) if is_journal(stream) else formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def is_journal(stream: TextIO) -> bool:
    """Whether this is the one that systemd has connected with journald."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class Json(logging.Formatter):
    """``time`` (UTC), ``level``, ``logger``, ``message``, then what the caller added."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: each for name, each in vars(record).items() if name not in _PLAIN}
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line, enc_hook=str).decode()


class Prioritized(logging.Formatter):
    """Another formatter's lines, each with its priority: journald reads line by line."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The same with ``<N>``."""
        head = f"<{next((p for least, p in _PRIORITIES if record.levelno >= least), 7)}>"
        return "\n".join(head + line for line in self._inner.format(record).splitlines())
