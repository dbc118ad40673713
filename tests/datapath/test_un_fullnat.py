# SPDX-License-Identifier: Apache-2.0
"""Un-FULLNAT's programs: which packets they change, to what, and that they stay right."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from xlvs.datapath import libbpf, pins, testrun
from xlvs.realserver.client_address import kept
from xlvs.realserver.un_fullnat.programs import COUNTS, OBJECT
from xlvs.realserver.un_fullnat.wanted import packed

from .test_toa import right
from .world import network

CLIENT = {4: "203.0.113.9", 6: "2001:db8::9"}
LOCAL = {4: "10.2.0.101", 6: "fd00:2::101"}
HOST = {4: "10.3.0.14", 6: "fd00:3::14"}
ROUTER = {4: "10.3.0.254", 6: "fd00:3::254"}
LPORT, CPORT, PORT, MARK, KIND = 5000, 40000, 80, 22614, 254
ETHER = Ether(src="02:00:00:00:02:01", dst="02:00:00:00:02:11")
LINUX = bytes.fromhex("020405b40402080a00000001000000000103030a")
UNSPEC, SHOT, REDIRECT = 0xFFFFFFFF, 2, 7

FAMILIES = pytest.mark.parametrize("family", [4, 6])


class Out(NamedTuple):
    verdict: int
    packet: Packet

    @property
    def ends(self) -> tuple[str, int, str, int]:
        ip = self.packet.getlayer(IPv6) or self.packet.getlayer(IP)
        return ip.src, ip.payload.sport, ip.dst, ip.payload.dport


class Programs:
    """Both, and what they know."""

    def __init__(self, loaded: libbpf.Object, ifindex: int) -> None:
        self._programs, self._maps = loaded.program_fds(), loaded.map_fds()
        self._ifindex = ifindex
        libbpf.map_update(self._maps["un_settings"], bytes(4), packed(MARK, KIND))
        kept.believe(self._maps["un_believed"], ["10.2.0.96/28", "fd00:2::/64"])
        self._before = dict.fromkeys(COUNTS, 0)

    def counts(self) -> dict[str, int]:
        """What was counted since the last time, without zeros."""
        now = kept.counted(self._maps["un_counts"], COUNTS)
        found = {name: now[name] - self._before[name] for name in COUNTS}
        self._before = now
        return {name: count for name, count in found.items() if count}

    def _run(self, name: str, packet: Packet, mark: int) -> Out:
        frame = bytes(ETHER / packet)
        context = testrun.tc_context(self._ifindex, mark)
        done = testrun.test_run(self._programs[name], frame, ctx=context)
        return Out(done.retval, Ether(done.data_out))

    def comes_in(self, packet: Packet) -> Out:
        return self._run("xlvs_unfullnat_in", packet, 0)

    def goes_out(self, packet: Packet, mark: int = 0) -> Out:
        return self._run("xlvs_unfullnat_out", packet, mark)


@pytest.fixture
def programs() -> Iterator[Programs]:
    folder = pins.reach(pins.BPFFS / f"xlvs-test-un-{os.getpid()}")
    try:
        with network() as ifindex, closing(libbpf.Object(str(OBJECT), str(folder))) as loaded:
            for definition in loaded.maps():
                if definition.name in {"un_clients", "un_ways_back"}:
                    loaded.set_max_entries(definition, 1024)
            loaded.load()
            pins.remove_tree(folder)
            yield Programs(loaded, ifindex["eth1"])
    finally:
        pins.remove_tree(folder)


def ip(family: int, source: str, target: str) -> Packet:
    return IPv6(src=source, dst=target) if family == 6 else IP(src=source, dst=target)


def option(family: int, address: str = "", port: int = CPORT, kind: int = KIND) -> bytes:
    raw = ip_address(address or CLIENT[family]).packed
    return struct.pack("!BBH", kind, 4 + len(raw), port) + raw


def tcp(sport: int, dport: int, flags: str, options: bytes = b"", payload: bytes = b"") -> Packet:
    """Options as bytes: scapy would tidy them up."""
    options += bytes(-len(options) % 4)
    head = TCP(sport=sport, dport=dport, flags=flags, seq=1, dataofs=5 + len(options) // 4)
    return head / (options + payload)


def from_director(family: int, flags: str, options: bytes = b"", payload: bytes = b"") -> Packet:
    return ip(family, LOCAL[family], HOST[family]) / tcp(LPORT, PORT, flags, options, payload)


def answer(family: int, flags: str, payload: bytes = b"") -> Packet:
    return ip(family, HOST[family], CLIENT[family]) / tcp(PORT, CPORT, flags, b"", payload)


def options_of(packet: Packet) -> bytes:
    network = packet.getlayer(IPv6) or packet.getlayer(IP)
    raw = bytes(network)[40 if network.version == 6 else 20 :]
    return raw[20 : (raw[12] >> 4) * 4]


def learn(programs: Programs, family: int) -> Out:
    out = programs.comes_in(from_director(family, "S", option(family) + LINUX))
    assert programs.counts() == {"shown": 1}
    return out


@FAMILIES
def test_a_connection_in_and_out(programs: Programs, family: int) -> None:
    out = learn(programs, family)
    seen = (CLIENT[family], CPORT, HOST[family], PORT)
    assert (out.verdict, out.ends) == (UNSPEC, seen)
    assert right(out.packet)
    # It has done its work; nobody else shall take it for a client's claim.
    assert options_of(out.packet) == b"\x01" * len(option(family)) + LINUX
    for payload in (b"", b"odd", b"even"):
        out = programs.comes_in(from_director(family, "PA", b"", payload))
        assert (out.verdict, out.ends) == (UNSPEC, seen)
        assert right(out.packet)
        out = programs.goes_out(answer(family, "PA", payload), MARK)
        assert out.verdict == REDIRECT
        assert out.ends == (HOST[family], PORT, LOCAL[family], LPORT)
        assert right(out.packet)
    out = programs.comes_in(from_director(family, "A", option(family) + LINUX))
    assert options_of(out.packet) == b"\x01" * len(option(family)) + LINUX
    assert right(out.packet)
    assert programs.goes_out(answer(family, "A")).verdict == REDIRECT, "a listener's own mark"
    assert not programs.counts()


@FAMILIES
def test_the_same_syn_again_is_no_other_connection(programs: Programs, family: int) -> None:
    learn(programs, family)
    out = programs.comes_in(from_director(family, "S", option(family)))
    assert out.ends[0] == CLIENT[family]
    assert not programs.counts()


@pytest.mark.parametrize(
    ("family", "options", "counted"),
    [
        (4, LINUX, "without"),
        (6, LINUX, "without"),
        (4, option(4, kind=253), "without"),
        (6, option(6, kind=253), "without"),
        (4, option(6), "malformed"),
        (6, option(4), "malformed"),
        (6, option(4) + option(6), "malformed"),
    ],
)
def test_a_syn_that_does_not_say(
    programs: Programs, family: int, options: bytes, counted: str
) -> None:
    """Also one with the local port of a connection that was shown."""
    learn(programs, family)
    packet = from_director(family, "S", options)
    for _ in range(2):
        out = programs.comes_in(packet)
        assert bytes(out.packet) == bytes(ETHER / packet)
        assert programs.counts() == {counted: 1}
    assert programs.goes_out(answer(family, "A")).verdict == UNSPEC
    assert programs.goes_out(answer(family, "A"), MARK).verdict == SHOT
    assert programs.counts() == {"lost": 1}


@FAMILIES
def test_a_local_port_is_given_to_another_client(programs: Programs, family: int) -> None:
    learn(programs, family)
    other = "198.51.100.7" if family == 4 else "2001:db8::77"
    out = programs.comes_in(from_director(family, "S", option(family, other, 7)))
    assert out.ends == (other, 7, HOST[family], PORT)
    assert programs.counts() == {"shown": 1}
    assert programs.goes_out(answer(family, "A"), MARK).verdict == SHOT, "the first one's"


@FAMILIES
def test_a_client_comes_by_another_director(programs: Programs, family: int) -> None:
    """The first one's connection is over: the host has no socket of it."""
    learn(programs, family)
    again = ip(family, LOCAL[family][:-1] + "2", HOST[family])
    programs.comes_in(again / tcp(6000, PORT, "S", option(family)))
    assert programs.counts() == {"shown": 1}
    out = programs.goes_out(answer(family, "A"))
    assert out.ends[2:] == (LOCAL[family][:-1] + "2", 6000)


