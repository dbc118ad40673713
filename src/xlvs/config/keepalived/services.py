# SPDX-License-Identifier: Apache-2.0
"""From what a ``virtual_server`` says to services with real servers.

A group's members are services of their own that share their real servers. What keepalived
mends with a message is mended the same way, with a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from xlvs.config.keepalived.checkers import WITH_PORT, made_check
from xlvs.config.keepalived.client_lists import limits
from xlvs.config.keepalived.endpoints import Member
from xlvs.config.keepalived.forwarding import DEFAULT, Forwarding
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Values
from xlvs.config.keepalived.tree import Node
from xlvs.model.checker import AnyCheck, RealServer, VirtualService
from xlvs.model.checks import (
    check_fits,
    check_service,
    check_unicast,
)
from xlvs.model.problem import Problem
from xlvs.model.service import (
    NO_SYN_PROXY,
    NO_TIMEOUTS,
    Address,
    Destination,
    DestinationKey,
    Family,
    Method,
    Protocol,
    ProxyProtocol,
    Service,
    ServiceKey,
    ServiceTimeouts,
    SynProxy,
)

PERSISTENT = 360
_IPV6 = 6

_FLAGS = {
    "flag-1": ("", 1),
    "flag-2": ("", 2),
    "flag-3": ("", 4),
    "sh-fallback": ("sh", 1),
    "sh-port": ("sh", 2),
    "mh-fallback": ("mh", 1),
    "mh-port": ("mh", 2),
}
"""The scheduler that a flag is for, and its bit (IP_VS_SVC_F_SCHED*)."""


def _is_broadcast(_: Address) -> bool:
    """Subnets are the machine's, which is not asked here."""
    return False


def finish_services(reading: Reading) -> None:
    """Make all services of what was read. Problems are noted."""
    seen: dict[ServiceKey, Node] = {}
    for node, values in reading.pending_services:
        try:
            made = list(_services(reading, node, values))
        except Wrong as wrong:
            reading.findings.problem(node.place(wrong.index), wrong.message)
            continue
        for each in made:
            other = seen.setdefault(each.service.key, node)
            if other is not node:
                reading.findings.problem(
                    node.place(), f"{each.name}: the same service is at {other.place()}"
                )
            else:
                reading.services.append(each)


def _services(reading: Reading, node: Node, values: Values) -> Iterator[VirtualService]:
    members = _members(reading, node, values)
    if not members:
        return
    remark = reading.findings.remark
    if not values["real_servers"]:
        remark(node.place(), "the virtual server has no real servers and is left out")
        return
    by_address = any(each.address is not None for each in members)
    protocol = _protocol(reading, node, values, by_address=by_address)
    if values.get("one_packet") and by_address and protocol is not Protocol.UDP:
        remark(node.place(), "ops is for UDP only and has no effect")
        del values["one_packet"]
    _persistence(reading, node, values, members)
    if "lvs_sched" not in values:
        remark(node.place(), "no lvs_sched is said: it is wlc")
    if values.get("ha_suspend") and not all(each.address is not None for each in members):
        remark(node.place(), "ha_suspend does not go with fwmark and has no effect")
        del values["ha_suspend"]
    flags = _flags(reading, values)
    family = _family(reading, node, values, members)
    servers = _RealServers(reading, node, values, family)
    by_port = _shared(servers, members)
    _quorum(reading, node, values, next(iter(by_port.values()))[0])
    common = _common(reading, values)
    for member in members:
        service = _service(reading, values, member, protocol, family, flags)
        real_servers, sorry = by_port[_port_key(member)]
        for each in real_servers:
            _model(partial(check_fits, service, each.destination))
        if sorry is not None:
            _model(partial(check_fits, service, sorry))
        yield VirtualService(
            name=values["name"],
            service=service,
            real_servers=real_servers,
            sorry_server=sorry,
            **common,
        )


def _members(reading: Reading, node: Node, values: Values) -> list[Member]:
    if "group" in values:
        members = reading.server_groups.get(values["group"])
        if members is None:
            return []  # noted as a name that is not there
        if not members:
            reading.findings.remark(
                node.place(2), f"the group {values['group']} is empty: no service is made"
            )
        return members
    if "fwmark" in values:
        return [Member(None, 0, values["fwmark"], None)]
    return [Member(values["address"], values["port"])]


