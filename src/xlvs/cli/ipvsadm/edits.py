# SPDX-License-Identifier: Apache-2.0
"""Requests that change something, as edits."""

from __future__ import annotations

from collections.abc import Callable

from xlvs.cli.ipvsadm.options import Verb
from xlvs.cli.ipvsadm.request import HOST_MASK, HOST_PREFIX, Request
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
    StartSync,
    StopSync,
    Zero,
)
from xlvs.model.service import (
    Address,
    Destination,
    DestinationKey,
    Family,
    Limit,
    Limits,
    Protocol,
    Service,
    ServiceKey,
    ServiceTimeouts,
)
from xlvs.model.syncing import SyncRole


def edits(request: Request) -> list[AnyEdit]:
    """The edits that the request means: one, one for each address, none if it only reads."""
    make = _MAKERS.get(request.verb)
    return make(request) if make else []


def key(request: Request) -> ServiceKey:
    """The service that the request names."""
    if request.fwmark:
        family = Family.INET6 if request.ipv6 else Family.INET
        return ServiceKey(protocol=Protocol.FWM, fwmark=request.fwmark, family=family)
    if request.protocol is None:
        raise ValueError("the rules let no request without a service through")
    return ServiceKey(protocol=request.protocol, address=request.address, port=request.port)


def _service(request: Request) -> Service:
    host = HOST_PREFIX if request.ipv6 else HOST_MASK
    return Service(
        key=key(request),
        scheduler=request.scheduler,
        persistence_timeout=request.persistence,
        netmask="" if request.netmask == host else request.netmask,
        persistence_engine=request.engine,
        one_packet=request.one_packet,
        flags=request.flags,
        stateless=request.stateless,
        local_addresses=request.local_addresses,
        local_pool=request.local_pool,
        timeouts=ServiceTimeouts(
            tcp=request.own_timeouts.get("tcp-timeout", 0),
            tcp_fin=request.own_timeouts.get("tcpfin-timeout", 0),
            udp=request.own_timeouts.get("udp-timeout", 0),
        ),
        toa=request.toa,
        proxy_protocol=request.proxy_protocol,
        proxy_tlvs=request.proxy_tlvs,
        syn_proxy=request.syn_proxy,
        allow=request.lists.get("allow", ()),
        deny=request.lists.get("deny", ()),
        limits=Limits(
            client=_limit(request, "client"),
            service=_limit(request, "service"),
            client_prefix=request.limits.get("client-prefix", 0),
        ),
    )


def _limit(request: Request, whose: str) -> Limit:
    return Limit(
        connections=request.limits.get(f"{whose}-connections", 0),
        rate=request.limits.get(f"{whose}-rate", 0),
        burst=request.limits.get(f"{whose}-burst", 0),
    )


def _server(request: Request) -> DestinationKey:
    server: Address | None = request.server
    if server is None:
        raise ValueError("the rules let no request without a real server through")
    return DestinationKey(address=server, port=request.server_port)


def _destination(request: Request) -> Destination:
    return Destination(
        key=_server(request),
        method=request.method,
        weight=request.weight,
        upper_threshold=request.upper,
        lower_threshold=request.lower,
        tunnel_type=request.tunnel,
        tunnel_port=request.tunnel_port,
        tunnel_flags=request.tunnel_flags,
    )


def _edit_service(request: Request) -> list[AnyEdit]:
    keep = request.given.isdisjoint(("local-address", "local-pool"))
    return [EditService(service=_service(request), keep_local_addresses=keep)]


def _zero(request: Request) -> list[AnyEdit]:
    return [Zero(service=key(request) if "service-address" in request.given else None)]


def _set(request: Request) -> list[AnyEdit]:
    tcp, tcp_fin, udp = request.timeouts
    return [SetTimeouts(tcp=tcp, tcp_fin=tcp_fin, udp=udp)]


def _role(request: Request) -> SyncRole:
    if request.role is None:
        raise ValueError("the arguments let no daemon without a role through")
    return request.role


_MAKERS: dict[Verb, Callable[[Request], list[AnyEdit]]] = {
    Verb.ADD_SERVICE: lambda r: [AddService(service=_service(r))],
    Verb.EDIT_SERVICE: _edit_service,
    Verb.DELETE_SERVICE: lambda r: [DeleteService(key=key(r))],
    Verb.ADD_SERVER: lambda r: [AddDestination(service=key(r), destination=_destination(r))],
    Verb.EDIT_SERVER: lambda r: [EditDestination(service=key(r), destination=_destination(r))],
    Verb.DELETE_SERVER: lambda r: [DeleteDestination(service=key(r), destination=_server(r))],
    Verb.ADD_LOCAL_ADDRESS: lambda r: [
        AddLocalAddress(service=key(r), address=each) for each in r.local_addresses
    ],
    Verb.DELETE_LOCAL_ADDRESS: lambda r: [
        DeleteLocalAddress(service=key(r), address=each) for each in r.local_addresses
    ],
    Verb.CLEAR: lambda _: [Clear()],
    Verb.ZERO: _zero,
    Verb.SET: _set,
    Verb.START_DAEMON: lambda r: [StartSync(role=_role(r), channel=r.channel)],
    Verb.STOP_DAEMON: lambda r: [StopSync(role=_role(r))],
}
