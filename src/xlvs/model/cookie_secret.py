# SPDX-License-Identifier: Apache-2.0
"""The secret of SYN cookies that directors share, as a file says it.

A line of text, and perhaps a second one: cookies are made of the first, and those made of the
second are good as well. So directors that change it one after the other understand one
another all the while.
"""

from __future__ import annotations

from xlvs.model.problem import Code, Problem

SECRET_MIN = 16
"""Bytes of a secret, at least."""

SECRETS_MAX = 2
"""Secrets of a file: packets are tried with no more."""


def cookie_secrets(content: bytes, where: str) -> tuple[bytes, ...]:
    """The file's secrets, the one to use first. Raises Problem, which shows none."""
    found = tuple(filter(None, map(bytes.strip, content.splitlines())))
    if not found:
        raise _wrong(f"{where} has no secret", where)
    check_secrets(found, where)
    return found


def check_secrets(found: tuple[bytes, ...], where: str) -> None:
    """Whether directors can go by these. Raises Problem, which shows none."""
    if len(found) > SECRETS_MAX:
        raise _wrong(
            f"{where}: {len(found)} lines with a secret each, {SECRETS_MAX} at most", where
        )
    for number, each in enumerate(found, 1):
        if len(each) < SECRET_MIN:
            words = f"{where}: secret {number} has {len(each)} bytes, {SECRET_MIN} at least"
            raise _wrong(words, where)


def _wrong(words: str, where: str) -> Problem:
    hint = "head -c 32 /dev/urandom | base64 makes one"
    return Problem(Code.INVALID, f"{words}: {hint}", where)