@FAMILIES
def test_a_client_comes_directly(programs: Programs, family: int) -> None:
    """Nothing of it is believed or changed, and its answers are its own from then on."""
    learn(programs, family)
    forged = option(family, "198.51.100.7" if family == 4 else "2001:db8::77")
    packet = ip(family, CLIENT[family], HOST[family]) / tcp(CPORT, PORT, "S", forged)
    assert bytes(programs.comes_in(packet).packet) == bytes(ETHER / packet)
    assert programs.goes_out(answer(family, "SA")).verdict == UNSPEC
    assert not programs.counts()


def quoting(family: int, outer: Packet, about: Packet, quoted: int) -> Packet:
    """An ICMP error; of the packet that it is about so many bytes."""
    if family == 6:
        return outer / ICMPv6PacketTooBig(mtu=1280) / bytes(about)[:quoted]
    return outer / ICMP(type=3, code=4, nexthopmtu=1280) / bytes(about)[:quoted]


def icmp_right(packet: Packet) -> bool:
    """As scapy would compute it."""
    network = packet.getlayer(IPv6) or packet.getlayer(IP)
    raw = bytes(network)
    fresh = (IPv6 if network.version == 6 else IP)(raw)
    if network.version == 6:
        del fresh.payload.cksum
    else:
        del fresh.chksum
        del fresh[ICMP].chksum
    return bytes(fresh) == raw


