# SPDX-License-Identifier: Apache-2.0
"""Who asks, and what they may ask for."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request

STATE = "caller"
"""Where an ASGI scope's state says who asks."""


class Scope(IntEnum):
    """What somebody may do; each includes the ones before it.

    ``ROOT`` is for what would make the daemon run programs that the request names: a token
    never has it.
    """

    NOTHING = 0
    READ = 1
    WRITE = 2
    ROOT = 3


class Caller(NamedTuple):
    """``name``: for people."""

    name: str
    scope: Scope


NOBODY = Caller("nobody", Scope.NOTHING)


def caller(request: Request) -> Caller:
    """Who sent it, as whoever took the connection has found out."""
    found = request.scope.get("state", {}).get(STATE, NOBODY)
    return found if isinstance(found, Caller) else NOBODY


def check_scope(request: Request, needed: Scope) -> None:
    """Raise HTTPException 403 if the caller may not do it."""
    who = caller(request)
    if who.scope < needed:
        words = f"{who.name} may not do this: it needs the scope {needed.name.lower()}"
        if needed is Scope.ROOT:
            words = f"{who.name} may not do this: only root may, by the Unix socket"
        raise HTTPException(403, words)
