# SPDX-License-Identifier: Apache-2.0
"""What a probe found."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """The result of one probe.

    ``cause``: why it failed, or a remark; "" if there is nothing to say. ``weight``: what the
    checker wants the server's weight to be (MISC_CHECK), None: as configured. ``added``: what
    is added to the server's weight (FILE_CHECK). ``ours``: the director lacked something (file
    descriptors, a local address, the right to do it), so nothing is known about the server and
    nothing may follow for it.
    """

    ok: bool
    cause: str = ""
    weight: int | None = None
    ours: bool = False
    added: int = 0


GOOD = Outcome(ok=True)


def failed(cause: str) -> Outcome:
    """The server is not as it should be."""
    return Outcome(ok=False, cause=cause)


def not_asked(cause: str) -> Outcome:
    """The director could not ask."""
    return Outcome(ok=False, cause=cause, ours=True)


class Wrong(Exception):  # noqa: N818  # what the peer said, not what we did
    """The peer said something that it should not have; the text is the cause."""


def excerpt(data: bytes | bytearray, length: int = 60) -> str:
    """The beginning of what came, printable, in quotes."""
    text = data[: length + 1].decode("latin-1")
    short = text[:length].rstrip("\r\n") + ("…" if len(data) > length else "")
    return '"' + "".join(c if c.isprintable() else "?" for c in short) + '"'


def in_seconds(duration: float) -> str:
    """A duration in words, to a tenth: what a configuration file says, not what a clock does."""
    return f"{duration:.1f}".removesuffix(".0") + " s"
