# SPDX-License-Identifier: Apache-2.0
"""All that is wanted of one director, and how an edit changes it.

The rules are the kernel's (``ip_vs_ctl``'s observable behaviour): a new
destination goes to the head of its service's list, an edited one keeps its place,
and whatever is refused leaves everything as it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from xlvs.model import client_list, local_pool, settings, syncing
from xlvs.model.checks import (
    check_fits,
    check_service,
    check_unicast,
    settled,
)
from xlvs.model.client_list import ClientList
from xlvs.model.copied import copied
from xlvs.model.drain import Drained, Drains, drain, emptied, refilled
from xlvs.model.edit import (
    AddDestination,
    AddLocalAddress,
    AddMark,
    AddService,
    AnyEdit,
    ChangeList,
    ChangePool,
    Clear,
    ClearMarks,
    DeleteDestination,
    DeleteList,
    DeleteLocalAddress,
    DeleteMark,
    DeletePool,
    DeleteService,
    DrainDestination,
    EditDestination,
    EditService,
    PutList,
    SetPool,
    SetSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    UndrainDestination,
    Zero,
)
from xlvs.model.listed import Entry, Listed
from xlvs.model.mark import MarkRule, add_mark, delete_mark
from xlvs.model.problem import Code, Problem
from xlvs.model.service import (
    Address,
    Destination,
    Service,
    ServiceKey,
)
from xlvs.model.words import service_title

TIMEOUT_MAX = 2**31 // 100 * 100
"""Seconds. The kernel's limit is INT_MAX / HZ with a HZ that we do not have."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of ESTABLISHED, FIN_WAIT and UDP (``ipvsadm --set``)."""

    tcp: int = 900
    tcp_fin: int = 120
    udp: int = 300


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. ``services`` must not be changed in place.

    ``settings``: those that were asked for, by the names of ``xlvs.model.settings``.
    ``sync``: the sync daemons that run-time commands have started. ``lists``: of clients, by
    name; also those that no service names.
    """

    services: Mapping[ServiceKey, Entry] = {}
    timeouts: Timeouts = Timeouts()
    marks: tuple[MarkRule, ...] = ()
    settings: settings.Values = {}
    drains: Drains = {}
    sync: syncing.Roles = {}
    pools: local_pool.Pools = {}
    lists: Mapping[str, ClientList] = {}

    def entry(self, key: ServiceKey) -> Entry:
        """The service and its destinations; Problem if there is no such service."""
        try:
            return self.services[key]
        except KeyError:
            raise Problem(Code.NO_SUCH_SERVICE, "No such service") from None


def apply(desired: Desired, edit: AnyEdit) -> Desired:
    """What is wanted after the edit. Raises Problem, and then nothing has changed."""
    draft = Draft(desired)
    draft.apply(edit)
    return draft.desired()


def apply_all(
    desired: Desired, edits: Iterable[AnyEdit], on_error: Literal["abort", "continue"]
) -> tuple[Desired, list[Problem | None]]:
    """Apply edits in order, in time that grows with the edits and not with what is there.

    Returns what is wanted then and one entry per edit. ``abort``: the first refused edit
    is raised with its place in ``where``, and nothing has changed; ``continue``: it is
    entered and the rest go on.
    """
    draft = Draft(desired)
    results: list[Problem | None] = []
    for position, edit in enumerate(edits):
        try:
            draft.apply(edit)
        except Problem as problem:
            if on_error == "abort":
                where = f"/edits/{position}{problem.where}"
                raise Problem(problem.code, problem.message, where) from problem
            results.append(problem)
        else:
            results.append(None)
    return draft.desired(), results


class Bounds(NamedTuple):
    """What a machine allows.

    ``is_broadcast`` knows the subnets' broadcast addresses: no real server has one.
    ``services`` and ``destinations`` are how many there may be in all. ``now``: seconds
    since the epoch, of which a drain counts its own. ``listed``: how many destinations
    there are, if whoever asks knows: else they are counted. ``mtu``: of an interface, None if
    there is none of that name. ``sync_owner``: who else runs sync daemons, in words.
    """

    is_broadcast: Callable[[Address], bool] = lambda _: False
    services: int = sys.maxsize
    destinations: int = sys.maxsize
    now: float = 0.0
    listed: int | None = None
    mtu: Callable[[str], int | None] = lambda _: syncing.ETHERNET_MTU
    sync_owner: str = ""


BOUNDLESS = Bounds()


class Draft:
    """A copy of what is wanted, to be changed by many edits; each is applied whole or not.

    ``bounds`` are those of the machine.
    """

    def __init__(self, desired: Desired, bounds: Bounds = BOUNDLESS) -> None:
        self._bounds = bounds
        self._services: dict[ServiceKey, Entry] = copied(desired.services)
        self._listed: dict[ServiceKey, Listed] = {}  # instead of what ``_services`` says
        self._last: Listed | None = None
        self._unicast: set[Address] = set()  # addresses that were looked at
        listed = bounds.listed
        if listed is None:
            listed = sum(len(entry[1]) for entry in desired.services.values())
        self._destinations = listed
        self.timeouts = desired.timeouts
        # A list once they change: there may be thousands, each an edit of its own.
        self._marks: tuple[MarkRule, ...] | list[MarkRule] = desired.marks
        self.settings = desired.settings
        self.drains = dict(desired.drains)
        self.sync = desired.sync
        self.pools = dict(desired.pools)
        self.lists = dict(desired.lists)

    def desired(self) -> Desired:
        """What is wanted now. Call it once, when all edits are made."""
        self._services.update((key, each.entry()) for key, each in self._listed.items())
        return Desired(
            services=self._services,
            timeouts=self.timeouts,
            marks=tuple(self._marks),
            settings=self.settings,
            drains=self.drains,
            sync=self.sync,
            pools=self.pools,
            lists=self.lists,
        )

    def keys(self) -> Collection[ServiceKey]:
        """Of all services."""
        return self._services.keys()

    def service(self, key: ServiceKey) -> Service | None:
        """The service, if there is one."""
        found = self._services.get(key)
        return None if found is None else found[0]

    def listed(self, key: ServiceKey) -> Listed:
        """Its destinations, to be changed. Raises Problem."""
        # Edits that follow one another are mostly of one service.
        found = self._last
        if found is None or found.service.key != key:
            found = self._listed.get(key)
            if found is None:
                found = self._listed[key] = Listed(*self._entry(key))
            self._last = found
        return found

    def apply(self, edit: AnyEdit) -> None:  # noqa: C901, PLR0912  # one case for each edit
        """Make one edit. Raises Problem, and then nothing has changed."""
        match edit:
            case AddService(service=service):
                if service.key in self._services:
                    raise Problem(Code.SERVICE_EXISTS, "Service already exists", "/service/key")
                check_service(service)
                local_pool.check_named(service, self.pools)
                self._check_lists(service)
                _check_room(len(self._services), self._bounds.services, "services")
                self._services[service.key] = (service, ())
            case EditService(service=service):
                before, destinations = self._entry(service.key)
                if edit.keep_local_addresses:
                    service = msgspec.structs.replace(
                        service,
                        local_addresses=before.local_addresses,
                        local_pool=before.local_pool,
                    )
                check_service(service)
                local_pool.check_named(service, self.pools)
                self._check_lists(service)
                for each in destinations:
                    check_fits(service, each)
                self._services[service.key] = (service, destinations)
            case DeleteService(key=key):
                self._destinations -= len(self._entry(key)[1])
                del self._services[key]
                self._end_drains(key)
            case AddDestination() | EditDestination() | DeleteDestination():
                self._edit_destinations(edit)
            case DrainDestination() | UndrainDestination():
                self._drain(edit)
            case AddLocalAddress() | DeleteLocalAddress():
                self._edit_local_addresses(edit)
            case SetPool() | ChangePool() | DeletePool():
                self._edit_pools(edit)
            case Clear():
                self._services = {}
                self._listed = {}
                self._last = None
                self.drains = {}
                self._destinations = 0
            case SetTimeouts():
                self.timeouts = _timeouts(self.timeouts, edit)
            case AddMark() | DeleteMark() | ClearMarks():
                self._edit_marks(edit)
            case PutList() | ChangeList() | DeleteList():
                self._edit_lists(edit)
            case SetSettings(values=values):
                self.settings = _settings(self.settings, values)
            case StartSync() | StopSync():
                self._edit_sync(edit)
            case Zero(service=named):
                if named is not None:
                    self._entry(named)

    def _entry(self, key: ServiceKey) -> Entry:
        listed = self._listed.pop(key, None)
        if listed is not None:
            self._last = None
            self._services[key] = listed.entry()
        try:
            return self._services[key]
        except KeyError:
            raise Problem(Code.NO_SUCH_SERVICE, "No such service") from None

    def _check_lists(self, service: Service) -> None:
        for what in ("allow", "deny"):
            for at, name in enumerate(getattr(service, what)):
                if name not in self.lists:
                    raise Problem(
                        Code.NO_SUCH_LIST,
                        f"there is no list of clients {name!r}: make it first (xlvs list load)",
                        f"/service/{what}/{at}",
                    )

    def _edit_lists(self, edit: PutList | ChangeList | DeleteList) -> None:
        name = edit.name
        if isinstance(edit, DeleteList):
            self._delete_list(name)
            return
        client_list.check_name(name)
        if isinstance(edit, PutList):
            found = client_list.client_list(edit.prefixes)
        else:
            change = client_list.Change(edit.add, edit.remove)
            found = client_list.changed(self.lists.get(name, client_list.NO_CLIENTS), change)
        others = [each for known, each in self.lists.items() if known != name]
        _check_room(len(others), client_list.LISTS_MAX, "lists of clients")
        if len(found) + sum(map(len, others)) > client_list.PREFIXES_MAX:
            raise Problem(
                Code.NO_SPACE,
                f"there is no room for more than {client_list.PREFIXES_MAX} prefixes in all lists "
                "of clients together",
            )
        self.lists[name] = found

    def _delete_list(self, name: str) -> None:
        if name not in self.lists:
            raise Problem(Code.NO_SUCH_LIST, f"there is no list of clients {name!r}", "/name")
        for service, _ in self._services.values():
            if name in service.allow or name in service.deny:
                raise Problem(
                    Code.LIST_IN_USE,
                    f"the list {name!r} is named by the service {service_title(service)}",
                    "/name",
                )
        del self.lists[name]

    def _edit_marks(self, edit: AddMark | DeleteMark | ClearMarks) -> None:
        if isinstance(self._marks, tuple):
            self._marks = list(self._marks)
        match edit:
            case AddMark(rule=rule, number=number):
                add_mark(self._marks, rule, number)
            case DeleteMark(rule=named, number=number):
                delete_mark(self._marks, named, number)
            case ClearMarks():
                self._marks = []

    def _edit_pools(self, edit: SetPool | ChangePool | DeletePool) -> None:
        if not isinstance(edit, SetPool) and edit.name not in self.pools:
            raise Problem(Code.INVALID, f"there is no pool {edit.name!r}", "/name")
        match edit:
            case SetPool(name=name, addresses=addresses):
                local_pool.check_name(name)
                local_pool.check_addresses(addresses, self._bounds.is_broadcast)
                self.pools[name] = addresses
            case ChangePool(name=name):
                changed = local_pool.changed(self.pools[name], edit.add, edit.remove)
                local_pool.check_addresses(changed, self._bounds.is_broadcast)
                self.pools[name] = changed
            case DeletePool(name=name):
                for service, _ in self._services.values():
                    if service.local_pool == name:
                        words = f"a service has the pool {name!r} of local addresses"
                        raise Problem(Code.INVALID, words, "/name")
                del self.pools[name]

    def _edit_sync(self, edit: StartSync | StopSync) -> None:
        owner = self._bounds.sync_owner
        if owner:
            raise Problem(Code.NOT_SUPPORTED, f"connection sync is run by {owner}: change it there")
        if isinstance(edit, StartSync):
            mtu = self._bounds.mtu(edit.channel.interface)
            self.sync = syncing.started(self.sync, edit.role, edit.channel, mtu)
        else:
            self.sync = syncing.stopped(self.sync, edit.role)

    def _edit_destinations(
        self, edit: AddDestination | EditDestination | DeleteDestination
    ) -> None:
        listed = self.listed(edit.service)
        match edit:
            case AddDestination(destination=wanted):
                wanted = settled(listed.service, wanted)
                listed.check_new(wanted.key)
                self._check_unicast(wanted.key.address)
                _check_room(self._destinations, self._bounds.destinations, "destinations")
                listed.put(wanted)
                self._destinations += 1
            case EditDestination(destination=wanted):
                wanted = settled(listed.service, wanted)
                listed.put(_remembering(wanted, listed.find(wanted.key)))
                if wanted.weight:
                    self.drains.pop(Drained(edit.service, wanted.key), None)
            case DeleteDestination(destination=gone):
                listed.remove(gone)
                self.drains.pop(Drained(edit.service, gone), None)
                self._destinations -= 1

    def _check_unicast(self, address: Address) -> None:
        if address not in self._unicast:
            check_unicast(address, self._bounds.is_broadcast)
            self._unicast.add(address)

    def _drain(self, edit: DrainDestination | UndrainDestination) -> None:
        listed = self.listed(edit.service)
        before = listed.find(edit.destination)
        drained = Drained(edit.service, edit.destination)
        if isinstance(edit, DrainDestination):
            seconds = edit.seconds
            if seconds is None:
                seconds = settings.numbers(self.settings)["xlvs.drain_seconds"]
            self.drains[drained] = drain(self._bounds.now, seconds)
            listed.put(emptied(before))
        else:
            listed.put(refilled(before, draining=drained in self.drains))
            self.drains.pop(drained, None)

    def _end_drains(self, service: ServiceKey) -> None:
        """Those of a service that is gone."""
        for drained in [each for each in self.drains if each.service == service]:
            del self.drains[drained]

    def _edit_local_addresses(self, edit: AddLocalAddress | DeleteLocalAddress) -> None:
        service, destinations = self._entry(edit.service)
        if service.local_pool:
            words = f"the service's local addresses are those of the pool {service.local_pool!r}"
            raise Problem(Code.INVALID, words, "/address")
        present = edit.address in service.local_addresses
        if isinstance(edit, AddLocalAddress):
            if present:
                raise Problem(Code.LOCAL_ADDRESS_EXISTS, "Local address already exists", "/address")
            addresses = (*service.local_addresses, edit.address)
        else:
            if not present:
                raise Problem(Code.NO_SUCH_LOCAL_ADDRESS, "No such local address", "/address")
            addresses = tuple(each for each in service.local_addresses if each != edit.address)
        service = msgspec.structs.replace(service, local_addresses=addresses)
        check_service(service)
        self._services[edit.service] = (service, destinations)


def _remembering(wanted: Destination, before: Destination) -> Destination:
    """With the weight of before if it is set to 0 and does not say itself what it was."""
    if wanted.weight or wanted.weight_before:
        return wanted
    return msgspec.structs.replace(wanted, weight_before=before.weight or before.weight_before)


def _check_room(there: int, most: int, what: str) -> None:
    if there >= most:
        raise Problem(Code.NO_SPACE, f"there is no room for more than {most} {what}")


def _settings(now: settings.Values, values: Mapping[str, str]) -> settings.Values:
    try:
        return settings.changed(now, values.items())
    except Problem as problem:
        name = problem.where.replace("~", "~0").replace("/", "~1")  # RFC 6901
        raise Problem(problem.code, problem.message, f"/values/{name}") from problem


def _timeouts(now: Timeouts, edit: SetTimeouts) -> Timeouts:
    for name in ("tcp", "tcp_fin", "udp"):
        if not 0 <= getattr(edit, name) <= TIMEOUT_MAX:
            raise Problem(Code.INVALID, f"a time-out must be 0 to {TIMEOUT_MAX} s", f"/{name}")
    return Timeouts(
        tcp=edit.tcp or now.tcp,
        tcp_fin=edit.tcp_fin or now.tcp_fin,
        udp=edit.udp or now.udp,
    )
