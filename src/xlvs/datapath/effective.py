# SPDX-License-Identifier: Apache-2.0
"""What the maps should hold: a pure function of what is wanted and what is observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from xlvs.datapath import slots, support, syn_promise
from xlvs.datapath.addresses import AF_INET, AF_INET6, family, packed
from xlvs.datapath.admission import admission, counts
from xlvs.datapath.identity import FreeIds, Identities
from xlvs.datapath.marks import Compiler, Marks
from xlvs.datapath.observed import Observed, Way, interfaces, way_to
from xlvs.datapath.purposes import Purposes
from xlvs.datapath.records import (
    NO_ADDRESS,
    Admission,
    Destination,
    DestinationFlag,
    NextHop,
    PortBlock,
    Scheduler,
    Service,
    ServiceFlag,
    ServiceKey,
    Settings,
    State,
    SynCookies,
)
from xlvs.datapath.tables import (
    EMPTY,
    Capacity,
    Have,
    Release,
    Servers,
    Tables,
    check_blocks,
)
from xlvs.datapath.word import CLOSED
from xlvs.model import service as model
from xlvs.model import settings
from xlvs.model.desired import Desired
from xlvs.model.local_pool import Pools, addresses_of
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address
from xlvs.schedulers import maglev, wrr

TIMEOUTS = {
    State.NONE: 3,
    State.ESTABLISHED: 900,
    State.SYN_SENT: 120,
    State.SYN_RECV: 60,
    State.FIN_WAIT: 120,
    State.TIME_WAIT: 120,
    State.CLOSE: 10,
    State.CLOSE_WAIT: 60,
    State.LAST_ACK: 30,
    State.LISTEN: 120,
    State.SYNACK: 120,
    State.UDP: 300,
    State.SCTP_INIT1: 4,
    State.SCTP_INIT: 61,
    State.SCTP_COOKIE_SENT: 61,
    State.SCTP_COOKIE_REPLIED: 61,
    State.SCTP_COOKIE_WAIT: 61,
    State.SCTP_COOKIE: 61,
    State.SCTP_COOKIE_ECHOED: 61,
    State.SCTP_ESTABLISHED: 900,
    State.SCTP_SHUTDOWN_SENT: 61,
    State.SCTP_SHUTDOWN_RECEIVED: 61,
    State.SCTP_SHUTDOWN_ACK_SENT: 61,
    State.SCTP_REJECTED: 4,
    State.SCTP_CLOSED: 61,
    State.ABANDONED: 60,
    **dict.fromkeys(CLOSED, 120),
}
"""Seconds, IPVS's. SCTP's are a first (3 s) or the longest (60 s) time-out of its
retransmissions (RFC 9260 16) and one second; ``ipvsadm --set`` does not change them. CLOSED is
ours: both ends are told if they send something within that time."""

# Ticks are compared by their difference, as signed 32 bits. The slack is for a reader
# whose clock is some ticks behind the writer's.
_TICKS_MAX = (1 << 31) - (1 << 16)

_compiled = Compiler()
_NUMBERS = 1 << 32  # of sets of mark rules
_U32 = 0xFFFFFFFF

# Plain numbers: there may be thousands of destinations.
_AVAILABLE = int(DestinationFlag.AVAILABLE)
_LOCAL = int(DestinationFlag.LOCAL)
_RESOLVED = int(DestinationFlag.RESOLVED)
_CLIENT_PORT = int(DestinationFlag.CLIENT_PORT)
_FTP = int(DestinationFlag.FTP)
_COUNTED = int(DestinationFlag.COUNTED)
_FULLNAT = support.METHODS[model.Method.FULLNAT]
_METHODS = {method: int(number) for method, number in support.METHODS.items()}
_TUNNELS = {tunnel: int(number) for tunnel, number in support.TUNNELS.items()}
NOTHING_RELEASED = Release()
_SPREAD_MAX = 32  # packets change an address's last word only


class Options(NamedTuple):
    """What the daemon was started with, and what it has found out since.

    ``tunnel_sources``: prefixes out of which tunnel packets get a source that varies by
    flow, one at most of each family. ``drop_rate``, ``drop_entry`` and ``secure_tcp`` are
    what the defence does now (``xlvs.engine.defence``), as in the settings map.
    ``local_clients``: packets that the director sends to a virtual address count too.
    ``standby``: virtual addresses that another director holds now. ``sync``: the data path
    tells of changes of connections. ``attacked``: services with SYN proxy ``auto`` that need it.
    ``syn_cookies``: what cookies are made of now. ``learnt``: what servers of such services do,
    which has to be what their clients are promised.
    """

    local_addresses: tuple[Address, ...] = ()
    tunnel_sources: tuple[IPv4Network | IPv6Network, ...] = ()
    drop_rate: int = 0
    drop_entry: int = 0
    secure_tcp: int = 0
    local_clients: bool = False
    standby: frozenset[Address] = frozenset()
    sync: bool = False
    attacked: frozenset[model.ServiceKey] = frozenset()
    learnt: Mapping[model.ServiceKey, syn_promise.Learnt] = EMPTY
    syn_cookies: SynCookies = SynCookies()


class Effective(NamedTuple):
    """What the maps should hold, and where each wanted thing is in them.

    ``destination_ids`` are in the order of the service's destinations. ``ways``: how
    each destination's address is reached.
    """

    tables: Tables = Tables()
    service_ids: Mapping[model.ServiceKey, int] = EMPTY
    destination_ids: Mapping[model.ServiceKey, tuple[int, ...]] = EMPTY
    ways: Mapping[Address, Way] = EMPTY


def service_key(key: model.ServiceKey) -> ServiceKey:
    """The key by which packets find the service."""
    if key.address is None:
        inet6 = key.family is model.Family.INET6
        return ServiceKey(fwmark=key.fwmark, family=AF_INET6 if inet6 else AF_INET)
    return ServiceKey(
        address=packed(key.address),
        port=key.port,
        protocol=support.PROTOCOLS[key.protocol],
        family=family(key.address),
    )


def _hashed(
    service: model.Service, destinations: Iterable[model.Destination]
) -> tuple[maglev.Server, ...]:
    """What of servers decides whose the slots are."""
    maglev_weighs = support.scheduler(service) is Scheduler.MH
    return tuple(
        maglev.Server(
            each.key.address.packed,
            each.key.port,
            support.hash_weight(service, each) if maglev_weighs else each.weight,
        )
        for each in destinations
    )


def addresses(desired: Desired) -> set[Address]:
    """Whose routes must be observed."""
    return {
        destination.key.address
        for _, destinations in desired.services.values()
        for destination in destinations
    }


def effective(  # noqa: PLR0917 - four values and their limits; all callers name them alike
    desired: Desired,
    observed: Observed,
    options: Options,
    have: Have,
    capacity: Capacity,
    release: Release = NOTHING_RELEASED,
    *,
    free: FreeIds | None = None,
) -> Effective:
    """What the maps should hold.

    ``have`` decides ids and the clock's rate only: what is there keeps its id.
    ``release``: what no connection names and need not be kept any longer. ``free``: ids
    for what is new, if ``have`` is not all that there is.
    Raises Problem: no room, or FULLNAT without local addresses.
    """
    work = _Work(desired, observed, options, Identities(have, capacity, release, free), have)
    Purposes(desired.pools, options.local_addresses).check(desired.services.values())
    for service, destinations in desired.services.values():
        work.add(service, destinations)
    work.keep_removed(release)
    listed = sum(len(s.ids) for s in work.servers.values())
    if 2 * listed > capacity.service_destinations:
        raise Problem(
            Code.NO_SPACE,
            f"there is no room for more than {capacity.service_destinations // 2} "
            "destinations in all lists together",
        )
    return work.result()


def _pool(
    service: model.Service,
    destinations: tuple[model.Destination, ...],
    pools: Pools,
    options: Options,
) -> tuple[bytes, ...]:
    """The service's local addresses: its own or a pool's, of its servers' family.

    Sorted, so that services with the same addresses share their ports.
    """
    towards = [d.key.address for d in destinations if d.method is model.Method.FULLNAT]
    if not towards:
        return ()
    versions = {address.version for address in towards}
    if len(versions) > 1:
        raise Problem(
            Code.NOT_SUPPORTED, "fullnat to IPv4 and IPv6 servers in one service is not there"
        )
    version = versions.pop()
    own = addresses_of(service, pools, options.local_addresses)
    pool = sorted({packed(a) for a in own if a.version == version})
    if not pool:
        raise Problem(
            Code.INVALID,
            f"fullnat needs local addresses: start xlvsd with --local-addresses (IPv{version}), "
            "make a pool (xlvs pool set default ADDRESS…), or give the service its own",
        )
    return tuple(pool)


class _Work:
    """The tables under construction."""

    def __init__(
        self,
        desired: Desired,
        observed: Observed,
        options: Options,
        ids: Identities,
        have: Have,
    ) -> None:
        self._desired = desired
        self._observed = observed
        self._options = options
        self._ids = ids
        self._there = have.tables
        self._busy_blocks = have.busy_blocks
        self._hz = have.hz
        self._fallback = settings.numbers(desired.settings)["xlvs.hash_fallback"]
        self._keys: dict[ServiceKey, int] = {}
        self._services: dict[int, Service] = {}
        self._admissions: dict[int, Admission] = {}
        self._counting = False
        self._destinations: dict[int, Destination] = {}
        self._port_blocks: dict[int, PortBlock] = {}
        self._port_rows: dict[int, tuple[int, ...]] = {}
        self._ways: dict[Address, Way] = {}
        self._places: dict[Address, Destination] = {}
        self._service_ids: dict[model.ServiceKey, int] = {}
        self._destination_ids: dict[model.ServiceKey, tuple[int, ...]] = {}
        self.servers: dict[int, Servers] = {}

    def add(self, service: model.Service, destinations: tuple[model.Destination, ...]) -> None:
        key = service_key(service.key)
        id_ = self._ids.service(key)
        pool = _pool(service, destinations, self._desired.pools, self._options)
        self._counting = counts(service)
        ids = tuple(self._add_destination(service, id_, key, pool, d) for d in destinations)
        flags = ServiceFlag.USED | support.flags(service)
        if service.key.address in self._options.standby:
            flags |= ServiceFlag.STANDBY
        if service.key in self._options.attacked and flags & ServiceFlag.SYN_PROXY:
            flags |= ServiceFlag.SYN_COOKIES
        if self._fallback and support.scheduler(service) in support.FALLING_BACK:
            flags |= ServiceFlag.HASH_FALLBACK
        flags |= self._admission(service, id_)
        promised = None
        if flags & ServiceFlag.SYN_PROXY:
            promised = self._promise(service, destinations, 6 if key.family == AF_INET6 else 4)
        own = service.timeouts
        self._keys[key] = id_
        self._services[id_] = Service(
            flags=int(flags),
            scheduler=int(support.scheduler(service)),
            persistence=self._ticks(service.persistence_timeout),
            key=key,
            mask=support.mask(service),
            timeout_tcp=self._ticks(own.tcp),
            timeout_tcp_fin=self._ticks(own.tcp_fin),
            timeout_udp=self._ticks(own.udp),
            syn_mss=promised.mss if promised else 0,
            syn_offers=int(promised.offers) if promised else 0,
            syn_scale=(promised.window_scale or 0) if promised else 0,
        )
        listed = Servers(ids, *wrr.numbers([each.weight for each in destinations]))
        scheduler = support.scheduler(service)
        if scheduler in slots.HASHING:
            hashed = _hashed(service, destinations)
            listed = listed._replace(owners=slots.owners(id_, scheduler, ids, hashed))
        self.servers[id_] = listed
        self._service_ids[service.key] = id_
        self._destination_ids[service.key] = ids

    def _promise(
        self, service: model.Service, destinations: tuple[model.Destination, ...], version: int
    ) -> syn_promise.Promise:
        ways = (self._ways[each.key.address].hop for each in destinations)
        learnt = self._options.learnt.get(service.key, syn_promise.NOTHING)
        mtus = (hop.mtu for hop in ways if hop is not None)
        return syn_promise.promise(service, version, mtus, learnt)

    def _admission(self, service: model.Service, id_: int) -> ServiceFlag:
        """Who may open connections; one that is otherwise takes the place that is not in force."""
        wanted = admission(service, self._desired.lists)
        if wanted is None:
            return ServiceFlag(0)
        self._admissions[id_] = wanted
        there = self._there.services.get(id_)
        other = bool(there and there.flags & ServiceFlag.ADMISSION_OTHER)
        if self._there.admissions.get(id_) != wanted:
            other = not other
        return ServiceFlag.ADMISSION | (ServiceFlag.ADMISSION_OTHER if other else ServiceFlag(0))

    def _add_destination(
        self,
        owner: model.Service,
        service: int,
        key: ServiceKey,
        pool: tuple[bytes, ...],
        wanted: model.Destination,
    ) -> int:
        port, method = wanted.key.port, wanted.method
        at = self._place(wanted.key.address)
        id_ = self._ids.destination((service, at.family, at.address, port))
        flags = at.flags
        if support.keeps_port(owner, wanted):
            flags |= _CLIENT_PORT
            if key.port == support.FTP_PORT and port:
                flags |= _FTP
        there = self._there.destinations.get(id_)
        # It stays as long as the id: connections may be there from before the limit went.
        if self._counting or (there is not None and there.flags & _COUNTED):
            flags |= _COUNTED
        place = 0
        if method is model.Method.FULLNAT:
            asked = 0 if flags & _CLIENT_PORT else port
            whose = [PortBlock(local, at.address, asked, key.protocol) for local in pool]
            place, blocks = self._ids.row(whose)
            self._port_rows[place] = blocks
            self._port_blocks.update(zip(blocks, whose, strict=True))
        self._destinations[id_] = Destination(
            address=at.address,
            gateway=at.gateway,
            tunnel_source=at.tunnel_source,
            next_hop=at.next_hop,
            flags=flags,
            weight=wanted.weight,
            service=service,
            port_row=place,
            port=port,
            method=_METHODS[method],
            family=at.family,
            route_ifindex=at.route_ifindex,
            upper_threshold=wanted.upper_threshold,
            lower_threshold=wanted.lower_threshold,
            overload_epoch=self._overload_epoch(id_, wanted.upper_threshold),
            tunnel_port=wanted.tunnel_port,
            tunnel_type=_TUNNELS[wanted.tunnel_type],
            tunnel_flags=wanted.tunnel_flags,
        )
        return id_

    def _place(self, address: Address) -> Destination:
        """What all destinations at an address have in common."""
        found = self._places.get(address)
        if found is None:
            way = self._ways[address] = way_to(self._observed, address)
            local = _LOCAL if way.local else 0
            resolved = 0 if way.hop is None else _RESOLVED
            found = self._places[address] = Destination(
                address=packed(address),
                gateway=packed(way.gateway) if way.gateway is not None else NO_ADDRESS,
                tunnel_source=packed(way.source) if way.source is not None else NO_ADDRESS,
                next_hop=way.hop or NextHop(),
                flags=_AVAILABLE | local | resolved,
                family=family(address),
                route_ifindex=way.ifindex,
            )
        return found

    def _overload_epoch(self, id_: int, upper: int) -> int:
        """A higher threshold ends an overload at once (the kernel's __ip_vs_update_dest).

        So does none, but then nobody looks.
        """
        there = self._there.destinations.get(id_)
        if there is None:
            return 0
        return (there.overload_epoch + (upper > there.upper_threshold)) & 0xFFFFFFFF

    def keep_removed(self, release: Release) -> None:
        """Removed destinations stay, as removed ones, and so do services and port blocks."""
        for id_, destination in self._there.destinations.items():
            if id_ in self._destinations or id_ in release.destinations:
                continue
            self._destinations[id_] = destination._replace(
                flags=destination.flags & ~_AVAILABLE, port_row=0
            )
            self._keep_service(destination.service)
        for block, whose in self._there.port_blocks.items():
            if block not in release.blocks:
                self._port_blocks.setdefault(block, whose)

    def _keep_service(self, id_: int) -> None:
        service = self._there.services.get(id_)
        if service is not None and id_ not in self._services:
            self._services[id_] = service._replace(flags=0, scheduler=int(Scheduler.NONE))
            self.servers[id_] = Servers()

    def result(self) -> Effective:
        marks = _compiled(self._desired.marks)
        tables = Tables(
            keys=self._keys,
            services=self._services,
            servers=self.servers,
            destinations=self._destinations,
            port_blocks=self._port_blocks,
            interfaces=interfaces(self._observed),
            marks=marks,
            port_rows=self._port_rows,
            admissions=self._admissions,
            client_lists={each.number: each for each in self._desired.lists.values()},
        )
        tables = tables._replace(settings=self._settings(marks, tables.counts()))
        named, busy = tables.blocks(), self._busy_blocks
        check_blocks(b for i, b in self._port_blocks.items() if i in named or i in busy)
        return Effective(tables, self._service_ids, self._destination_ids, self._ways)

    def _settings(self, marks: Marks, counts: Mapping[str, int]) -> Settings:
        seconds = dict(TIMEOUTS)
        timeouts = self._desired.timeouts
        seconds[State.ESTABLISHED] = timeouts.tcp
        seconds[State.FIN_WAIT] = timeouts.tcp_fin
        seconds[State.UDP] = timeouts.udp
        values = settings.numbers(self._desired.settings)
        on = {name: int(value != 0) for name, value in values.items()}
        spread4, source4 = _spread(self._options, 4)
        spread6, source6 = _spread(self._options, 6)
        there = self._there.settings.mark_set
        return Settings(
            **counts,
            conn_reuse_mode=values["conn_reuse_mode"] & _U32,  # bits: 2 is one of its own
            expire_nodest_conn=on["expire_nodest_conn"],
            sloppy_tcp=on["sloppy_tcp"],
            pmtu_disc=on["pmtu_disc"],
            nat_icmp_send=on["nat_icmp_send"],
            sloppy_sctp=on["sloppy_sctp"],
            schedule_icmp=on["schedule_icmp"],
            cache_bypass=on["cache_bypass"],
            expire_quiescent_template=on["expire_quiescent_template"],
            snat_reroute=on["snat_reroute"],
            lblc_expiration=self._ticks(values["lblc_expiration"]),
            lblcr_expiration=self._ticks(values["lblcr_expiration"]),
            secure_tcp=self._options.secure_tcp,
            drop_rate=self._options.drop_rate,
            drop_entry=self._options.drop_entry,
            reset=values["xlvs.reset"],
            reschedule=values["xlvs.reschedule"],
            answer_rate=values["xlvs.icmp_answers_per_second"],
            toa_kind=values["xlvs.toa_kind"],
            spread4=spread4,
            spread6=spread6,
            sync=int(self._options.sync),
            local_clients=int(self._options.local_clients),
            spread_source4=source4,
            spread_source6=source6,
            mark_set=there if marks == self._there.marks else (there + 1) % _NUMBERS,
            mark_rules=len(self._desired.marks),
            timeout=tuple(self._ticks(seconds[state]) for state in State),
            syn_cookies=self._options.syn_cookies,
        )

    def _ticks(self, seconds: int) -> int:
        return max(0, min(seconds * self._hz, _TICKS_MAX))


def _spread(options: Options, version: int) -> tuple[int, bytes]:
    """How many of a tunnel source's last bits vary by flow, 32 at most, and the others."""
    for network in options.tunnel_sources:
        if network.version == version:
            bits = network.max_prefixlen - network.prefixlen
            return min(bits, _SPREAD_MAX), packed(network.network_address)
    return 0, NO_ADDRESS
