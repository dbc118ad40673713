# SPDX-License-Identifier: Apache-2.0
"""What is wanted when health has its say. Services that are in no file are left alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from xlvs.engine.health.standing import AS_ASKED, OUT, Standing
from xlvs.model.desired import Desired, Entry
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
    being added; so the order depends on ``before``. ``changed``: services whose standing may
    differ from then, None: any. All others whose entry is the same object keep theirs.

    Work is done for services that differ, beside a look at each service's entry.
    """
    if before is not None and changed is not None and asked is before.asked:
        return _turned(before, standing, changed)
    services: dict[ServiceKey, Entry] = {}
    same = before is not None and len(before.asked.services) == len(asked.services)
    for key, entry in asked.services.items():
        old = before.desired.services.get(key) if before is not None else None
        old_asked = before.asked.services.get(key) if before is not None else None
        untouched = old_asked is entry and changed is not None and key not in changed
        if old is not None and untouched:
            services[key] = old
            continue
        found = _entry(entry, standing.get(key, _NOTHING), old_asked, old)
        services[key] = found
        same = same and found is old
    if before is not None and same and _others(asked) == _others(before.desired):
        return before if asked is before.asked else Rotation(asked, before.desired)
    return Rotation(asked, msgspec.structs.replace(asked, services=services))


def _turned(
    before: Rotation, standing: Mapping[ServiceKey, Standing], changed: Collection[ServiceKey]
) -> Rotation:
    """Only health said something else: nothing is looked at but what it names."""
    services: dict[ServiceKey, Entry] = {}
    for key in changed:
        entry, old = before.asked.services.get(key), before.desired.services.get(key)
        if entry is None:
            continue
        found = _entry(entry, standing.get(key, _NOTHING), entry, old)
        if found is not old:
            services[key] = found
    if not services:
        return before
    together = {**before.desired.services, **services}
    return Rotation(before.asked, msgspec.structs.replace(before.desired, services=together))


def _others(desired: Desired) -> tuple[object, ...]:
    return desired.timeouts, desired.marks, desired.settings, desired.drains


def _entry(entry: Entry, standing: Standing, old_asked: Entry | None, old: Entry | None) -> Entry:
    service, asked = entry
    places = standing.places
    if standing.sorry is None and not places and (old is None or _follows(old_asked, old)):
        return old if old is not None and old == entry else entry
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
    if old is not None and old == (service, found):
        return old
    return (service, found) if found != asked else entry


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