@FAMILIES
@pytest.mark.parametrize("quoted", [8, 20, 60])
def test_errors_about_answers(programs: Programs, family: int, quoted: int) -> None:
    """From the way to the director: of a packet to the local address."""
    learn(programs, family)
    sent = ip(family, HOST[family], LOCAL[family]) / tcp(PORT, LPORT, "A", b"", bytes(50))
    bytes_of_header = 40 if family == 6 else 20
    error = quoting(
        family, ip(family, ROUTER[family], HOST[family]), sent, bytes_of_header + quoted
    )
    out = programs.comes_in(error)
    assert out.verdict == UNSPEC
    assert icmp_right(out.packet)
    raw = bytes(out.packet.getlayer(IPv6) or out.packet.getlayer(IP))
    inner = (IPv6 if family == 6 else IP)(raw[bytes_of_header + 8 :])
    assert (inner.src, inner.dst) == (HOST[family], CLIENT[family])
    assert raw[2 * bytes_of_header + 8 :][:4] == struct.pack("!HH", PORT, CPORT)
    if family == 4:
        assert IP(bytes(IP(raw[28:48], chksum=None))).chksum == inner.chksum


@FAMILIES
def test_errors_about_clients_packets(programs: Programs, family: int) -> None:
    """The host's own, as a firewall's reject."""
    learn(programs, family)
    came = ip(family, CLIENT[family], HOST[family]) / tcp(CPORT, PORT, "S")
    outer = ip(family, HOST[family], CLIENT[family])
    error = (
        outer / ICMPv6DestUnreach(code=4) / bytes(came)
        if family == 6
        else outer / ICMP(type=3, code=3) / bytes(came)
    )
    out = programs.goes_out(error, MARK)
    assert out.verdict == REDIRECT
    assert icmp_right(out.packet)
    network = out.packet.getlayer(IPv6) or out.packet.getlayer(IP)
    assert network.dst == LOCAL[family]
    size = 40 if family == 6 else 20
    inner = (IPv6 if family == 6 else IP)(bytes(network)[size + 8 :])
    assert (inner.src, inner.dst) == (LOCAL[family], HOST[family])
    assert bytes(network)[2 * size + 8 :][:4] == struct.pack("!HH", LPORT, PORT)


@FAMILIES
def test_what_is_left_alone(programs: Programs, family: int) -> None:
    """Other protocols, other connections, fragments (which are counted), broken packets."""
    learn(programs, family)
    base = ip(family, LOCAL[family], HOST[family])
    echo = base / (ICMPv6EchoRequest() if family == 6 else ICMP())
    whole = from_director(family, "PA", b"", bytes(32))
    others = [
        base / UDP(sport=LPORT, dport=PORT) / b"x",
        base / tcp(LPORT + 1, PORT, "A"),
        base / tcp(LPORT, PORT + 1, "A"),
        echo,
        type(base)(bytes(whole)[:48]),
        type(base)(bytes(whole)[: 30 if family == 4 else 42]),
    ]
    if family == 4:
        others.append(IP(bytes(whole)[:1].replace(b"\x45", b"\x41") + bytes(whole)[1:]))
    for packet in others[:4]:
        out = programs.comes_in(packet)
        assert (out.verdict, bytes(out.packet)) == (UNSPEC, bytes(ETHER / packet))
        assert programs.goes_out(packet).verdict == UNSPEC
    for packet in others[4:]:
        assert programs.comes_in(packet).verdict in {UNSPEC, SHOT}
    assert not programs.counts()
    fragment = (
        IPv6(src=LOCAL[6], dst=HOST[6]) / IPv6ExtHdrFragment(m=1, nh=6) / bytes(whole)[40:]
        if family == 6
        else IP(src=LOCAL[4], dst=HOST[4], flags="MF", proto=6) / bytes(whole)[20:]
    )
    out = programs.comes_in(fragment)
    assert (out.verdict, bytes(out.packet)) == (UNSPEC, bytes(ETHER / fragment))
    assert programs.counts() == {"fragments": 1}
