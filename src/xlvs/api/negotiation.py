# SPDX-License-Identifier: Apache-2.0
"""What a request says of media types."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request


def check_accept(request: Request, media_types: Sequence[str]) -> None:
    """Raise HTTPException 406 if the client takes none of these types."""
    said = request.headers.getlist("accept")
    accepted = ",".join(said)
    if said and not any(_accepts(accepted, each) for each in media_types):
        raise HTTPException(406, f"this comes as {' or '.join(media_types)} and as nothing else")


def check_content(request: Request, media_types: Sequence[str]) -> None:
    """Raise HTTPException 415 if what was sent is said to be of none of these types.

    What says nothing is refused as well: a browser can be made to send that from any page.
    """
    said = content_type(request)
    if said not in media_types:
        words = f"Content-Type must be {' or '.join(media_types)}, not {said or 'left out'}"
        raise HTTPException(415, words)


def content_type(request: Request) -> str:
    """The type of what was sent, as it is said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _accepts(accepted: str, media_type: str) -> bool:
    plain = media_type.partition(";")[0]
    ranges = {plain: 3, f"{plain.partition('/')[0]}/*": 2, "*/*": 1}
    best, wanted = 0, False
    for each in accepted.split(","):
        name, *parameters = (word.strip().lower() for word in each.split(";"))
        if ranges.get(name, 0) > best:
            best, wanted = ranges[name], not any(map(_is_none, parameters))
    return wanted


def _is_none(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in {"", "0.", "."}
