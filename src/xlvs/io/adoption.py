# SPDX-License-Identifier: Apache-2.0
"""What a starting daemon takes over: the maps, and what was saved beside them.

The maps are what packets obey; the file is what was asked for last. Where they
differ, a daemon was killed between writing the one and the other, and the file is
right: it is written first. Without a usable file, what is wanted is read off the maps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xlvs.datapath import support
from xlvs.datapath.addresses import unpacked
from xlvs.datapath.records import DestinationFlag, Service, ServiceFlag, State
from xlvs.datapath.service_key import asked_key
from xlvs.datapath.tables import Have
from xlvs.io.ledger import Ledger
from xlvs.io.statefile import Saved
from xlvs.model import service as model
from xlvs.model import settings
from xlvs.model.client_list import of_records
from xlvs.model.desired import Desired, Timeouts
from xlvs.model.drain import Drained
from xlvs.schedulers import maglev

_SCHEDULERS = {int(number): name for name, number in support.SCHEDULERS.items()}
_TUNNELS = {int(number): kind for kind, number in support.TUNNELS.items()}
_METHODS = {int(number): method for method, number in support.METHODS.items()}


class Adopted(NamedTuple):
    """What there is, what is wanted, counters' baselines, and what to tell the operator."""

    have: Have
    desired: Desired
    ledger: Ledger
    remarks: tuple[str, ...] = ()


def adopt(have: Have, load: Callable[[], Saved | None], *, running: bool) -> Adopted:
    """``running``: the data path ran before. ``load`` may raise ValueError."""
    if not running:
        return Adopted(have, Desired(), Ledger())
    try:
        saved = load()
    except ValueError as error:
        return _from_maps(have, f"the saved state cannot be read ({error})")
    if saved is None:
        return _from_maps(have, "there is no saved state")
    desired = desired_of(saved)
    ledger = Ledger(saved.service_baselines, saved.destination_baselines, saved.retired)
    return Adopted(have, desired, ledger)


def desired_of(saved: Saved) -> Desired:
    """What the file says is wanted."""
    there = {
        (each.service.key, destination.key)
        for each in saved.services
        for destination in each.destinations
    }
    return Desired(
        services={
            each.service.key: (each.service, tuple(each.destinations)) for each in saved.services
        },
        timeouts=saved.timeouts,
        marks=tuple(saved.marks),
        settings=settings.known(saved.settings),
        drains={
            Drained(each.service, each.destination): each.drain
            for each in saved.drains
            if (each.service, each.destination) in there
        },
        sync=saved.sync,
        pools=saved.pools,
        lists={name: of_records(each) for name, each in saved.lists.items()},
    )


def _from_maps(have: Have, why: str) -> Adopted:
    desired = desired_from(have)
    if not desired.services and not have.tables.settings.mark_rules:
        return Adopted(have, desired, Ledger())
    remark = (
        f"{why}: services were read off the running data path; mark rules, persistence, "
        "flags but those of mh and sh, tunnel options, settings, drains, lists of clients, "
        "limits and what SYN proxy is to promise are lost"
    )
    return Adopted(have, desired, Ledger(), (remark,))


def desired_from(have: Have) -> Desired:
    """What is wanted, as far as the maps tell."""
    tables, pools = have.tables, have.tables.pools()
    services = {}
    for id_, record in tables.services.items():
        if not record.flags & ServiceFlag.USED:
            continue
        service = _service(record, pools.get(id_, ()), have.hz)
        listed = tables.servers[id_].ids if id_ in tables.servers else ()
        destinations = tuple(
            model.Destination(
                key=model.DestinationKey(address=unpacked(d.address), port=d.port),
                method=_METHODS[d.method],
                weight=d.weight,
                upper_threshold=d.upper_threshold,
                lower_threshold=d.lower_threshold,
                tunnel_type=_TUNNELS[d.tunnel_type],
                tunnel_port=d.tunnel_port,
                tunnel_flags=d.tunnel_flags,
            )
            for d in (tables.destinations[i] for i in listed if i in tables.destinations)
            if d.flags & DestinationFlag.AVAILABLE
        )
        services[service.key] = (service, destinations)
    seconds = [ticks // have.hz for ticks in tables.settings.timeout]
    timeouts = Timeouts()
    if any(seconds):
        timeouts = Timeouts(
            tcp=seconds[State.ESTABLISHED],
            tcp_fin=seconds[State.FIN_WAIT],
            udp=seconds[State.UDP],
        )
    return Desired(services=services, timeouts=timeouts)


def _flags(bits: int) -> int:
    fallback = maglev.FALLBACK if bits & ServiceFlag.HASH_FALLBACK else 0
    port = maglev.PORT if bits & ServiceFlag.HASH_PORT else 0
    return fallback | port


def _service(record: Service, pool: tuple[bytes, ...], hz: int) -> model.Service:
    own = bool(record.flags & ServiceFlag.OWN_TIMEOUTS)
    return model.Service(
        key=asked_key(record.key),
        scheduler=_SCHEDULERS.get(record.scheduler, "wlc"),
        one_packet=bool(record.flags & ServiceFlag.ONE_PACKET),
        flags=_flags(record.flags),
        stateless=bool(record.flags & ServiceFlag.STATELESS),
        persistence_timeout=300 if record.flags & ServiceFlag.PERSISTENT else 0,
        local_addresses=tuple(map(unpacked, pool)),
        timeouts=model.ServiceTimeouts(
            tcp=record.timeout_tcp // hz,
            tcp_fin=record.timeout_tcp_fin // hz,
            udp=record.timeout_udp // hz,
        )
        if own
        else model.NO_TIMEOUTS,
        toa=bool(record.flags & ServiceFlag.TOA),
        proxy_protocol=next(
            (name for name, bit in support.PROXY.items() if record.flags & bit),
            model.ProxyProtocol.OFF,
        ),
        proxy_tlvs=tuple(name for name, bit in support.PROXY_TLVS.items() if record.flags & bit),
        syn_proxy=_syn_proxy(record),
    )


def _syn_proxy(record: Service) -> model.SynProxy:
    if not record.flags & ServiceFlag.SYN_PROXY:
        return model.NO_SYN_PROXY
    # Of one that switches itself on it is not to be seen whether it has.
    always = record.flags & ServiceFlag.SYN_COOKIES
    return model.SynProxy(
        mode=model.SynProxyMode.ON if always else model.SynProxyMode.AUTO,
    )
