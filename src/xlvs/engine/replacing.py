# SPDX-License-Identifier: Apache-2.0
"""From what a resource is to be to the edits that make it so; none if it is so. Pure.

Each edit comes with the place of what it is made of in the request, as a JSON pointer: there
a refusal points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import asdict

from xlvs.engine.reconcile import destination_edits
from xlvs.model import client_list as client_lists
from xlvs.model import settings
from xlvs.model.checks import settled
from xlvs.model.desired import TIMEOUT_MAX, Desired
from xlvs.model.edit import (
    AddMark,
    AddService,
    AnyEdit,
    ClearMarks,
    DeleteDestination,
    DeleteList,
    DeletePool,
    DeleteService,
    EditService,
    PutList,
    SetPool,
    SetSettings,
    SetTimeouts,
)
from xlvs.model.mark import MarkRule, settled_rule
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Destination, Service, ServiceKey
from xlvs.wire.messages import Timeouts
from xlvs.wire.resources import ConfiguredService, RunningConfiguration

_SUBJECT = re.compile(
    r"/edits/(?P<number>\d+)(/(service|destination|rule|values|addresses|name)(?=/|$))?"
)
"""How problems of edits begin to say where they are."""


class Step(NamedTuple):
    """One edit, and where in the request it comes from; "" is the whole."""

    edit: AnyEdit
    where: str = ""


def moved(problem: Problem, steps: Sequence[Step]) -> Problem:
    """The problem with one of these edits, where it is in the request."""
    found = _SUBJECT.match(problem.where)
    if found is None:
        return problem
    where = steps[int(found["number"])].where + problem.where[found.end() :]
    return Problem(problem.code, problem.message, where)


def service(desired: Desired, wanted: ConfiguredService, where: str = "") -> Iterator[Step]:
    """A service, and its real servers if it says them."""
    plain = wanted.service
    entry = desired.services.get(plain.key)
    if entry is None:
        yield Step(AddService(service=plain), where)
    elif entry[0] != plain:
        yield Step(EditService(service=plain), where)
    if wanted.destinations is None:
        return
    there = {each.key: each for each in entry[1]} if entry else {}
    kept = [_settled(plain, each) for each in wanted.destinations]
    places = {each.key: f"{where}/destinations/{at}" for at, each in enumerate(kept)}
    # The last one first: each comes to the head of the list.
    for edit in destination_edits(plain.key, there, there, kept[::-1]):
        if isinstance(edit, DeleteDestination):
            yield Step(edit, where)
        else:
            yield Step(edit, places[edit.destination.key])


def destination(desired: Desired, key: ServiceKey, wanted: Destination) -> Iterator[Step]:
    """A real server. Raises Problem if there is no such service."""
    of, listed = desired.entry(key)
    there = {each.key: each for each in listed}
    for edit in destination_edits(key, there, (), [_settled(of, wanted)]):
        yield Step(edit)


def marks(desired: Desired, wanted: Sequence[MarkRule], where: str) -> Iterator[Step]:
    """All mark rules."""
    if desired.marks == _rules(wanted):
        return
    if desired.marks:
        yield Step(ClearMarks(), where)
    for at, rule in enumerate(wanted):
        yield Step(AddMark(rule=rule), f"{where}/{at}")


def set_pools(
    desired: Desired, wanted: Mapping[str, tuple[Address, ...]], where: str
) -> Iterator[Step]:
    """Pools that are to be there, before services name them."""
    for name, addresses in wanted.items():
        if desired.pools.get(name) != addresses:
            yield Step(SetPool(name=name, addresses=addresses), f"{where}/{name}")


def unset_pools(
    desired: Desired, wanted: Mapping[str, tuple[Address, ...]], where: str
) -> Iterator[Step]:
    """Pools that are to go, when no service names them any more."""
    for name in desired.pools:
        if name not in wanted:
            yield Step(DeletePool(name=name), where)


def client_list(
    desired: Desired, name: str, prefixes: Sequence[str], where: str = ""
) -> Iterator[Step]:
    """A list of clients."""
    with suppress(Problem):  # the edit is refused for the same reason, and says where
        if desired.lists.get(name) == client_lists.client_list(tuple(prefixes)):
            return
    yield Step(PutList(name=name, prefixes=tuple(prefixes)), where)


def timeouts(desired: Desired, wanted: Timeouts, where: str = "") -> Iterator[Step]:
    """Time-outs. Raises Problem: an edit's 0 keeps what there is, here it would be one."""
    for name, seconds in asdict(wanted).items():
        if seconds < 1:
            words = f"a time-out is 1 to {TIMEOUT_MAX} s, not {seconds}"
            raise Problem(Code.INVALID, words, f"{where}/{name}")
    if asdict(wanted) != asdict(desired.timeouts):
        yield Step(SetTimeouts(**asdict(wanted)), where)


def asked_settings(desired: Desired) -> dict[str, str]:
    """Settings that were asked for, as they are written."""
    return {
        settings.full_name(key): settings.text(key, value)
        for key, value in sorted(desired.settings.items())
    }


def changed_settings(
    desired: Desired, changes: Mapping[str, str | None], where: str = ""
) -> Iterator[Step]:
    """Some settings; None gives up what was asked for."""
    values = {name: settings.DEFAULT if v is None else v for name, v in changes.items()}
    with suppress(Problem):  # the edit is refused for the same reason, and says where
        if settings.changed(desired.settings, values.items()) == desired.settings:
            return
    yield Step(SetSettings(values=values), where)


def configuration(desired: Desired, wanted: RunningConfiguration) -> Iterator[Step]:
    """Everything."""
    asked = asked_settings(desired)
    given_up: dict[str, str | None] = {name: None for name in asked if name not in wanted.settings}
    yield from changed_settings(desired, {**given_up, **wanted.settings}, "/settings")
    yield from timeouts(desired, wanted.timeouts, "/timeouts")
    yield from marks(desired, wanted.marks, "/marks")
    if wanted.pools is not None:
        yield from set_pools(desired, wanted.pools, "/pools")
    for name, prefixes in (wanted.lists or {}).items():
        yield from client_list(desired, name, prefixes, f"/lists/{name}")
    keys = {each.key for each in wanted.services}
    for key in desired.services:
        if key not in keys:
            yield Step(DeleteService(key=key), "/services")
    for at, each in enumerate(wanted.services):
        yield from service(desired, each, f"/services/{at}")
    if wanted.pools is not None:
        yield from unset_pools(desired, wanted.pools, "/pools")
    for name in desired.lists:
        if wanted.lists is not None and name not in wanted.lists:
            yield Step(DeleteList(name=name), "/lists")


def _settled(of: Service, wanted: Destination) -> Destination:
    """As it is kept, or as it is if the edit will be refused."""
    with suppress(Problem):
        return settled(of, wanted)
    return wanted


def _rules(wanted: Sequence[MarkRule]) -> tuple[MarkRule, ...] | None:
    """As they are kept; None if one will be refused."""
    with suppress(Problem):
        return tuple(map(settled_rule, wanted))
    return None
