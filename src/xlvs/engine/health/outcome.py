# SPDX-License-Identifier: Apache-2.0
"""What is known after a probe, or after a followed thing has changed."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from xlvs.model.checker import FileCheck
from xlvs.model.tracking import File


class Outcome(Protocol):
    """What a probe found; ``xlvs.protocols.checks`` has the class.

    ``weight``: what the checker wants the server's weight to be (MISC_CHECK), None: as
    configured. ``added``: what is added to the weight (FILE_CHECK). ``ours``: the director
    could not ask, so nothing is known and nothing follows.
    """

    @property
    def ok(self) -> bool:
        """Whether the server is as it should be."""

    @property
    def cause(self) -> str:
        """Why not, or a remark."""

    @property
    def weight(self) -> int | None:
        """Of MISC_CHECK."""

    @property
    def added(self) -> int:
        """Of FILE_CHECK."""

    @property
    def ours(self) -> bool:
        """Whether it is the director's own trouble."""


class Heard(NamedTuple):
    """An outcome that needed no probe."""

    ok: bool
    cause: str = ""
    weight: int | None = None
    added: int = 0
    ours: bool = False


def of_file(check: FileCheck, file: File | None, value: int) -> Heard:
    """What a tracked file's number means for a server (keepalived 2.2.7, asked).

    A weight is a factor of what is added to the server's weight; without one the server
    is down while the number is not 0. ``reverse`` is the opposite of each.
    """
    weight, reverse = check.weight, check.reverse
    if weight is None:
        weight, reverse = (file.weight, file.reverse) if file else (1, False)
    if weight:
        return Heard(ok=True, added=-value * weight if reverse else value * weight)
    if (value == 0) != reverse:
        return Heard(ok=True)
    return Heard(ok=False, cause=f"the file {check.track_file} says {value}")


def of_bfd(name: str, *, up: bool) -> Heard:
    """What a BFD session's state means."""
    return Heard(ok=up, cause="" if up else f"the BFD session {name} is down")
