# SPDX-License-Identifier: Apache-2.0
"""All that the maps hold, with what it takes to change a few services and look at no others.

A part is what the maps hold of some services: tables of their own, on which ``effective``
and ``plan.diff`` work as they do on everything. What services have in common (ids, roles of
addresses, NAT servers, places for lists, counts in the settings) is counted here, so that
nobody has to go through all of them to see whether it changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from xlvs.datapath.addresses import unpacked
from xlvs.datapath.effective import Effective, service_key
from xlvs.datapath.identity import Free, FreeIds
from xlvs.datapath.observed import Way
from xlvs.datapath.plan import Shared, after, lists_space
from xlvs.datapath.records import (
    ADDRESS_SLOTS,
    AddressRole,
    Destination,
    DestinationFlag,
    ServiceKey,
)
from xlvs.datapath.space import NOWHERE
from xlvs.datapath.tables import EMPTY, EVERYWHERE, Capacity, Have, Tables
from xlvs.datapath.writes import ByKind, Commit, Write
from xlvs.model import service as model
from xlvs.model.copied import copied
from xlvs.model.service import Address

_AVAILABLE = int(DestinationFlag.AVAILABLE)
_ROLES = tuple(map(int, AddressRole))

K = TypeVar("K")
V = TypeVar("V")


class Whole:
    """What the maps hold (``have``), and what of it is wanted (``want``).

    A change of a part is ``part``, ``complete``, ``shared`` and ``replace``, in this order.
    If it ends early, this is not to be used any more.
    """

    def __init__(self, have: Have, want: Effective, capacity: Capacity) -> None:
        self.have = have
        self.want = want
        self.free = FreeIds(
            Free(have.tables.services, capacity.services),
            Free(have.tables.destinations, capacity.destinations),
        )
        self.space = lists_space(have, capacity)
        self._ids: dict[ServiceKey, int] = {}
        self._members: dict[int, set[int]] = {}
        self._answering: dict[ServiceKey, set[int]] = {}
        self._uses: Counter[tuple[int, int]] = Counter(have.tables.role_uses())
        self._towards: Counter[bytes] = Counter()
        self._listed = 0
        for key, id_ in have.tables.answering():
            self._answering.setdefault(key, set()).add(id_)
        self._follow(Tables(), have.tables)

    @property
    def listed(self) -> int:
        """How many destinations are wanted."""
        return self._listed

    def part(self, keys: Iterable[model.ServiceKey], removed: Iterable[int] = ()) -> Have:
        """What the maps hold of these services. Port blocks are left out, regions are all.

        ``removed``: ids of more of them, which may be nobody's any more.
        """
        tables, pasts = self.have.tables, self.have.pasts
        named = [self._ids[key] for key in map(service_key, keys) if key in self._ids]
        ids = dict.fromkeys((*named, *removed))
        services = {id_: tables.services[id_] for id_ in ids}
        return self.have._replace(
            tables=tables._replace(
                keys={s.key: tables.keys[s.key] for s in services.values() if s.key in tables.keys},
                services=services,
                servers={id_: tables.servers[id_] for id_ in ids if id_ in tables.servers},
                destinations={
                    each: tables.destinations[each]
                    for id_ in ids
                    for each in self._members.get(id_, ())
                },
                port_blocks=EMPTY,
                port_rows=EMPTY,
                admissions=_only(tables.admissions, ids),
            ),
            pasts={id_: pasts[id_] for id_ in ids if id_ in pasts},
        )

    def complete(self, part: Have, want: Effective) -> Effective:
        """What is wanted of a part, with counts in the settings that are everybody's."""
        before, then = part.tables.counts(), want.tables.counts()
        there = part.tables.settings
        counts = {name: getattr(there, name) + then[name] - before[name] for name in before}
        settings = want.tables.settings._replace(**counts)
        return want._replace(tables=want.tables._replace(settings=settings))

    def shared(self, part: Have, want: Tables) -> Shared:
        """What a part's change does to what services have in common."""
        gone = list(part.tables.answering(_others(part.tables, want)))
        come = list(want.answering(_others(want, part.tables)))
        keys = {key for key, _ in chain(gone, come)}
        before = self._first(keys)
        answering = self._answering
        for key, id_ in gone:
            answering[key].discard(id_)
        for key, id_ in come:
            there = answering.get(key)
            if there is None:
                answering[key] = {id_}
            else:
                there.add(id_)
        return Shared(self._roles(part.tables, want), before, self._first(keys), self.space)

    def _first(self, keys: Iterable[ServiceKey]) -> dict[ServiceKey, int]:
        return {key: min(self._answering[key]) for key in keys if self._answering.get(key)}

    def _roles(self, part: Tables, want: Tables) -> tuple[tuple[int, int, int], ...]:
        uses = Counter(want.role_uses())
        uses.subtract(part.role_uses())
        moved = [use for use, count in uses.items() if count]
        for use in moved:
            self._uses[use] += uses[use]
        slots: Iterable[int] = {slot for slot, _ in moved}
        if EVERYWHERE in slots:
            slots = range(ADDRESS_SLOTS)
        there = self.have.roles
        found = ((slot, there[slot], self._role(slot)) for slot in slots)
        return tuple((slot, old, new) for slot, old, new in found if old != new)

    def _role(self, slot: int) -> int:
        uses = self._uses
        return sum(role for role in _ROLES if uses[slot, role] or uses[EVERYWHERE, role])

    def replace(
        self,
        keys: Sequence[model.ServiceKey],
        part: Have,
        want: Effective,
        writes: Sequence[Write],
    ) -> None:
        """The writes are done: what ``want`` says of these services is there."""
        before, then = part.tables, want.tables
        tables = self.have.tables._replace(
            keys=_patched(self.have.tables.keys, before.keys, then.keys),
            services=_patched(self.have.tables.services, before.services, then.services),
            servers=_patched(self.have.tables.servers, before.servers, then.servers),
            destinations=_patched(
                self.have.tables.destinations, before.destinations, then.destinations
            ),
            interfaces=then.interfaces,
            admissions=_patched(self.have.tables.admissions, before.admissions, then.admissions),
            settings=then.settings,
        )
        self._give_back(writes)
        self.have = after(self.have._replace(now=part.now), tables, writes)
        left = self._follow(before, then)
        self.want = Effective(
            tables,
            _patched(self.want.service_ids, _only(self.want.service_ids, keys), want.service_ids),
            _patched(
                self.want.destination_ids,
                _only(self.want.destination_ids, keys),
                want.destination_ids,
            ),
            self._ways(want.ways, left),
        )

    def _give_back(self, writes: Sequence[Write]) -> None:
        """Lists that were the ones before until now."""
        commits = ByKind(writes).of(Commit)
        regions = _only(self.have.regions, {commit.service for commit in commits})
        for commit in commits:
            current, before = regions.get(commit.service, (NOWHERE, NOWHERE))
            if before not in (current, commit.region):
                self.space.give(before)
            regions[commit.service] = (commit.region, current)

    def _ways(self, ways: Mapping[Address, Way], left: Iterable[bytes]) -> Mapping[Address, Way]:
        gone = {unpacked(raw): None for raw in left if not self._towards[raw]}
        there = self.want.ways
        if all(there.get(address) == way for address, way in ways.items()):
            ways = {}
        return _patched(there, gone, ways)

    def _follow(self, before: Tables, then: Tables) -> set[bytes]:
        """Count what is there now instead; addresses of destinations that may be nobody's."""
        for id_ in before.destinations.keys() - then.destinations.keys():
            self._members[before.destinations[id_].service].discard(id_)
            self.free.destinations.give(id_)
        for id_ in before.services.keys() - then.services.keys():
            del self._ids[before.services[id_].key]
            self._members.pop(id_, None)
            self.free.services.give(id_)
        for id_ in then.services.keys() - before.services.keys():
            self._ids[then.services[id_].key] = id_
        for id_, each in then.destinations.items():
            if id_ not in before.destinations:
                self._members.setdefault(each.service, set()).add(id_)
        gone, come = _wanted(before), _wanted(then)
        self._towards.update(come)
        self._towards.subtract(gone)
        self._listed += come.total() - gone.total()
        return gone.keys() - come.keys()


def _others(one: Tables, other: Tables) -> dict[int, Destination]:
    """Destinations that the other tables do not have, or have otherwise."""
    there = other.destinations
    return {id_: each for id_, each in one.destinations.items() if there.get(id_) != each}


def _wanted(tables: Tables) -> Counter[bytes]:
    """Where wanted destinations are, and how many at each address."""
    return Counter(d.address for d in tables.destinations.values() if d.flags & _AVAILABLE)


def _only(mapping: Mapping[K, V], keys: Iterable[K]) -> dict[K, V]:
    return {key: mapping[key] for key in keys if key in mapping}


def _patched(
    mapping: Mapping[K, V], before: Mapping[K, object], then: Mapping[K, V]
) -> Mapping[K, V]:
    """With ``then`` in the place of ``before``; the same object if they are equal."""
    if before == then:
        return mapping
    found = copied(mapping)
    for key in before.keys() - then.keys():
        found.pop(key, None)
    found.update(then)
    return found
