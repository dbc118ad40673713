# SPDX-License-Identifier: Apache-2.0
"""All that is wanted of one director, and how an edit changes it.

The rules are the kernel's (``ip_vs_ctl``'s observable behaviour): a new
destination goes to the head of its service's list, an edited one keeps its place,
and whatever is refused leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from xlvs.model.edit import (
    AddDestination,
    AddService,
    AnyEdit,
    Clear,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    SetTimeouts,
    Zero,
)
from xlvs.model.problem import Code, Problem
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)

SCHEDULERS = frozenset(
    ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos")
)
"""The kernel's schedulers by name. Which of them run in the data path is not this layer's."""

PERSISTENCE_ENGINES = frozenset(("sip",))

WEIGHT_MAX = 2**31 - 1
"""Weights are a signed int in the kernel; ipvsadm accepts 0 to this."""

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


def apply(desired: Desired, edit: AnyEdit) -> Desired:  # noqa: C901, PLR0911  # one case for each edit
    """What is wanted after the edit. Raises Problem, and then nothing has changed."""
    match edit:
        case AddService(service=service):
            if service.key in desired.services:
                raise Problem(Code.SERVICE_EXISTS, "Service already exists", "/service/key")
            _check_service(service)
            return _with(desired, service, ())
        case EditService(service=service):
            _, destinations = desired.entry(service.key)
            _check_service(service)
            return _with(desired, service, destinations)
        case DeleteService(key=key):
            desired.entry(key)
            services = dict(desired.services)
            del services[key]
            return msgspec.structs.replace(desired, services=services)
        case AddDestination(service=key, destination=wanted):
            return _add(desired, key, wanted)
        case EditDestination(service=key, destination=wanted):
            service, destinations = desired.entry(key)
            wanted = _settled(service, wanted)
            at = _index(destinations, wanted.key)
            changed = (*destinations[:at], wanted, *destinations[at + 1 :])
            return _with(desired, service, changed)
        case DeleteDestination(service=key, destination=gone):
            service, destinations = desired.entry(key)
            at = _index(destinations, gone)
            return _with(desired, service, destinations[:at] + destinations[at + 1 :])
        case Clear():
            return msgspec.structs.replace(desired, services={})
        case SetTimeouts():
            return msgspec.structs.replace(desired, timeouts=_timeouts(desired.timeouts, edit))
        case Zero(service=named):
            if named is not None:
                desired.entry(named)
            return desired


def _with(desired: Desired, service: Service, destinations: tuple[Destination, ...]) -> Desired:
    services = {**desired.services, service.key: (service, destinations)}
    return msgspec.structs.replace(desired, services=services)


def _add(desired: Desired, key: ServiceKey, wanted: Destination) -> Desired:
    service, destinations = desired.entry(key)
    wanted = _settled(service, wanted)
    if any(each.key == wanted.key for each in destinations):
        raise Problem(Code.DESTINATION_EXISTS, "Destination already exists", "/destination/key")
    return _with(desired, service, (wanted, *destinations))


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
    elif key.address is None or key.fwmark or not 0 <= key.port <= 65535:  # noqa: PLR2004
        raise Problem(
            Code.INVALID,
            f"a {key.protocol} service has an address, a port from 0 to 65535 and no fwmark",
            "/service/key",
        )


def _settled(service: Service, wanted: Destination) -> Destination:
    """The destination as the kernel keeps it; Problem if it refuses it.

    DR and TUN do not translate ports: the port is the service's whatever is asked.
    """
    address = wanted.key.address
    if address.is_multicast or address.is_unspecified:
        raise Problem(
            Code.INVALID,
            f"{address} cannot be a real server: it is no unicast address",
            "/destination/key/address",
        )
    virtual = service.key.address
    mixed = virtual is not None and virtual.version != address.version
    if mixed and wanted.method is not Method.TUN:
        raise Problem(
            Code.INVALID,
            f"{address} and {virtual} are of different families: only tun forwards across",
            "/destination/key/address",
        )
    if not 0 <= wanted.weight <= WEIGHT_MAX:
        raise Problem(
            Code.OUT_OF_RANGE, f"the weight must be 0 to {WEIGHT_MAX}", "/destination/weight"
        )
    if wanted.lower_threshold > wanted.upper_threshold:
        raise Problem(
            Code.OUT_OF_RANGE,
            "the lower threshold must not be above the upper one",
            "/destination/lower_threshold",
        )
    if wanted.method in (Method.DR, Method.TUN) and wanted.key.port != service.key.port:
        key = msgspec.structs.replace(wanted.key, port=service.key.port)
        return msgspec.structs.replace(wanted, key=key)
    return wanted


def _timeouts(now: Timeouts, edit: SetTimeouts) -> Timeouts:
    for name in ("tcp", "tcp_fin", "udp"):
        if not 0 <= getattr(edit, name) <= TIMEOUT_MAX:
            raise Problem(Code.INVALID, f"a time-out must be 0 to {TIMEOUT_MAX} s", f"/{name}")
    return Timeouts(
        tcp=edit.tcp or now.tcp,
        tcp_fin=edit.tcp_fin or now.tcp_fin,
        udp=edit.udp or now.udp,
    )