def _protocol(reading: Reading, node: Node, values: Values, *, by_address: bool) -> Protocol:
    said: Protocol | None = values.get("protocol")
    if not by_address:
        if said is not None:
            reading.findings.remark(node.place(), "protocol has no effect with fwmark")
        return Protocol.FWM
    if said is None:
        reading.findings.remark(node.place(), "no protocol is said: it is UDP, as in keepalived")
        return Protocol.UDP
    return said


def _persistence(reading: Reading, node: Node, values: Values, members: list[Member]) -> None:
    if "persistence_timeout" in values:
        return
    if "netmask" in values:
        values["persistence_timeout"] = PERSISTENT
    elif any(each.address is not None and not each.port for each in members):
        reading.findings.remark(
            node.place(), f"no port is said: the service is persistent, for {PERSISTENT} s"
        )
        values["persistence_timeout"] = PERSISTENT


def _flags(reading: Reading, values: Values) -> int:
    bits = 0
    for line in values.get("flags", ()):
        scheduler, bit = _FLAGS[line.words[0]]
        if scheduler and scheduler != values.get("lvs_sched"):
            reading.findings.remark(
                line.place(), f"{line.words[0]} is for the scheduler {scheduler}: no effect"
            )
        else:
            bits |= bit
    return bits


def _family(reading: Reading, node: Node, values: Values, members: list[Member]) -> Family:
    """Of the service: its address's, else what is said, else its servers' if not tunnelled."""
    versions = {each.address.version for each in members if each.address is not None}
    said: Family | None = values.get("ip_family")
    if len(versions) > 1:
        raise Wrong(
            "the group has IPv4 and IPv6 addresses: make a group, and a virtual server, of each", 2
        )
    if versions:
        family = Family.INET6 if versions.pop() == _IPV6 else Family.INET
        if said not in (None, family):
            raise Wrong(f"ip_family {said} is not that of the address")
        return family
    if said is not None:
        return said
    of_servers = {where[0].version for _, where, _ in values["real_servers"]}
    if "sorry_server" in values and not of_servers:
        of_servers = {values["sorry_server"][0].version}
    if len(of_servers) > 1:
        reading.findings.remark(node.place(), "no ip_family is said: it is inet")
    return Family.INET6 if of_servers == {_IPV6} else Family.INET


