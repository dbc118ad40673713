# SPDX-License-Identifier: Apache-2.0
"""Tokens of a file: one a line, ``NAME read|write TOKEN``; ``#`` begins a comment."""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from xlvs.api.caller import Caller, Scope
from xlvs.model.problem import Code, Problem

LENGTH_MIN = 32
"""Characters. 32 of hexadecimal are 128 bits, if they come from a good source."""

_SCOPES = {"read": Scope.READ, "write": Scope.WRITE}
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What RFC 6750 lets a bearer token have."""

_SIZE_MAX = 1 << 20


class Token(NamedTuple):
    """Whose it is. ``digest``: SHA-256 of its characters; they themselves are not kept."""

    caller: Caller
    digest: bytes


def read(path: str) -> list[Token]:
    """The tokens of a file that nobody but its owner may read. Raises Problem."""
    try:
        with Path(path).open("rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Problem(Code.INVALID, f"{path} is no file", path)
            if status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                words = f"{path} is for others too (mode {mode:o}): chmod 600 {path}"
                raise Problem(Code.INVALID, words, path)
            if status.st_uid not in {0, os.geteuid()}:
                raise Problem(Code.INVALID, f"{path} must be root's", path)
            content = opened.read(_SIZE_MAX)
    except OSError as error:
        raise Problem(Code.INVALID, f"{path}: {error.strerror}", path) from error
    return parse(content.decode(errors="replace"), path)


def parse(text: str, path: str) -> list[Token]:
    """The tokens. Raises Problem, which never shows a token."""
    found = list(_parsed(text, path))
    if not found:
        raise Problem(Code.INVALID, f"{path} has no tokens: a line is NAME read|write TOKEN", path)
    return found


def known(tokens: Sequence[Token], said: str) -> Caller | None:
    """Whose token this is, in a time that does not tell which; None: nobody's."""
    digest = sha256(said.encode(errors="replace")).digest()
    matching = [each.caller for each in tokens if hmac.compare_digest(each.digest, digest)]
    return matching[0] if matching else None


def _parsed(text: str, path: str) -> Iterator[Token]:
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        if len(words) != len(("name", "scope", "token")):
            raise Problem(Code.INVALID, f"{where}: a line is NAME read|write TOKEN", where)
        name, scope, token = words
        if scope not in _SCOPES:
            raise Problem(Code.INVALID, f"{where}: a scope is read or write", where)
        if name in names:
            raise Problem(Code.INVALID, f"{where}: there is a token {name} already", where)
        if len(token) < LENGTH_MIN or not _TOKEN.fullmatch(token):
            raise Problem(
                Code.INVALID,
                f"{where}: a token has at least {LENGTH_MIN} letters, digits and ._~+/=-; "
                "'openssl rand -hex 32' makes one",
                where,
            )
        names.add(name)
        yield Token(Caller(name, _SCOPES[scope]), sha256(token.encode()).digest())
