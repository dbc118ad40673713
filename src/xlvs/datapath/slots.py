# SPDX-License-Identifier: Apache-2.0
"""Hash slots: whose they are, and, for stateless services, whose they were. Pure.

A stateless service keeps no connections, so a slot that changes hands must remember
where packets of older connections go. While it does, packets look into the table
first (``bpf/stages/stateless.h``): what begins meanwhile is there, and so is what is
older as soon as it has been seen. A slot forgets when older connections that were not
seen are over, and those in the table are.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from xlvs.datapath.records import Scheduler
from xlvs.schedulers import buckets, maglev

HASHING = frozenset((Scheduler.MH, Scheduler.SH))
"""Schedulers whose packets look for a slot."""

TICKS = 1 << 32
"""Times are modulo this: a difference says how long ago, if it is not longer."""

_LONG_AGO = TICKS // 2
"""Before a time can be mistaken for a recent one it is forgotten, whatever else."""


Owners: TypeAlias = "array[int]"
"""The destination id of each slot, never changed once made. A tuple would take twice the
memory, read off the maps nine times: with ten thousand services that is 1.5 GB."""

NO_OWNERS: Owners = array("I")


class Past(NamedTuple):
    """Where a slot's packets went before, and the tick when that changed.

    ``others``: who may have connections of this slot besides. The maps do not say it,
    so a restarted daemon does not know.
    """

    destination: int
    changed_at: int
    others: frozenset[int] = frozenset()


Pasts = Mapping[int, Past]
"""By slot; most have none."""


class Moment(NamedTuple):
    """When something changes.

    ``timeout``: ticks that a connection may be silent. ``there``: ids of destinations.
    ``busy``: those with connections in the table. ``unseen``: those that never had a
    packet, so that a service that is built server by server remembers nothing.
    """

    now: int
    timeout: int
    there: Container[int]
    busy: frozenset[int] = frozenset()
    unseen: frozenset[int] = frozenset()


def owners(
    service: int, scheduler: Scheduler, ids: tuple[int, ...], servers: tuple[maglev.Server, ...]
) -> Owners:
    """The destination id of each slot; none if the scheduler does not hash.

    A service's last ones are kept, by its id: there may be ten thousand services, and
    most changes are about one.
    """
    asked = (scheduler, ids, servers)
    kept = _kept.get(service)
    if kept is None or kept[0] != asked:
        kept = _kept[service] = (asked, _dealt(*asked))
    return kept[1]


_Asked = tuple[Scheduler, tuple[int, ...], tuple[maglev.Server, ...]]
_kept: dict[int, tuple[_Asked, Owners]] = {}


def _dealt(
    scheduler: Scheduler, ids: tuple[int, ...], servers: tuple[maglev.Server, ...]
) -> Owners:
    return array("I", map(ids.__getitem__, _indices(scheduler, servers)))


@lru_cache(maxsize=16)
def _indices(scheduler: Scheduler, servers: tuple[maglev.Server, ...]) -> Sequence[int]:
    """Each slot's owner as an index of ``servers``.

    Kept because many services often have the same servers, and are often added, or
    changed, one after the other.
    """
    match scheduler:
        case Scheduler.MH:
            return maglev.slots(servers)
        case Scheduler.SH:
            return buckets.source([server.weight for server in servers])
        case _:
            return ()


def after_change(
    before: Sequence[int], pasts: Pasts, wanted: Sequence[int], moment: Moment
) -> dict[int, Past]:
    """What the slots remember when their owners become ``wanted``.

    A slot that changes again in time goes on remembering the same: what began since is
    in the table, so only what is older still needs it.
    """
    if len(before) != len(wanted):
        return {}
    found = {slot: past for slot, past in pasts.items() if not is_over(past, wanted[slot], moment)}
    for slot, (old, new) in enumerate(zip(before, wanted, strict=True)):
        if old != new:
            past = _changed(old, pasts.get(slot), moment)
            if past is not None and past.destination in moment.there:
                found[slot] = past
    return found


def _changed(old: int, past: Past | None, moment: Moment) -> Past | None:
    if past is None or past.destination not in moment.there:
        return None if old in moment.unseen else Past(old, moment.now)
    if _age(past, moment) < moment.timeout:
        return Past(past.destination, moment.now, past.others | {old})
    return Past(old, moment.now, past.others | {past.destination})


def of_a_table(before: Iterable[int], wanted: Sequence[int], moment: Moment) -> dict[int, Past]:
    """What the slots remember of a service that kept its connections until now.

    All are in the table, so it matters only that packets look there. ``before``: who
    may have connections that are not the slot's owner's.
    """
    others = frozenset(before)
    pasts = {owner: Past(owner, moment.now, others - {owner}) for owner in set(wanted)}
    return {slot: pasts[owner] for slot, owner in enumerate(wanted)}


def is_over(past: Past, owner: int, moment: Moment) -> bool:
    """Whether a slot that is ``owner``'s need not remember any longer."""
    if past.destination not in moment.there:
        return True
    age = _age(past, moment)
    if age < moment.timeout:
        return False
    elsewhere = (past.others | {past.destination}) - {owner}
    return age >= _LONG_AGO or not elsewhere & moment.busy


def _age(past: Past, moment: Moment) -> int:
    return (moment.now - past.changed_at) % TICKS