class _RealServers:
    """The real servers of one virtual server, as destinations of a port of its."""

    def __init__(self, reading: Reading, node: Node, values: Values, family: Family) -> None:
        self._reading = reading
        self._node = node
        self._values = values
        self._family = family
        self._said: set[tuple[int, int]] = set()
        self._servers: list[tuple[Node, tuple[Address, int], Forwarding, int, Values]] = []
        self._made: list[tuple[tuple[AnyCheck, ...], Values]] = []
        forwarding = values.get("forwarding")
        for line, where, found in values["real_servers"]:
            try:
                self._add(line, where, found, forwarding)
            except Wrong as wrong:
                reading.findings.problem(line.place(wrong.index), wrong.message)
        if forwarding is None and any(
            "forwarding" not in found for _, _, found in values["real_servers"]
        ):
            reading.findings.remark(node.place(), "no lvs_method is said: it is NAT")

    def _add(  # noqa: C901  # one thing after the other that can be wrong
        self, line: Node, where: tuple[Address, int], found: Values, of_service: Forwarding | None
    ) -> None:
        reading, values = self._reading, self._values
        forwarding: Forwarding = found.get("forwarding") or of_service or DEFAULT
        version = _IPV6 if self._family is Family.INET6 else 4
        if where[0].version != version and forwarding.method is not Method.TUN:
            raise Wrong(
                f"{where[0]} is of another family than the service: only TUN forwards across", 1
            )
        _model(partial(check_unicast, where[0], _is_broadcast), 1)
        upper, lower = found.get("uthreshold", 0), found.get("lthreshold", 0)
        if lower > upper:
            raise Wrong("lthreshold is above uthreshold")
        if forwarding.method is Method.FULLNAT and "laddr_group_name" not in values:
            raise Wrong("FNAT needs local addresses: laddr_group_name in the virtual server")
        checks: list[AnyCheck] = []
        # Destinations of a mark or of a group's members may have other ports, or none: what
        # is checked stays the server's port.
        shared = where[1] if "group" in values or "fwmark" in values else 0
        for pending in found.get("checks", ()):
            if shared and pending[0].words[0] in WITH_PORT:
                pending[1].setdefault("connect_port", shared)
            try:
                checks.append(made_check(reading, pending, found, values))
            except Wrong as wrong:
                reading.findings.problem(pending[0].place(wrong.index), wrong.message)
        fields: Values = {}
        for name in ("notify_up", "notify_down"):
            if name in found:
                fields[name] = found[name]
        for name in ("inhibit_on_failure", "virtualhost", "slow_start"):
            each = found.get(name, values.get(name))
            if each is not None:
                fields[name] = each
        if "smtp_alert" in found:
            fields["smtp_alert"] = found["smtp_alert"]
        if "smtp_alert" not in fields:
            said = reading.globals
            # Of servers keepalived sends alerts unless told otherwise, of services it does not.
            fields["smtp_alert"] = said.get("smtp_alert_checker", said.get("smtp_alert", True))
        weight: int = found["weight"] if "weight" in found else values.get("weight", 1)
        self._servers.append((line, where, forwarding, weight, found))
        self._made.append((tuple(checks), fields))

    def of_port(self, port: int | None) -> tuple[RealServer, ...]:
        """Real servers of a service with that port; None: of a mark, which has none."""
        made: list[RealServer] = []
        seen: dict[DestinationKey, Node] = {}
        for (line, where, forwarding, weight, found), (checks, fields) in zip(
            self._servers, self._made, strict=True
        ):
            key = self._key(line, where, forwarding, port)
            other = seen.setdefault(key, line)
            if other is not line:
                self._reading.findings.problem(
                    line.place(1), f"the same real server is at {other.place(1)}"
                )
                continue
            made.append(
                RealServer(
                    destination=Destination(
                        key=key,
                        method=forwarding.method,
                        weight=weight,
                        upper_threshold=found.get("uthreshold", 0),
                        lower_threshold=found.get("lthreshold", 0),
                        tunnel_type=forwarding.tunnel_type,
                        tunnel_port=forwarding.tunnel_port,
                        tunnel_flags=forwarding.tunnel_flags,
                    ),
                    checks=checks,
                    **fields,
                )
            )
        return tuple(made)

    def sorry(self, port: int | None) -> Destination | None:
        """The sorry server of a service with that port."""
        values = self._values
        if "sorry_server" not in values:
            for name in ("sorry_server_inhibit", "sorry_forwarding"):
                if values.pop(name, None) is not None:
                    self._reading.findings.remark(
                        self._node.place(), "what is said of a sorry_server: there is none"
                    )
            return None
        line, where = values["sorry_node"], values["sorry_server"]
        forwarding: Forwarding = (
            values.get("sorry_forwarding") or values.get("forwarding") or DEFAULT
        )
        version = _IPV6 if self._family is Family.INET6 else 4
        if where[0].version != version and forwarding.method is not Method.TUN:
            self._reading.findings.problem(
                line.place(1), "the sorry server is of another family than the service"
            )
        return Destination(
            key=self._key(line, where, forwarding, port),
            method=forwarding.method,
            tunnel_type=forwarding.tunnel_type,
            tunnel_port=forwarding.tunnel_port,
            tunnel_flags=forwarding.tunnel_flags,
        )

    def _key(
        self, line: Node, where: tuple[Address, int], forwarding: Forwarding, port: int | None
    ) -> DestinationKey:
        """Address and port of a server: without NAT its port is the service's."""
        address, own = where
        if port is None:
            if own and forwarding.method in (Method.DR, Method.TUN):
                self._once(line, "the service is a fwmark's: the server's port has no effect")
                own = 0
        elif not own:
            own = port
        elif own != port and forwarding.method in (Method.DR, Method.TUN):
            self._once(
                line,
                f"{forwarding.method.value.upper()} does not translate ports: {own} has no "
                f"effect, it is the service's {port}",
            )
            own = port
        return DestinationKey(address=address, port=own)

    def _once(self, line: Node, message: str) -> None:
        key = (line.number, id(line))
        if key not in self._said:
            self._said.add(key)
            self._reading.findings.remark(line.place(2), message)


