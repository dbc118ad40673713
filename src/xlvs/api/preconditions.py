# SPDX-License-Identifier: Apache-2.0
"""Tokens of what a resource says, so that two writers do not undo each other (RFC 9110, 13).

A token is a digest of the resource's JSON: it says the same after a restart of the daemon,
and other resources may change meanwhile.
"""

from __future__ import annotations

from hashlib import blake2b

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.answers import json
from xlvs.model.problem import Code, Problem
from xlvs.wire import codec

_DIGEST = 12  # bytes
_NOT_MODIFIED = 304


def entity_tag(value: object) -> str:
    """What ``ETag`` says of this value."""
    return f'"{blake2b(codec.encode(value), digest_size=_DIGEST).hexdigest()}"'


def tagged(request: Request, value: object) -> Response:
    """The value with its token; 304 if the client has it already."""
    tag = entity_tag(value)
    wanted = _tags(request, "if-none-match", weak=True)
    if wanted and (tag in wanted or "*" in wanted):
        return Response(None, _NOT_MODIFIED, {"ETag": tag})
    return json(value, headers={"ETag": tag})


def check_unchanged(request: Request, value: object | None) -> None:
    """Raise Problem if this is not what the writer knows. ``value`` None: there is none."""
    wanted = _tags(request, "if-match")
    if wanted is not None:
        if value is None:
            raise Problem(Code.OUTDATED, "there is no such thing any more: nothing was changed")
        tag = entity_tag(value)
        if tag not in wanted and "*" not in wanted:
            raise Problem(
                Code.OUTDATED,
                f"somebody has changed it since you read it: its ETag is {tag}, not "
                f"{request.headers['if-match']}; nothing was changed: read it again",
            )
    unwanted = _tags(request, "if-none-match", weak=True)
    if unwanted and value is not None and ("*" in unwanted or entity_tag(value) in unwanted):
        raise Problem(Code.OUTDATED, "it is there already: nothing was changed")


def _tags(request: Request, header: str, *, weak: bool = False) -> set[str] | None:
    said = request.headers.get(header)
    if said is None:
        return None
    tags = {each.strip() for each in said.split(",")}
    return {each.removeprefix("W/") for each in tags} if weak else tags
