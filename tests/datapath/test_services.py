# SPDX-License-Identifier: Apache-2.0
"""Which service is a packet for? Also while services come and go behind packets' memory."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import count

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import world as w
from .world import World

HINTS = 4096  # XLVS_SERVICE_HINTS
_clients = count(40000)


def syn(vip: str = w.VIP, port: int = 80, src: str = w.CLIENT) -> IP | IPv6:
    network = IPv6 if ":" in vip else IP
    return network(src=src, dst=vip) / TCP(sport=next(_clients), dport=port, flags="S")


def rewrite(director: World, service: int, flags: int) -> r.Service:
    """Change a service's flags, as the daemon does; the record before."""
    services = director.path.map("services")
    record = director.layout.unpack(r.Service, services.lookup(service) or b"")
    services.update(service, director.layout.pack(record._replace(flags=flags)))
    return record


def forget(director: World, vip: str = w.VIP, port: int = 80) -> None:
    """Take a service's key away, as the daemon does first."""
    if ":" in vip:
        key = r.ServiceKey(address=w.packed(vip), port=port, protocol=w.TCP, family=10)
        director.path.map("services_by_key").delete(director.layout.pack(key))
    else:
        short = r.ServiceKey4(int(ip_address(vip)), port, w.TCP)
        director.path.map("services_by_key4").delete(director.layout.pack(short))


@pytest.mark.parametrize(
    ("vip", "client"), [(w.VIP, w.CLIENT), (w.VIP6, w.CLIENT6)], ids=["v4", "v6"]
)
def test_a_service_that_goes_is_not_remembered(director: World, vip: str, client: str) -> None:
    service = director.service(vip)
    director.destination(service, 1, Method.DR, v6=":" in vip)
    assert director.client(syn(vip, src=client)).reason == "fwd_dr"
    forget(director, vip)
    rewrite(director, service, 0)
    assert director.client(syn(vip, src=client)).reason == "pass_no_service"


def test_a_remembered_id_that_serves_somebody_else_is_looked_up_again(director: World) -> None:
    service = director.service()
    director.destination(service, 1, Method.DR)
    assert director.client(syn()).reason == "fwd_dr"
    forget(director)
    services = director.path.map("services")
    record = director.layout.unpack(r.Service, services.lookup(service) or b"")
    other = record._replace(key=record.key._replace(port=81))
    services.update(service, director.layout.pack(other))
    assert director.client(syn()).reason == "pass_no_service"


def test_protocols_and_ports_are_told_apart(director: World) -> None:
    web, names = director.service(port=80), director.service(port=53, protocol=w.UDP)
    director.destination(web, 1, Method.DR)
    director.destination(names, 2, Method.DR, port=53)
    for _ in range(3):
        assert director.client(syn()).reason == "fwd_dr"
        datagram = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=next(_clients), dport=53)
        assert director.client(datagram).reason == "fwd_dr"
        assert director.client(syn(port=53)).reason == "pass_no_service"
        datagram = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=next(_clients), dport=80)
        assert director.client(datagram).reason == "pass_no_service"
    assert director.stats("service", web).connections == 3
    assert director.stats("service", names).connections == 3


def test_services_whose_memory_collides_take_turns(director: World) -> None:
    """bpf/stages/3_service.h's hash, reversed: two ports that share a hint."""

    def slot(port: int) -> int:
        vip = int.from_bytes(ip_address(w.VIP).packed, "little")
        swapped = int.from_bytes(port.to_bytes(2, "big"), "little")
        return ((vip + swapped + w.TCP) * 0x9E3779B1 & 0xFFFFFFFF) // (2**32 // HINTS)

    by_slot: dict[int, int] = {}
    for port in range(1, 65536):
        if by_slot.setdefault(slot(port), port) != port:
            break
    ports = by_slot[slot(port)], port
    ids = [director.service(port=each) for each in ports]
    for n, service in enumerate(ids, 1):
        director.destination(service, n, Method.DR, port=ports[n - 1])
    for _ in range(4):
        for each in ports:
            assert director.client(syn(port=each)).reason == "fwd_dr"
    assert [director.stats("service", service).connections for service in ids] == [4, 4]
