# SPDX-License-Identifier: Apache-2.0
"""FILE_CHECK: what the number in a tracked file means."""

from __future__ import annotations

from xlvs.protocols.checks.outcome import Outcome, Wrong, excerpt, failed

FAULT = -(2**31 - 1)
"""A weight that is lowered by so much means that the server is down."""

DIGITS_MAX = 20


def number(content: bytes) -> int:
    """The number that a file begins with; an empty file says 0. Raises Wrong."""
    word = (content.split(maxsplit=1) or [b"0"])[0]
    try:
        return int(word[:DIGITS_MAX])
    except ValueError:
        raise Wrong(f"the file has no number but {excerpt(word)}") from None


def judge(value: int, weight: int, *, reverse: bool) -> Outcome:
    """``weight`` 0: any other number than 0 is failure, in reverse 0 is. Else a factor."""
    if not weight:
        if bool(value) == reverse:
            return Outcome(ok=True)
        expected = "another than 0" if reverse else "0"
        return failed(f"the file says {value}, expected {expected}")
    added = -value * weight if reverse else value * weight
    if added <= FAULT:
        return failed(f"the file says {value}, which is failure")
    return Outcome(ok=True, added=added)
