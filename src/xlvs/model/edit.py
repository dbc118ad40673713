# SPDX-License-Identifier: Apache-2.0
"""Edits: the only way in which what is wanted changes."""

from __future__ import annotations

import msgspec

from xlvs.model.mark import MarkRule
from xlvs.model.service import Address, Destination, DestinationKey, Service, ServiceKey
from xlvs.model.syncing import SyncChannel, SyncRole


class Edit(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="op",
    forbid_unknown_fields=True,
    gc=False,
):
    """Base of all edits; ``op`` in JSON names the kind. As of services, there may be very many."""


class AddService(Edit, frozen=True, tag="service.add"):
    """A new service, without destinations."""

    service: Service


class EditService(Edit, frozen=True, tag="service.edit"):
    """Other properties for the service of that key.

    With ``keep_local_addresses`` those, or the pool of them, stay as they are, whatever
    ``service`` says.
    """

    service: Service
    keep_local_addresses: bool = False


class DeleteService(Edit, frozen=True, tag="service.delete"):
    """A service goes, with its destinations."""

    key: ServiceKey


class AddDestination(Edit, frozen=True, tag="destination.add"):
    """A new destination, at the head of its service's list."""

    service: ServiceKey
    destination: Destination


class EditDestination(Edit, frozen=True, tag="destination.edit"):
    """Other properties for the destination of that key; it keeps its place."""

    service: ServiceKey
    destination: Destination


class DeleteDestination(Edit, frozen=True, tag="destination.delete"):
    """A destination goes; its connections are dropped or remain, as settings say."""

    service: ServiceKey
    destination: DestinationKey


class DrainDestination(Edit, frozen=True, tag="destination.drain"):
    """A destination gets no new connections, and is removed when the time is over.

    ``seconds``: how long; 0: nobody removes it; None: ``net.xlvs.drain_seconds``. A drain
    ends when the destination is removed or is given a weight.
    """

    service: ServiceKey
    destination: DestinationKey
    seconds: int | None = None


class UndrainDestination(Edit, frozen=True, tag="destination.undrain"):
    """A destination gets back the weight that it had before it was 0; its drain ends."""

    service: ServiceKey
    destination: DestinationKey


class AddLocalAddress(Edit, frozen=True, tag="local_address.add"):
    """One more source address for FULLNAT of this service."""

    service: ServiceKey
    address: Address


class DeleteLocalAddress(Edit, frozen=True, tag="local_address.delete"):
    """One source address less. Connections that have it keep it."""

    service: ServiceKey
    address: Address


class SetPool(Edit, frozen=True, tag="pool.set"):
    """A pool of local addresses has these, whether it was there or not."""

    name: str
    addresses: tuple[Address, ...]


class ChangePool(Edit, frozen=True, tag="pool.change"):
    """A pool that is there has more local addresses, and others no longer.

    Connections keep the address that they have.
    """

    name: str
    add: tuple[Address, ...] = ()
    remove: tuple[Address, ...] = ()


class DeletePool(Edit, frozen=True, tag="pool.delete"):
    """A pool goes, which no service names. ``Clear`` leaves pools: they are not IPVS's."""

    name: str


class Clear(Edit, frozen=True, tag="clear"):
    """All services and destinations go (``ipvsadm -C``)."""


class SetTimeouts(Edit, frozen=True, tag="timeouts.set"):
    """Seconds; 0 keeps the value (``ipvsadm --set``)."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0


class SetSettings(Edit, frozen=True, tag="settings.set"):
    """Settings by their full names, values as sysctl takes them; all or none.

    ``default`` gives up what was asked for before.
    """

    values: dict[str, str]


class Zero(Edit, frozen=True, tag="counters.zero"):
    """Counters of one service, or of all, begin at zero again (``ipvsadm -Z``)."""

    service: ServiceKey | None = None


class AddMark(Edit, frozen=True, tag="mark.add"):
    """A mark rule; ``number`` will be its place in the list, counted from 1, 0: the last."""

    rule: MarkRule
    number: int = 0


class DeleteMark(Edit, frozen=True, tag="mark.delete"):
    """A mark rule goes: the one with that number, else the first that is equal to ``rule``."""

    number: int = 0
    rule: MarkRule | None = None


class ClearMarks(Edit, frozen=True, tag="mark.clear"):
    """All mark rules go. ``Clear`` leaves them: they are not IPVS's."""


class PutList(Edit, frozen=True, tag="list.put"):
    """A list of clients has these prefixes from now on, whether or not there was one."""

    name: str
    prefixes: tuple[str, ...] = ()


class ChangeList(Edit, frozen=True, tag="list.change"):
    """Prefixes come to a list and others go; without one of that name, it is made."""

    name: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class DeleteList(Edit, frozen=True, tag="list.delete"):
    """A list that no service names goes. ``Clear`` leaves them all: they are not IPVS's."""

    name: str


class StartSync(Edit, frozen=True, tag="sync.start"):
    """A daemon of IPVS's sync protocol begins (``ipvsadm --start-daemon``)."""

    role: SyncRole
    channel: SyncChannel


class StopSync(Edit, frozen=True, tag="sync.stop"):
    """It ends (``ipvsadm --stop-daemon``). ``Clear`` leaves it."""

    role: SyncRole


AnyEdit = (
    AddService
    | EditService
    | DeleteService
    | AddDestination
    | EditDestination
    | DeleteDestination
    | DrainDestination
    | UndrainDestination
    | AddLocalAddress
    | DeleteLocalAddress
    | SetPool
    | ChangePool
    | DeletePool
    | Clear
    | SetTimeouts
    | SetSettings
    | Zero
    | AddMark
    | DeleteMark
    | ClearMarks
    | PutList
    | ChangeList
    | DeleteList
    | StartSync
    | StopSync
)
