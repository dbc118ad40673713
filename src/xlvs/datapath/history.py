# SPDX-License-Identifier: Apache-2.0
"""Edits in order, and what of their order the maps must know.

The maps are written once for a whole request, but three things depend on the way
there and not only on its end: wrr's current weight follows every change of its
servers, a service that was deleted and added again begins anew, and so does the
place of a server in rr's round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from xlvs.model.desired import BOUNDLESS, Bounds, Desired, Draft
from xlvs.model.edit import (
    AddDestination,
    AddLocalAddress,
    AddService,
    AnyEdit,
    Clear,
    DeleteDestination,
    DeleteLocalAddress,
    DeleteService,
    DrainDestination,
    EditDestination,
    EditService,
    SetSettings,
    SetTimeouts,
    UndrainDestination,
    Zero,
)
from xlvs.model.listed import Listed
from xlvs.model.problem import Problem
from xlvs.model.service import DestinationKey, ServiceKey
from xlvs.schedulers import wrr


@dataclass
class Changes:
    """What happened on the way.

    ``weights``: per service, wrr's (gcd, greatest weight) after each change of its
    servers, since the scheduler was last bound. ``begun``: services added (so their
    counters and cursors begin anew). ``rebound``: services that got another scheduler.
    ``deleted``: destinations deleted, also if they were added again.
    ``zeroed``: whose counters begin at zero; None means all. ``services``: those that
    were added, changed or deleted, new ones in their order. ``everything``: more may have
    changed than they.
    """

    weights: dict[ServiceKey, list[tuple[int, int]]] = field(default_factory=dict)
    begun: set[ServiceKey] = field(default_factory=set)
    rebound: set[ServiceKey] = field(default_factory=set)
    deleted: dict[ServiceKey, set[DestinationKey]] = field(default_factory=dict)
    zeroed: list[ServiceKey | None] = field(default_factory=list)
    services: dict[ServiceKey, None] = field(default_factory=dict)
    everything: bool = False


NO_CHANGES = Changes()


def fold(
    desired: Desired,
    edits: Sequence[AnyEdit],
    *,
    go_on: bool,
    bounds: Bounds = BOUNDLESS,
) -> tuple[Desired, list[Problem | None], Changes]:
    """Apply edits in order.

    Returns what is wanted then, one entry per edit (why it was refused), and the
    changes. Without ``go_on`` the first refused edit is raised, with its place in
    ``where``, and nothing has changed.
    """
    results: list[Problem | None] = []
    changes = Changes()
    draft = Draft(desired, bounds)
    for position, edit in enumerate(edits):
        bound = _scheduler(draft, edit)
        cleared = list(draft.keys()) if isinstance(edit, Clear) else []
        try:
            draft.apply(edit)
        except Problem as problem:
            if not go_on:
                where = f"/edits/{position}{problem.where}"
                raise Problem(problem.code, problem.message, where) from problem
            results.append(problem)
            continue
        _note(changes, draft, edit, bound)
        for key in cleared:
            changes.services[key] = None
            _forget(changes, key)
        results.append(None)
    return draft.desired(), results, changes


def turned(keys: Iterable[ServiceKey], before: Desired, then: Desired) -> Changes:
    """The changes, if servers of these services came and went without being asked for."""
    changes = Changes()
    for key in keys:
        if key not in then.services:
            continue
        changes.services[key] = None
        changes.weights[key] = [wrr.numbers(each.weight for each in then.services[key][1])]
        if key in before.services:
            gone = _listed(before, key) - _listed(then, key)
            if gone:
                changes.deleted[key] = gone
    return changes


def with_turned(changes: Changes, rotated: Changes) -> Changes:
    """``changes`` of what is asked for, of which ``rotated`` knows what becomes of it.

    Their order tells wrr nothing then: its servers are others than those asked for.
    """
    weights, deleted = dict(changes.weights), dict(changes.deleted)
    for key, numbers in rotated.weights.items():
        if key in weights:
            weights[key] = numbers
    for key, gone in rotated.deleted.items():
        deleted[key] = deleted.get(key, set()) | gone
    return replace(
        changes, weights=weights, deleted=deleted, services={**changes.services, **rotated.services}
    )


def _listed(desired: Desired, key: ServiceKey) -> set[DestinationKey]:
    return {each.key for each in desired.services[key][1]}


def _scheduler(draft: Draft, edit: AnyEdit) -> str:
    """The scheduler that the service of this edit has now, "" if there is none."""
    service = draft.service(edit.service.key) if isinstance(edit, EditService) else None
    return service.scheduler if service else ""


def _note(changes: Changes, draft: Draft, edit: AnyEdit, bound: str) -> None:
    match edit:
        case (
            AddDestination()
            | EditDestination()
            | DeleteDestination()
            | DrainDestination()
            | UndrainDestination()
        ):
            _note_destination(changes, draft.listed(edit.service), edit)
        case AddService(service=service):
            changes.services.pop(service.key, None)
            changes.services[service.key] = None
            changes.begun.add(service.key)
            changes.weights[service.key] = [wrr.NO_SERVERS]
        case EditService(service=service):
            changes.services[service.key] = None
            if bound != service.scheduler:
                changes.rebound.add(service.key)
                changes.weights[service.key] = [_numbers(draft.listed(service.key))]
        case DeleteService(key=key):
            changes.services[key] = None
            _forget(changes, key)
        case Zero(service=zeroed):
            changes.zeroed.append(zeroed)
        case AddLocalAddress(service=key) | DeleteLocalAddress(service=key):
            changes.services[key] = None
        case Clear() | SetTimeouts() | SetSettings():
            pass  # no services; or those that there were, which ``fold`` notes
        case _:
            changes.everything = True


def _note_destination(changes: Changes, listed: Listed, edit: AnyEdit) -> None:
    key = listed.service.key
    numbers = changes.weights.get(key)
    if numbers is None:
        changes.services[key] = None
        numbers = changes.weights[key] = []
    if isinstance(edit, AddDestination) and numbers:
        # A restored service comes server by server: nobody looks at the others each time.
        numbers.append(wrr.with_another(numbers[-1], edit.destination.weight))
    else:
        numbers.append(_numbers(listed))
    if isinstance(edit, DeleteDestination):
        changes.deleted.setdefault(key, set()).add(edit.destination)


def _forget(changes: Changes, key: ServiceKey) -> None:
    changes.weights.pop(key, None)
    changes.deleted.pop(key, None)
    changes.rebound.discard(key)
    changes.begun.discard(key)


def _numbers(listed: Listed) -> wrr.Numbers:
    return wrr.numbers(listed.weights())
