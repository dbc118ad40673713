# SPDX-License-Identifier: Apache-2.0
"""What is wanted when health has its say. Services that are in no file are left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from xlvs.engine.health.standing import AS_ASKED, OUT, Standing
from xlvs.model.copied import copied
from xlvs.model.desired import Desired
from xlvs.model.listed import Entry
from xlvs.model.service import Destination, DestinationKey, ServiceKey

_NOTHING = Standing()


class Rotation(msgspec.Struct, frozen=True):
    """``asked``: what an operator wants. ``desired``: what is in rotation of it."""

    asked: Desired
    desired: Desired


def rotate(
    asked: Desired,
    standing: Mapping[ServiceKey, Standing],
    before: Rotation | None = None,
    changed: Collection[ServiceKey] | None = None,
) -> Rotation:
    """What is in rotation now.

    A server that comes back goes to the head of its list, as in IPVS, where coming back is
    being added; so the order depends on ``before``. ``changed``: the services whose entry or
    whose standing may differ from then, None: any. No other is looked at. The same object
    comes back where nothing differs.
    """
    if before is None:
        before, changed = Rotation(Desired(), Desired()), None
    was_asked, was = before.asked.services, before.desired.services
    if changed is None:
        services: dict[ServiceKey, Entry] = {}
        keys: Iterable[ServiceKey] = asked.services
        same = len(was) == len(asked.services)
    else:
        services, keys, same = copied(was), changed, True
    for key in keys:
        entry, old = asked.services.get(key), was.get(key)
        if entry is not None:
            found = _entry(entry, standing.get(key, _NOTHING), was_asked.get(key), old)
            services[key] = found
            same = same and found is old
        elif services.pop(key, None) is not None:
            same = False
    if same and _others(asked) == _others(before.desired):
        return before if asked is before.asked else Rotation(asked, before.desired)
    if not same and not standing and services == asked.services:
        return Rotation(asked, asked)
    return Rotation(asked, msgspec.structs.replace(asked, services=services))


def _others(desired: Desired) -> tuple[object, ...]:
    return desired.timeouts, desired.marks, desired.settings, desired.drains, desired.lists


def _entry(entry: Entry, standing: Standing, old_asked: Entry | None, old: Entry | None) -> Entry:
    service, asked = entry
    places = standing.places
    if standing.sorry is None and not places and (old is None or _follows(old_asked, old)):
        return entry
    kept = {each.key: each for each in old[1]} if old is not None else {}
    fresh = _fresh(asked, old_asked[1] if old_asked is not None else ())
    head: list[Destination] = []
    stay: dict[DestinationKey, Destination] = {}
    for at, each in enumerate(asked):
        place = places.get(each.key, AS_ASKED)
        if place is OUT:
            continue
        placed = _placed(each, place)
        if each.key in kept and at >= fresh:
            stay[each.key] = placed
        else:
            head.append(placed)
    sorry = standing.sorry
    if sorry is not None and all(each.key != sorry.key for each in asked):
        if sorry.key in kept:
            stay[sorry.key] = sorry
        else:
            head.insert(0, sorry)
    found = (*head, *(stay[key] for key in kept if key in stay))
    if found == asked:
        return entry
    return old if old is not None and old == (service, found) else (service, found)


def _follows(old_asked: Entry | None, old: Entry) -> bool:
    """Whether the list was as it had been asked for: then it is so again."""
    return old_asked is not None and old_asked[1] == old[1]


def _fresh(asked: tuple[Destination, ...], before: tuple[Destination, ...]) -> int:
    """How many at the head were added since; each addition goes to the head of the list."""
    at = len(asked)
    for each in reversed(before):
        if at and asked[at - 1].key == each.key:
            at -= 1
    return at


def _placed(asked: Destination, place: int | None) -> Destination:
    """An operator's 0 stays 0: health takes a server out, it never puts one in."""
    if place == AS_ASKED or place is None or not asked.weight or place == asked.weight:
        return asked
    if not place:
        return msgspec.structs.replace(asked, weight=0, weight_before=asked.weight)
    return msgspec.structs.replace(asked, weight=place)
