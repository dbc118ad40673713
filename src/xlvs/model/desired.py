# SPDX-License-Identifier: Apache-2.0
"""All that is wanted of one director, and how an edit changes it.

The rules are the kernel's (``ip_vs_ctl``'s observable behaviour): a new
destination goes to the head of its service's list, an edited one keeps its place,
and whatever is refused leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

import msgspec

from xlvs.model.edit import (
    AddDestination,
    AddLocalAddress,
    AddService,
    AnyEdit,
    Clear,
    DeleteDestination,
    DeleteLocalAddress,
    DeleteService,
    EditDestination,
    EditService,
    SetTimeouts,
    Zero,
)
from xlvs.model.problem import Code, Problem
from xlvs.model.service import (
    Address,
    Destination,
    DestinationKey,
    Family,
    Method,
    Protocol,
    Service,
    ServiceKey,
)

SCHEDULERS = frozenset(
    ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh")
)
"""The kernel's schedulers by name. Which of them run in the data path is not this layer's."""

PERSISTENCE_ENGINES = frozenset(("sip",))

WEIGHT_MAX = 2**31 - 1
"""Weights are a signed int in the kernel; ipvsadm accepts 0 to this."""

THRESHOLD_MAX = 2**31 - 1

PORT_MAX = 65535

PERSISTENCE_MAX = 31 * 86400
"""Seconds, ipvsadm's limit."""

FLAGS_MAX = 7
"""The scheduler's three flags."""

_IPV6 = 6

_NO_UNICAST = frozenset(map(IPv4Address, (0, 0x7FFFFFFF, 0xFFFFFFFF)))
"""0.0.0.0, 127.255.255.255, 255.255.255.255: broadcast on every machine."""

TIMEOUT_MAX = 2**31 // 100 * 100
"""Seconds. The kernel's limit is INT_MAX / HZ with a HZ that we do not have."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of ESTABLISHED, FIN_WAIT and UDP (``ipvsadm --set``)."""

    tcp: int = 900
    tcp_fin: int = 120
    udp: int = 300