def _port_key(member: Member) -> int | None:
    return None if member.address is None else member.port


def _shared(
    servers: _RealServers, members: list[Member]
) -> dict[int | None, tuple[tuple[RealServer, ...], Destination | None]]:
    """Members of one port have the same real servers."""
    ports = dict.fromkeys(map(_port_key, members))
    return {port: (servers.of_port(port), servers.sorry(port)) for port in ports}


def _quorum(reading: Reading, node: Node, values: Values, servers: tuple[RealServer, ...]) -> None:
    total = sum(each.destination.weight for each in servers)
    quorum, hysteresis = values.get("quorum", 1), values.get("hysteresis", 0)
    if quorum > total and "quorum" in values:
        reading.findings.remark(
            node.place(), f"quorum {quorum} is above the weight of all servers: it is {total}"
        )
        quorum = total
    if hysteresis and hysteresis >= quorum:
        reading.findings.remark(
            node.place(),
            f"hysteresis {hysteresis} is not below quorum {quorum}: it is {max(0, quorum - 1)}",
        )
        hysteresis = max(0, quorum - 1)
    values["quorum"], values["hysteresis"] = quorum, hysteresis


_COMMON = (
    *("group", "sorry_server_inhibit", "quorum", "hysteresis", "quorum_up", "quorum_down"),
    *("alpha", "omega", "ha_suspend", "delay_loop", "virtualhost"),
)


def _common(reading: Reading, values: Values) -> Values:
    found: Values = {name: values[name] for name in _COMMON if name in values}
    said = reading.globals
    found["smtp_alert"] = values.get(
        "smtp_alert", said.get("smtp_alert_checker", said.get("smtp_alert", False))
    )
    return found


def _service(  # noqa: PLR0917  # what a service is made of
    reading: Reading,
    values: Values,
    member: Member,
    protocol: Protocol,
    family: Family,
    flags: int,
) -> Service:
    if member.address is None:
        key = ServiceKey(
            protocol=Protocol.FWM, fwmark=member.fwmark, family=member.family or family
        )
    else:
        key = ServiceKey(protocol=protocol, address=member.address, port=member.port)
    service = Service(
        key=key,
        scheduler=values.get("lvs_sched", "wlc"),
        persistence_timeout=values.get("persistence_timeout", 0),
        netmask=values.get("netmask", ""),
        persistence_engine=values.get("persistence_engine", ""),
        one_packet=values.get("one_packet", False),
        flags=flags,
        stateless=values.get("stateless", False),
        local_addresses=reading.local_addresses.get(values.get("laddr_group_name", ""), ()),
        timeouts=_timeouts(values),
        toa=values.get("toa", False),
        proxy_protocol=values.get("proxy_protocol", ProxyProtocol.OFF),
        proxy_tlvs=values.get("proxy_tlvs", ()),
        allow=values.get("allow", ()),
        deny=values.get("deny", ()),
        limits=limits(values),
        syn_proxy=_syn_proxy(values),
    )
    _model(partial(check_service, service))
    return service


def _timeouts(values: Values) -> ServiceTimeouts:
    said = {
        name: values[f"timeout_{name}"]
        for name in ("tcp", "tcp_fin", "udp")
        if f"timeout_{name}" in values
    }
    return ServiceTimeouts(**said) if said else NO_TIMEOUTS


_SYN_PROXY = {
    "syn_proxy": "mode",
    "syn_proxy_threshold": "threshold",
    "syn_proxy_mss": "mss",
    "syn_proxy_window_scale": "window_scale",
    "syn_proxy_sack": "sack",
    "syn_proxy_timestamps": "timestamps",
}


def _syn_proxy(values: Values) -> SynProxy:
    said = {field: values[name] for name, field in _SYN_PROXY.items() if name in values}
    return SynProxy(**said) if said else NO_SYN_PROXY


def _model(check: Callable[[], None], index: int = 0) -> None:
    """Runs a check of the model's; its Problem is about this place in the file."""
    try:
        check()
    except Problem as problem:
        raise Wrong(problem.message, index) from None
