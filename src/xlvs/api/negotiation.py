# SPDX-License-Identifier: Apache-2.0
"""What a request says of media types."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request


def check_accept(request: Request, media_type: str) -> None:
    """Raise HTTPException 406 if the client does not take this type."""
    accepted = request.headers.getlist("accept")
    if accepted and not _accepts(",".join(accepted), media_type):
        raise HTTPException(406, f"this comes as {media_type} and as nothing else")


def check_content(request: Request, media_types: tuple[str, ...]) -> None:
    """Raise HTTPException 415 if what was sent is said to be of none of these types.

    What says nothing is refused as well: a browser can be made to send that from any page.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said not in media_types:
        words = f"Content-Type must be {' or '.join(media_types)}, not {said or 'left out'}"
        raise HTTPException(415, words)


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
