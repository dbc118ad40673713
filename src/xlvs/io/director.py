# SPDX-License-Identifier: Apache-2.0
"""The director: what is wanted, what the maps hold, and the way from one to the other.

Every change walks the same way (``_change``): an edit, other surroundings, a
restart's repair. Nothing here waits; the event loop's side is in ``daemon.py``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec.structs import replace

from xlvs.datapath.addresses import packed
from xlvs.datapath.effective import NOTHING_RELEASED, Effective, Options, effective
from xlvs.datapath.history import NO_CHANGES, Changes, fold, turned, with_turned
from xlvs.datapath.observed import Observed, interfaces, way_to
from xlvs.datapath.plan import Renewal, after, diff, forgetting, losing
from xlvs.datapath.port import Port
from xlvs.datapath.records import (
    DestinationFlag,
    DestinationLoad,
    Method,
    Settings,
    SynCookies,
)
from xlvs.datapath.renewal import renewal
from xlvs.datapath.space import spare_pages
from xlvs.datapath.syn_promise import Learnt
from xlvs.datapath.tables import Have, Release, Tables
from xlvs.datapath.whole import Whole
from xlvs.datapath.writes import DropSlotPages, PutSettings, Write
from xlvs.engine import defence
from xlvs.engine.defence import Defence
from xlvs.engine.health.rotation import Rotation, rotate
from xlvs.engine.health.standing import Standing
from xlvs.io import clock
from xlvs.io.adoption import Adopted
from xlvs.io.ledger import Ledger
from xlvs.io.notebook import Notebook, Store
from xlvs.model import service as model
from xlvs.model import settings
from xlvs.model.desired import Bounds, Desired
from xlvs.model.drain import Drained, due
from xlvs.model.edit import AnyEdit, DeleteDestination
from xlvs.model.listed import Entry
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address

REST = 120.0
"""Seconds that a removed destination is kept after its last connection (IPVS's
IP_VS_DEST_TRASH_PERIOD): added again by then, its counters go on."""

_PAGES_AT_ONCE = 8

_AVAILABLE = int(DestinationFlag.AVAILABLE)

log = logging.getLogger(__name__)


class Director:
    """One instance.

    ``store`` is the state file. ``wall``: seconds since the epoch.
    """

    def __init__(
        self,
        port: Port,
        options: Options,
        store: Store,
        wall: Callable[[], float] = clock.wall,
    ) -> None:
        self.port = port
        self.options = options
        self.desired = Desired()
        """What is asked for."""
        self.standing: Mapping[model.ServiceKey, Standing] = {}
        """What health says of it; for changes see ``stand``."""
        self.effective = Effective()
        self.ledger = Ledger()
        self.observed = Observed()
        self.sync_owner = ""
        """Who else runs daemons of IPVS's sync protocol, in words: edits of them are refused."""
        self.available = sys.maxsize
        """Free pages of memory, as far as known: what the defence goes by."""
        self._notebook = Notebook(store)
        self._wall = wall
        self._rotation = Rotation(self.desired, self.desired)
        self._have = Have()
        self._whole: Whole | None = None
        self._idle_since: dict[int, float] = {}
        self._sweeps = -1
        self.expiry_stands_still = False
        """Between the last two runs of the estimator no sweep looked for ended connections."""

    def start(self, adopted: Adopted, observed: Observed) -> tuple[Write, ...]:
        """Take over what the maps hold and repair what differs; the repairs. Raises Problem."""
        self._have = adopted.have
        self.observed = observed
        self.desired = adopted.desired
        self.ledger = adopted.ledger
        # What was read off the maps is in the file from now on.
        self._notebook.save(adopted.desired, self.ledger)
        writes = self._change(adopted.desired, NO_CHANGES)
        self.ledger.adopt(self.port, self.effective.tables)
        self._whole = Whole(self._have, self.effective, self.port.capacity)
        return writes

    @property
    def rotated(self) -> Desired:
        """What is in rotation of what is asked for: ``effective`` is of this."""
        return self._rotation.desired

    def stand(self, services: Collection[model.ServiceKey]) -> tuple[Write, ...]:
        """``standing`` is another for these services; what was written. Raises Problem."""
        then = self._rotate(self.desired, services)
        if then.desired is self.rotated:
            return ()
        changes = turned(services, self.rotated, then.desired)
        return self._change_edited(self.desired, changes) if changes.services else ()

    def hold(self, standby: frozenset[Address]) -> tuple[Write, ...]:
        """These virtual addresses are other directors' now, all others ours. Raises Problem."""
        before = self.options
        moved = standby ^ before.standby
        services = {key: None for key in self.rotated.services if key.address in moved}
        self.options = before._replace(standby=standby)
        if not services:
            return ()
        try:
            return self._change_edited(self.desired, Changes(services=services))
        except Problem:
            self.options = before
            raise

    def attack(self, attacked: frozenset[model.ServiceKey]) -> tuple[Write, ...]:
        """These services' SYNs are answered now, for they are too many. Raises Problem."""
        moved = attacked ^ self.options.attacked
        return self._reconsider(self.options._replace(attacked=attacked), moved)

    def learn(self, learnt: Mapping[model.ServiceKey, Learnt]) -> tuple[Write, ...]:
        """What servers of services with SYN proxy do; what was written. Raises Problem."""
        before = self.options.learnt
        moved = {key for key in before.keys() | learnt if before.get(key) != learnt.get(key)}
        return self._reconsider(self.options._replace(learnt=learnt), moved) if moved else ()

    def _reconsider(
        self, options: Options, moved: Collection[model.ServiceKey]
    ) -> tuple[Write, ...]:
        """Other options, which matter to these services."""
        before = self.options
        services = {key: None for key in self.rotated.services if key in moved}
        self.options = options
        if not services:
            return ()
        try:
            return self._change_edited(self.desired, Changes(services=services))
        except Problem:
            self.options = before
            raise

    def tell(self, *, on: bool) -> tuple[Write, ...]:
        """Let the data path tell of changes of connections, or not. Raises Problem."""
        if self.options.sync == on:
            return ()
        self.options = self.options._replace(sync=on)
        return self._change(self.desired, NO_CHANGES)

    def edit(self, edits: Sequence[AnyEdit], *, go_on: bool) -> list[Problem | None]:
        """Apply edits: all or, with ``go_on``, those that are not refused.

        One entry per edit. Raises Problem when nothing was changed.
        """
        desired, results, changes = fold(self.desired, edits, go_on=go_on, bounds=self._bounds())
        try:
            self._change_edited(desired, changes)
        except Problem:
            if not go_on or len(edits) == 1:
                raise
            return self._edit_halves(edits)
        self._zero(changes)
        return results

    def _bounds(self) -> Bounds:
        capacity = self.port.capacity
        # A list is written beside the old one before it takes its place.
        listed = capacity.service_destinations // 2
        return Bounds(
            is_broadcast=self.observed.is_broadcast,
            services=capacity.services,
            destinations=min(capacity.destinations, listed),
            now=self._wall(),
            listed=self._whole.listed if self._whole and self._is_whole() else None,
            mtu=self.observed.mtu,
            sync_owner=self.sync_owner,
        )

    def _edit_halves(self, edits: Sequence[AnyEdit]) -> list[Problem | None]:
        """What the maps cannot take is known only for the whole: find out whose fault it is."""
        middle = len(edits) // 2
        results: list[Problem | None] = []
        for half in (edits[:middle], edits[middle:]):
            try:
                results += self.edit(half, go_on=True)
            except Problem as problem:  # of a half that is one edit
                results.append(problem)
        return results

    def observe(self, observed: Observed) -> tuple[Write, ...]:
        """The surroundings may have changed; what was written. Raises Problem."""
        self.observed = observed
        have, ways = self._have.tables, self.effective.ways
        if have.interfaces != interfaces(observed) or have is not self.effective.tables:
            return self._change(self.desired, NO_CHANGES)
        # Most of what the kernel tells is of no interest: neighbours come of age all the time.
        moved = {address for address, way in ways.items() if way_to(observed, address) != way}
        if not moved:
            return ()
        there = {packed(address) for address in moved}
        owners = {d.service for d in have.destinations.values() if d.address in there}
        services = {k: None for k, id_ in self.effective.service_ids.items() if id_ in owners}
        return self._change_edited(self.desired, Changes(services=services))

    @property
    def defence(self) -> Defence:
        """What is done against floods now."""
        return defence.defence(self.desired.settings, self.available)

    def defend(self, available: int) -> tuple[Write, ...]:
        """So many pages of memory are free now; what was written. Raises Problem."""
        self.available = available
        does = self.defence
        settings = self.effective.tables.settings._replace(
            drop_rate=does.drop_rate, drop_entry=does.drop_entry, secure_tcp=does.secure_tcp
        )
        return self._put_settings(settings)

    def renew_secrets(self, cookies: SynCookies) -> tuple[Write, ...]:
        """SYN cookies are made of these from now on; what was written. Raises Problem."""
        written = self._put_settings(self.effective.tables.settings._replace(syn_cookies=cookies))
        self.options = self.options._replace(syn_cookies=cookies)
        return written

    def _put_settings(self, settings: Settings) -> tuple[Write, ...]:
        tables = self.effective.tables
        if settings == tables.settings:
            return ()
        write = PutSettings(settings)
        self.port.write([write])
        tables = tables._replace(settings=settings)
        self.effective = self.effective._replace(tables=tables)
        self._have = self._have._replace(tables=tables)
        return (write,)

    def end_drains(self) -> list[tuple[Drained, DestinationLoad]]:
        """Remove destinations whose drain's time is over; which, and what was left of each.

        Raises Problem.
        """
        found = []
        for drained in list(due(self.desired.drains, self._wall())):
            left = self.load(drained)
            self.edit([DeleteDestination(**drained._asdict())], go_on=False)
            found.append((drained, left))
        return found

    def load(self, drained: Drained) -> DestinationLoad:
        """Connections of a destination that there is; none of one that is not in rotation."""
        _, listed = self.rotated.services[drained.service]
        keys = [each.key for each in listed]
        if drained.destination not in keys:
            return DestinationLoad()
        at = keys.index(drained.destination)
        id_ = self.effective.destination_ids[drained.service][at]
        return self.port.load([id_])[id_]

    def estimate(self) -> Iterator[None]:
        """The estimator's run, every ``estimator.PERIOD`` seconds, part by part.

        Between them others may have their turn.
        """
        yield from self.ledger.run(self.port)
        sweeps = self.port.table().sweeps
        self.expiry_stands_still = sweeps == self._sweeps
        self._sweeps = sweeps

    def reap(self, now: float) -> None:
        """Let go of removed destinations whose last connection ended a while ago.

        Also of blocks of local ports that nobody names and no connection uses any more,
        and of what stateless services' slots need not remember any longer.
        """
        idle = self._idle()
        self._idle_since = {id_: self._idle_since.get(id_, now) for id_ in idle}
        rested = {id_ for id_, since in self._idle_since.items() if now - since >= REST}
        release = self._release(frozenset(rested))
        forgets = bool(forgetting(self._timed(self._have), self.effective.tables))
        if forgets or release.blocks:
            self._change(self.desired, NO_CHANGES, release, forget=forgets)
        elif release.destinations:
            self._let_go(release)
        self._drop_pages()

    def _let_go(self, release: Release) -> None:
        """Of destinations, of which there may be few among many."""
        there = self._have.tables.destinations
        owners = {there[id_].service for id_ in release.destinations}
        services = {k: None for k, id_ in self.effective.service_ids.items() if id_ in owners}
        changes = Changes(services=services)
        if self._change_some(self.desired, changes, release, owners) is None:
            self._change(self.desired, NO_CHANGES, release)

    def _drop_pages(self) -> None:
        """Pages of slots that nobody needs any more; each takes the kernel some 15 ms."""
        # The last ones first: free regions are taken from the beginning.
        spare = spare_pages(self._have._replace(now=self.port.ticks()))[-_PAGES_AT_ONCE:]
        if spare:
            self.port.write([DropSlotPages(tuple(spare))])
            left = self._have.slot_pages.difference(spare)
            self._have = self._have._replace(slot_pages=left)

    def _zero(self, changes: Changes) -> None:
        ids, listed = self.effective.service_ids, self.effective.destination_ids
        named = [key for key in changes.zeroed if key is not None and key in ids]
        keys = list(ids) if None in changes.zeroed else named
        if changes.zeroed:
            destinations = chain.from_iterable(listed[key] for key in keys)
            self.ledger.zero(self.port, [ids[key] for key in keys], destinations)
            self._notebook.save(self.desired, self.ledger)

    def _change(
        self,
        desired: Desired,
        changes: Changes,
        release: Release = NOTHING_RELEASED,
        *,
        forget: bool = False,
    ) -> tuple[Write, ...]:
        """Make ``desired`` true, or leave everything as it was and raise Problem."""
        rotation = self._rotate(desired, None)
        changes = self._with_turned(changes, rotation)
        want, renewal, have = self._effective(rotation.desired, changes, release)
        if forget:
            renewal = renewal._replace(forgetting=forgetting(have, want.tables))
        self._have = have
        writes = diff(have, want.tables, self.port.capacity, renewal)
        with self.ledger.retiring(self.port, writes, self.effective.tables.services):
            if desired != self.desired:
                self._notebook.save(desired, self.ledger)
            self._write(writes, desired)
        self._have = after(have, want.tables, writes)
        self.desired, self._rotation = desired, rotation
        self.effective = want
        return writes

    def _change_edited(self, desired: Desired, changes: Changes) -> tuple[Write, ...]:
        """Make ``desired`` true, which differs as ``changes`` say, or raise Problem."""
        everything = changes.everything or _hashing(desired) != _hashing(self.desired)
        writes = None if everything else self._change_some(desired, changes)
        return self._change(desired, changes) if writes is None else writes

    def _change_some(
        self,
        desired: Desired,
        changes: Changes,
        release: Release = NOTHING_RELEASED,
        removed: Iterable[int] = (),
    ) -> tuple[Write, ...] | None:
        """The same for a few services, also ids of some that are ``removed``.

        None, and nothing is changed, if that cannot be done without looking at the others:
        a local port is taken from all services with the same addresses.
        """
        keys = tuple(changes.services)
        rotation = self._rotate(desired, keys)
        changes = self._with_turned(changes, rotation)
        shown = rotation.desired.services
        listed = {key: shown[key] for key in keys if key in shown}
        if self._have.tables is not self.effective.tables or any(map(_fullnat, listed.values())):
            return None
        if self._collides(listed):
            return None
        whole = self._whole
        if whole is None or not self._is_whole():
            whole = Whole(self._have, self.effective, self.port.capacity)
        part = whole.part(keys, removed)
        if any(d.method == Method.FULLNAT for d in part.tables.destinations.values()):
            self._whole = whole
            return None
        self._whole = None  # until all is done
        part = self._timed(part)
        try:
            want = effective(
                replace(rotation.desired, services=listed),
                self.observed,
                self._options(desired),
                part,
                self.port.capacity,
                release,
                free=whole.free,
            )
        except Problem as problem:
            if problem.code is Code.NO_SPACE:  # what only rests makes room, but not here
                return None
            raise
        want = whole.complete(part, want)
        part = self._with_unseen(part, want.tables)
        renewed = renewal(want, part, changes)
        shared = whole.shared(part, want.tables)
        writes = diff(part, want.tables, self.port.capacity, renewed, shared)
        with self.ledger.retiring(self.port, writes, self.effective.tables.services):
            self._notebook.change(self.desired, desired, changes, self.ledger)
            self._write(writes, desired)
        whole.replace(keys, part, want, writes)
        self._whole, self._have, self.effective = whole, whole.have, whole.want
        self.desired, self._rotation = desired, rotation
        return writes

    def _collides(self, listed: Mapping[model.ServiceKey, Entry]) -> bool:
        """Whether services have to do with local addresses, of which the others must be asked."""
        taken = {block.local for block in self._have.tables.port_blocks.values()}
        return any(
            service.local_addresses
            or (service.key.address is not None and packed(service.key.address) in taken)
            or (taken and any(packed(each.key.address) in taken for each in destinations))
            for service, destinations in listed.values()
        )

    def _rotate(self, asked: Desired, services: Collection[model.ServiceKey] | None) -> Rotation:
        """What would be in rotation; ``services``: of which it may be otherwise, None: any."""
        before = self._rotation
        if not self.standing and before.asked is before.desired:
            return Rotation(asked, asked)  # nobody has said anything
        return rotate(asked, self.standing, before, services)

    def _with_turned(self, changes: Changes, then: Rotation) -> Changes:
        if then.asked is then.desired:
            return changes
        before = self.rotated.services
        keys = [
            key
            for key, entry in then.desired.services.items()
            if entry is not then.asked.services[key] and entry is not before.get(key)
        ]
        return with_turned(changes, turned(keys, self.rotated, then.desired))

    def _is_whole(self) -> bool:
        """Whether nothing was changed beside what is arranged for small changes."""
        whole = self._whole
        return whole is not None and whole.have is self._have and whole.want is self.effective

    def _write(self, writes: Sequence[Write], desired: Desired) -> None:
        try:
            self.port.write(writes)
        except Problem:
            self._revert(desired)
            raise
        self.ledger.follow(writes)

    def _effective(
        self, desired: Desired, changes: Changes, release: Release
    ) -> tuple[Effective, Renewal, Have]:
        have = self._timed(self._have)._replace(busy_blocks=self._busy_blocks())
        capacity, options = self.port.capacity, self._options(desired)
        try:
            want = effective(desired, self.observed, options, have, capacity, release)
        except Problem as problem:
            if problem.code is not Code.NO_SPACE or any(release):
                raise
            # Removed destinations that only rest make room at once.
            idle = self._release(frozenset(self._idle()))
            want = effective(desired, self.observed, options, have, capacity, idle)
        have = self._with_unseen(have, want.tables)
        return want, renewal(want, have, changes), have

    def _with_unseen(self, have: Have, want: Tables) -> Have:
        stats = self.port.destination_stats(losing(have, want))
        return have._replace(
            unseen=frozenset(i for i, each in stats.items() if not each.in_packets)
        )

    def _options(self, desired: Desired) -> Options:
        does = defence.defence(desired.settings, self.available)
        return self.options._replace(
            drop_rate=does.drop_rate, drop_entry=does.drop_entry, secure_tcp=does.secure_tcp
        )

    def _timed(self, have: Have) -> Have:
        """With what is a matter of time."""
        load = self.port.load(have.hashed())
        busy = frozenset(id_ for id_, each in load.items() if each.active or each.inactive)
        return have._replace(now=self.port.ticks(), busy=busy)

    def _busy_blocks(self) -> frozenset[int]:
        use = self.port.port_use(self._have.tables.port_blocks)
        return frozenset(block for block, ports in use.items() if ports.used)

    def _release(self, destinations: frozenset[int]) -> Release:
        """These removed destinations, and blocks that nobody needs then."""
        tables = self._have.tables
        blocks = tables.port_blocks.keys() - tables.blocks().keys()
        if blocks:
            blocks -= self._busy_blocks()
        return Release(destinations, frozenset(blocks))

    def _idle(self) -> list[int]:
        """Removed destinations without connections or templates, which no slot remembers either."""
        remembered = self._have.remembered()
        removed = [
            id_
            for id_, destination in self._have.tables.destinations.items()
            if not destination.flags & _AVAILABLE and id_ not in remembered
        ]
        connections = map(any, zip(*self.port.loads(removed), strict=True))
        return [id_ for id_, used in zip(removed, connections, strict=True) if not used]

    def _revert(self, refused: Desired) -> None:
        """Some writes were done, then one failed: back to what was wanted before."""
        log.error("a step of a change failed; going back to what was there before")
        if refused != self.desired:
            self._notebook.save(self.desired, self.ledger)
        self._have = self.port.have()
        writes = diff(self._have, self.effective.tables, self.port.capacity)
        self.port.write(writes)
        self.ledger.follow(writes)
        self._have = self.port.have()


def _hashing(desired: Desired) -> int:
    """The one setting that services' records depend on."""
    return settings.numbers(desired.settings)["xlvs.hash_fallback"]


def _fullnat(entry: Entry) -> bool:
    return any(each.method is model.Method.FULLNAT for each in entry[1])
