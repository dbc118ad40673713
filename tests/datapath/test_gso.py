# SPDX-License-Identifier: Apache-2.0
"""GSO frames at the TC hook: counted, and measured, as the packets that they stand for."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from xlvs.datapath.records import Method
from xlvs.datapath.testrun import tc_context
from xlvs.datapath.testrun import test_run as run_program

from . import world as w
from .test_forwarding import one_server
from .world import World

TC = pytest.mark.parametrize("hook", ["tc"])
# A made frame has no GSO type, without which the kernel tunnels none: the lab's have.
METHODS = pytest.mark.parametrize(
    "method", [Method.NAT, Method.DR, Method.FULLNAT], ids=["nat", "dr", "fullnat"]
)
# With an option it is not plain, and takes the pipeline's way.
WAYS = pytest.mark.parametrize("plain", [True, False], ids=["lean", "pipeline"])
SEND = 7
PAYLOAD, SIZE = 2500, 1000


def run(director: World, packet: Packet, side: str = "eth0", gso_size: int = SIZE) -> Ether:
    frame = bytes(Ether(src=w.CLIENT_MAC, dst=w.MAC0 if side == "eth0" else w.MAC1) / packet)
    result = run_program(
        director.path.programs["xlvs_tc_ingress"],
        frame,
        ctx=tc_context(director.ifindex[side], gso_size=gso_size),
    )
    assert result.retval == SEND
    return Ether(result.data_out)


def network(plain: bool, src: str, dst: str) -> IP:
    return IP(src=src, dst=dst, flags="DF", options=[] if plain else [IPOption_Router_Alert()])


@TC
@METHODS
@WAYS
@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
def test_each_packet_counts(director: World, method: Method, plain: bool, udp: bool) -> None:
    service, destination = one_server(director, method, v6=False, udp=udp)
    ip = network(plain, w.CLIENT, w.VIP)
    headers = len(bytes(ip)) + (8 if udp else 20)
    if not udp:
        for flags in "SA":
            director.client(IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=4000, dport=80, flags=flags))
            director.server(
                IP(src=w.server(1), dst=w.CLIENT) / TCP(sport=80, dport=4000, flags="SA")
            )
    before = director.stats("service", service), director.stats("destination", destination)
    transport = UDP(sport=4000, dport=80) if udp else TCP(sport=4000, dport=80, flags="A")
    out = run(director, ip / transport / bytes(PAYLOAD))
    after = director.stats("service", service), director.stats("destination", destination)
    for was, now in zip(before, after, strict=True):
        assert now.in_packets - was.in_packets == 3
        assert now.in_bytes - was.in_bytes == PAYLOAD + 3 * headers
    assert w.right(out)


@TC
@WAYS
def test_each_packet_of_an_answer_counts(director: World, plain: bool) -> None:
    service, _ = one_server(director, Method.NAT, v6=False, udp=True)
    director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=4000, dport=80) / b"?")
    director.server(IP(src=w.server(1), dst=w.CLIENT) / UDP(sport=80, dport=4000) / b"!")
    before = director.stats("service", service)
    ip = network(plain, w.server(1), w.CLIENT)
    out = run(director, ip / UDP(sport=80, dport=4000) / bytes(PAYLOAD), "eth1")
    after = director.stats("service", service)
    assert after.out_packets - before.out_packets == 3
    assert after.out_bytes - before.out_bytes == PAYLOAD + 3 * (len(bytes(ip)) + 8)
    assert out[IP].src == w.VIP
    assert w.right(out)


@TC
@METHODS
@WAYS
def test_its_packets_have_to_fit(director: World, method: Method, plain: bool) -> None:
    """A frame of packets that are too big is answered as one of them would be."""
    one_server(director, method, v6=False, udp=True)
    director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=4000, dport=80) / b"?")
    ip = network(plain, w.CLIENT, w.VIP)
    out = run(director, ip / UDP(sport=4000, dport=80) / bytes(PAYLOAD), gso_size=1600)
    assert out[IP].dst == w.CLIENT
    assert (out[IP].payload.type, out[IP].payload.code) == (3, 4)
