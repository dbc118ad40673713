# SPDX-License-Identifier: Apache-2.0
"""How a hand-made packet goes to a real server, and whose answer is expected: by the method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from xlvs.datapath.observed import Way
from xlvs.datapath.records import NextHop
from xlvs.model.service import Address, Destination, Method, Protocol, Service
from xlvs.protocols.checks import packets
from xlvs.protocols.checks.outcome import Outcome


class Impossible(Exception):  # noqa: N818  # it says why there is nothing to ask
    """No such probe can be made; the text says why."""


class Question(NamedTuple):
    """What is asked of a UDP service, and what a reply means (None: nothing, wait on).

    ``silence``: what it means that nothing came; None: failure.
    """

    payload: bytes
    judge: Callable[[bytes], Outcome | None]
    silence: Outcome | None = None


class Passage(NamedTuple):
    """``source``: ours. ``peer``: who answers, with a port. ``claims``: whether it is wrong
    that the server answers ARP for ``peer``. ``by_gateway``: the answer has to come by the
    interface that leads to the server, because ``source`` can only be reached by its default
    route.
    """  # noqa: D205

    destination: Destination
    source: Address
    peer: tuple[Address, int]
    hop: NextHop
    outer: Address
    claims: bool = False
    by_gateway: bool = False

    def frame(self, packet: bytes, local_port: int) -> bytes:
        """The Ethernet frame that takes an IP packet there as clients' packets go."""
        key = self.destination.key
        if self.destination.method == Method.TUN:
            kind, ports = self.destination.tunnel_type, (local_port, self.destination.tunnel_port)
            packet = packets.tunnelled(packet, (self.outer, key.address), kind, ports)
        return self._framed(packet)

    def plain(self, packet: bytes) -> bytes:
        """The same, past the method: to the server itself."""
        return self._framed(packet)

    def question(self) -> bytes:
        """A frame that asks this one server, and nobody else, whether it has the address."""
        kind, payload = packets.who_has(self.peer[0], self.source, self.hop.src_mac)
        return self._framed(payload, kind)

    def _framed(self, payload: bytes, ethertype: int = 0) -> bytes:
        hop = self.hop
        return packets.frame(hop.dst_mac, hop.src_mac, hop.vlan, payload, ethertype)


def far_address(
    here: Iterable[tuple[int, IPv4Interface | IPv6Interface]], way: Way, server: Address
) -> Address | None:
    """An address of the director's that this server reaches by its default route only.

    ``here``: the director's addresses with their networks, and the interface of each. One in a
    network that is also on the link to the server, or the server's own, will not do, nor will
    a host address: a VIP moves to another director.
    """
    known = [(index, each) for index, each in here if each.version == server.version]
    near = [each.network for index, each in known if index == way.ifindex]
    for index, each in known:
        network = each.network
        lonely = network.prefixlen == network.max_prefixlen or each.ip.is_link_local
        if index == way.ifindex or lonely or each.ip.is_loopback or server in network:
            continue
        if not any(str(network) == str(other) for other in near):
            return each.ip
    return None


def passage(
    service: Service,
    destination: Destination,
    way: Way,
    source: Address | None,
    far: Address | None,
) -> Passage:
    """How to ask this server. Raises Impossible."""
    key = service.key
    if key.protocol not in (Protocol.TCP, Protocol.UDP) or key.address is None:
        raise Impossible("only TCP and UDP services of an address are probed through the data path")
    if way.hop is None or way.source is None:
        raise Impossible(f"the way to it is {way.words}")
    behind = destination.method in (Method.NAT, Method.FULLNAT)
    port = destination.key.port if behind else key.port or destination.key.port
    if not port:
        raise Impossible("a service of all ports needs a port to be probed")
    peer = (destination.key.address if behind else key.address, port)
    if destination.method == Method.FULLNAT and service.local_addresses:
        source = service.local_addresses[0]
    elif destination.method == Method.NAT and far is not None:
        source = far
    source = source if source is not None else way.source
    if source.version != peer[0].version:
        raise Impossible(f"the director has no IPv{peer[0].version} address to ask from")
    return Passage(
        destination=destination,
        source=source,
        peer=peer,
        hop=way.hop,
        outer=way.source,
        # Behind a router nobody hears ARP.
        claims=destination.method == Method.DR and way.gateway == destination.key.address,
        by_gateway=destination.method == Method.NAT and far is not None,
    )
