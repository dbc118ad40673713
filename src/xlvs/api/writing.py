# SPDX-License-Identifier: Apache-2.0
"""The way of every write: whole or not at all, and not over what somebody else has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.answers import json
from xlvs.api.backend import Backend
from xlvs.api.caller import caller
from xlvs.api.preconditions import check_unchanged, entity_tag
from xlvs.engine.in_words import about, summary
from xlvs.engine.replacing import Step, moved
from xlvs.model.desired import Desired
from xlvs.model.edit import AnyEdit
from xlvs.model.problem import Problem
from xlvs.wire.events import Kind

Resource = Callable[[Desired], object | None]
"""What a resource says by now; None: there is no such one."""

Steps = Callable[[Desired], Iterable[Step]]
"""The edits that make it as it is wanted. Raises Problem."""

_UNCHANGED = 204
_CHANGED = 200
_CREATED = 201


async def write(backend: Backend, request: Request, resource: Resource, steps: Steps) -> Response:
    """Make the edits if the request's preconditions hold.

    201 with the resource if it is new, 200 with it if it has changed, 204 if nothing has, or
    if it is gone. Raises Problem.
    """
    director = backend.director
    then = director.desired
    made = list(steps(then))
    await backend.prepare([each.edit for each in made])
    # Others may have had their turn; from here to the edits nobody has.
    if director.desired is not then:
        made = list(steps(director.desired))
    before = resource(director.desired)
    check_unchanged(request, before)
    edits = [each.edit for each in made]
    if edits:
        try:
            edit(backend, request, edits)
        except Problem as problem:
            raise moved(problem, made) from problem
    after = resource(director.desired)
    if edits:
        await backend.settle(edits)
    if after is None:
        return Response(None, _UNCHANGED)
    headers = {"ETag": entity_tag(after)}
    if not edits:
        return Response(None, _UNCHANGED, headers)
    return json(after, _CREATED if before is None else _CHANGED, headers)


def edit(
    backend: Backend, request: Request, edits: Sequence[AnyEdit], *, go_on: bool = False
) -> list[Problem | None]:
    """Make edits and tell who made them. Raises Problem."""
    director = backend.director
    before = director.desired
    results = director.edit(edits, go_on=go_on)
    done = [each for each, refusal in zip(edits, results, strict=True) if refusal is None]
    if done:
        backend.bus.tell(Kind.EDIT, summary(before, done), about(done), caller(request).name)
    return results