Entry = tuple[Service, tuple[Destination, ...]]
"""A service and its destinations, newest first."""


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. ``services`` must not be changed in place."""

    services: Mapping[ServiceKey, Entry] = {}
    timeouts: Timeouts = Timeouts()

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


class Draft:
    """A copy of what is wanted, to be changed by many edits; each is applied whole or not.

    ``is_broadcast`` knows the subnets' broadcast addresses: no real server has one.
    """

    def __init__(
        self, desired: Desired, is_broadcast: Callable[[Address], bool] = lambda _: False
    ) -> None:
        self._is_broadcast = is_broadcast
        self.services: dict[ServiceKey, Entry] = dict(desired.services)
        self.timeouts = desired.timeouts

    def desired(self) -> Desired:
        """What is wanted now. Call it once, when all edits are made."""
        return Desired(services=self.services, timeouts=self.timeouts)

    def apply(self, edit: AnyEdit) -> None:  # noqa: C901  # one case for each edit
        """Make one edit. Raises Problem, and then nothing has changed."""
        match edit:
            case AddService(service=service):
                if service.key in self.services:
                    raise Problem(Code.SERVICE_EXISTS, "Service already exists", "/service/key")
                _check_service(service)
                self.services[service.key] = (service, ())
            case EditService(service=service):
                before, destinations = self._entry(service.key)
                if edit.keep_local_addresses:
                    service = msgspec.structs.replace(
                        service, local_addresses=before.local_addresses
                    )
                _check_service(service)
                self.services[service.key] = (service, destinations)
            case DeleteService(key=key):
                self._entry(key)
                del self.services[key]
            case AddDestination() | EditDestination() | DeleteDestination():
                self._destinations(edit)
            case AddLocalAddress() | DeleteLocalAddress():
                self._local_addresses(edit)
            case Clear():
                self.services = {}
            case SetTimeouts():
                self.timeouts = _timeouts(self.timeouts, edit)
            case Zero(service=named):
                if named is not None:
                    self._entry(named)

    def _entry(self, key: ServiceKey) -> Entry:
        try:
            return self.services[key]
        except KeyError:
            raise Problem(Code.NO_SUCH_SERVICE, "No such service") from None

    def _destinations(self, edit: AddDestination | EditDestination | DeleteDestination) -> None:
        service, listed = self._entry(edit.service)
        match edit:
            case AddDestination(destination=wanted):
                wanted = _settled(service, wanted)
                if any(each.key == wanted.key for each in listed):
                    raise Problem(
                        Code.DESTINATION_EXISTS, "Destination already exists", "/destination/key"
                    )
                _check_unicast(wanted.key.address, self._is_broadcast)
                listed = (wanted, *listed)
            case EditDestination(destination=wanted):
                wanted = _settled(service, wanted)
                at = _index(listed, wanted.key)
                listed = (*listed[:at], wanted, *listed[at + 1 :])
            case DeleteDestination(destination=gone):
                at = _index(listed, gone)
                listed = listed[:at] + listed[at + 1 :]
        self.services[edit.service] = (service, listed)

    def _local_addresses(self, edit: AddLocalAddress | DeleteLocalAddress) -> None:
        service, destinations = self._entry(edit.service)
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
        _check_service(service)
        self.services[edit.service] = (service, destinations)


def _index(destinations: tuple[Destination, ...], key: DestinationKey) -> int:
    for at, each in enumerate(destinations):
        if each.key == key:
            return at
    raise Problem(Code.NO_SUCH_DESTINATION, "No such destination", "/destination")


def _check_service(service: Service) -> None:
    key = service.key
    if service.scheduler not in SCHEDULERS:
        raise Problem(
            Code.NO_SUCH_SCHEDULER,
            f"there is no scheduler {service.scheduler!r}",
            "/service/scheduler",
        )
    if service.persistence_engine and service.persistence_engine not in PERSISTENCE_ENGINES:
        raise Problem(
            Code.NO_SUCH_SCHEDULER,
            f"there is no persistence engine {service.persistence_engine!r}",
            "/service/persistence_engine",
        )
    if key.protocol is Protocol.FWM:
        if not 0 < key.fwmark < 2**32 or key.address is not None or key.port:
            raise Problem(
                Code.INVALID,
                "a mark service has a fwmark from 1 to 4294967295 and no address or port",
                "/service/key",
            )
    elif key.address is None or key.fwmark or not 0 <= key.port <= PORT_MAX:
        raise Problem(
            Code.INVALID,
            f"a {key.protocol} service has an address, a port from 0 to {PORT_MAX} and no fwmark",
            "/service/key",
        )
    elif key.family is not Family.INET:
        raise Problem(
            Code.INVALID,
            "the family is spelled for mark services only: an address says it itself",
            "/service/key/family",
        )
    _check_numbers(service)


def _check_numbers(service: Service) -> None:
    if not 0 <= service.persistence_timeout <= PERSISTENCE_MAX:
        raise Problem(
            Code.INVALID,
            f"the persistence time-out is 0 to {PERSISTENCE_MAX} s",
            "/service/persistence_timeout",
        )
    if not 0 <= service.flags <= FLAGS_MAX:
        raise Problem(Code.INVALID, f"flags are 0 to {FLAGS_MAX}", "/service/flags")
    if any(each.version != _version(service.key) for each in service.local_addresses):
        raise Problem(
            Code.INVALID,
            "local addresses are of the service's family",
            "/service/local_addresses",
        )
    if service.netmask and not _is_mask(service.netmask, _version(service.key)):
        raise Problem(
            Code.INVALID,
            "the netmask is an IPv4 mask such as 255.255.255.0, or an IPv6 prefix length 1 to 128",
            "/service/netmask",
        )


def _is_mask(text: str, version: int) -> bool:
    if version == _IPV6:
        return text.isdecimal() and 1 <= int(text) <= IPv6Address(0).max_prefixlen
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _check_unicast(address: Address, is_broadcast: Callable[[Address], bool]) -> None:
    if isinstance(address, IPv4Address):
        unicast = not (address in _NO_UNICAST or address.is_multicast or is_broadcast(address))
    else:
        unicast = not (
            address.is_multicast
            or address.is_unspecified
            or address.is_link_local
            or address.ipv4_mapped
        )
    if not unicast:
        raise Problem(
            Code.INVALID,
            f"{address} cannot be a real server: it is no unicast address",
            "/destination/key/address",
        )


def _settled(service: Service, wanted: Destination) -> Destination:
    """The destination as it is kept; Problem if it is refused.

    DR and TUN do not translate ports: the port is the service's whatever is asked.
    A mark service has no port, so there the destination keeps its own.
    """
    address = wanted.key.address
    if address.version != _version(service.key) and wanted.method is not Method.TUN:
        raise Problem(
            Code.INVALID,
            f"{address} is of another family than the service: only tun forwards across",
            "/destination/key/address",
        )
    if not 0 <= wanted.key.port <= PORT_MAX:
        raise Problem(Code.INVALID, f"a port is 0 to {PORT_MAX}", "/destination/key/port")
    if not 0 <= wanted.weight <= WEIGHT_MAX:
        raise Problem(
            Code.OUT_OF_RANGE, f"the weight must be 0 to {WEIGHT_MAX}", "/destination/weight"
        )
    for name in ("upper_threshold", "lower_threshold"):
        if not 0 <= getattr(wanted, name) <= THRESHOLD_MAX:
            raise Problem(
                Code.OUT_OF_RANGE,
                f"a threshold must be 0 to {THRESHOLD_MAX}",
                f"/destination/{name}",
            )
    if wanted.lower_threshold > wanted.upper_threshold:
        raise Problem(
            Code.OUT_OF_RANGE,
            "the lower threshold must not be above the upper one",
            "/destination/lower_threshold",
        )
    untranslated = wanted.method in (Method.DR, Method.TUN)
    by_address = service.key.protocol is not Protocol.FWM
    if untranslated and by_address and wanted.key.port != service.key.port:
        key = msgspec.structs.replace(wanted.key, port=service.key.port)
        return msgspec.structs.replace(wanted, key=key)
    return wanted


def _version(key: ServiceKey) -> int:
    if key.address is not None:
        return key.address.version
    return 6 if key.family is Family.INET6 else 4


def _timeouts(now: Timeouts, edit: SetTimeouts) -> Timeouts:
    for name in ("tcp", "tcp_fin", "udp"):
        if not 0 <= getattr(edit, name) <= TIMEOUT_MAX:
            raise Problem(Code.INVALID, f"a time-out must be 0 to {TIMEOUT_MAX} s", f"/{name}")
    return Timeouts(
        tcp=edit.tcp or now.tcp,
        tcp_fin=edit.tcp_fin or now.tcp_fin,
        udp=edit.udp or now.udp,
    )
