# SPDX-License-Identifier: Apache-2.0
"""Probes through the data path find what is wrong with a real server's wiring, and say it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from msgspec.structs import replace
from tests.lab.asking import Asker

from xlvs.lab import Lab
from xlvs.lab.plan import LOCAL_ADDRESSES, VIPS
from xlvs.lab.realserver import RealServer
from xlvs.model.checker import DnsCheck, TcpCheck, UdpCheck
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
    TunnelType,
)

CHECK = TcpCheck(through_datapath=True)
PORT = 80


@pytest.fixture(scope="module")
def ask(prepared: Lab) -> Iterator[Asker]:
    with Asker(prepared.director.namespace.enter([])) as asker:
        yield asker


def vip(method: str, family: int) -> str:
    return VIPS[method][0 if family == 4 else 1]


def service(method: str, family: int, port: int = PORT) -> Service:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address(vip(method, family)), port=port)
    locals_ = [ip_address(a) for a in LOCAL_ADDRESSES if (":" in a) == (family == 6)]
    return Service(key=key, local_addresses=tuple(locals_) if method == "fullnat" else ())


def server(lab: Lab, method: str) -> RealServer:
    return lab.servers_for(method)[0]


def destination(
    lab: Lab, method: str, family: int, kind: str = "ipip", port: int = PORT, outer: int = 0
) -> Destination:
    address = server(lab, method).address(outer or family)
    return Destination(
        key=DestinationKey(address=ip_address(address), port=port),
        method=Method(method),
        tunnel_type=TunnelType(kind),
        tunnel_port=6080 if kind == "gue" else 0,
    )


@contextmanager
def changed(server: RealServer, do: str, undo: str) -> Iterator[None]:
    server.run(["sh", "-ec", do])
    try:
        yield
    finally:
        server.run(["sh", "-ec", undo])


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["nat", "dr", "tun", "fullnat"])
def test_good_servers(prepared: Lab, ask: Asker, method: str, family: int) -> None:
    outcome = ask.through(
        service(method, family),
        destination(prepared, method, family),
        CHECK,
        far="10.1.0.1" if family == 4 else "fd00:1::1",
    )
    assert outcome["ok"], outcome
    assert outcome["cause"] == ""


def test_a_probe_leaves_nothing_behind(prepared: Lab, ask: Asker) -> None:
    """The server's half-open connection is taken back; the director's kernel says nothing."""
    one = server(prepared, "dr")
    with one.capture("tcp") as seen:
        assert ask.through(service("dr", 4), destination(prepared, "dr", 4), CHECK)["ok"]
    flags = [line.split("Flags ")[1].split(",")[0] for line in seen.lines if "Flags" in line]
    assert flags == ["[S]", "[S.]", "[R]"], "\n".join(seen.lines)
    assert one.run(["ss", "-Htn", "state", "syn-recv"]).stdout == ""


@pytest.mark.parametrize("family", [4, 6])
def test_dr_without_the_address_on_lo(prepared: Lab, ask: Asker, family: int) -> None:
    one, address = server(prepared, "dr"), vip("dr", family)
    host = f"{address}/{32 if family == 4 else 128}"
    with changed(one, f"ip addr del {host} dev lo", f"ip addr add {host} dev lo"):
        outcome = ask.through(service("dr", family), destination(prepared, "dr", family), CHECK)
    assert not outcome["ok"]
    at = f"[{address}]:80" if family == 6 else f"{address}:80"
    assert outcome["cause"] == (
        f"no answer from {at} at {one.address(family)} within 1 s, though {one.address(family)}"
        f" is alive: does it have {address} on lo? does rp_filter drop what comes?"
    )


def test_dr_that_answers_arp(prepared: Lab, ask: Asker) -> None:
    one, address = server(prepared, "dr"), vip("dr", 4)
    names = [f"net.ipv4.conf.{each}.arp_ignore" for each in ("all", "eth0")]
    was = [one.run(["sysctl", "-n", name]).stdout.strip() for name in names]
    do = "; ".join(f"sysctl -qw {name}=0" for name in names)
    undo = "; ".join(f"sysctl -qw {n}={v}" for n, v in zip(names, was, strict=True))
    with changed(one, do, undo):
        outcome = ask.through(service("dr", 4), destination(prepared, "dr", 4), CHECK)
    assert not outcome["ok"]
    assert outcome["cause"].startswith(f"{one.v4} answers ARP for {address}")
    assert ask.through(service("dr", 4), destination(prepared, "dr", 4), CHECK)["ok"]


def test_dr_that_answers_neighbour_solicitations(prepared: Lab, ask: Asker) -> None:
    one, host = server(prepared, "dr"), vip("dr", 6) + "/128"
    with changed(one, f"ip addr add {host} dev eth0 nodad", f"ip addr del {host} dev eth0"):
        outcome = ask.through(service("dr", 6), destination(prepared, "dr", 6), CHECK)
    assert outcome["cause"].startswith(f"{one.v6} answers neighbour solicitations for")


def test_nobody_listens(prepared: Lab, ask: Asker) -> None:
    outcome = ask.through(service("dr", 4, 81), destination(prepared, "dr", 4, port=81), CHECK)
    assert outcome["cause"] == f"connection refused by {vip('dr', 4)}:81 at 10.2.0.11"
    assert not outcome["ok"]


def test_nat_with_another_default_route(prepared: Lab, ask: Asker) -> None:
    one = server(prepared, "nat")
    go = "ip route replace default via 10.2.0.{}"
    with changed(one, go.format(254), go.format(1)):
        outcome = ask.through(
            service("nat", 4), destination(prepared, "nat", 4), CHECK, far="10.1.0.1"
        )
    assert outcome["cause"] == (
        "the answer of 10.2.0.11 came by eth0: its default route leads to another router than"
        " this director"
    )
    assert not outcome["ok"]


def test_nat_without_default_route(prepared: Lab, ask: Asker) -> None:
    one = server(prepared, "nat")
    with changed(one, "ip route del default", "ip route add default via 10.2.0.1"):
        outcome = ask.through(
            service("nat", 4), destination(prepared, "nat", 4), CHECK, far="10.1.0.1"
        )
    assert outcome["cause"] == (
        "no answer from 10.2.0.11:80 within 1 s, though 10.2.0.11 is alive:"
        " its default route does not lead to this director"
    )


def test_tunnel_that_is_not_opened(prepared: Lab, ask: Asker) -> None:
    one = server(prepared, "tun")
    one.realserver("down")
    try:
        outcome = ask.through(service("tun", 4), destination(prepared, "tun", 4), CHECK)
    finally:
        prepared._prepare(one)
    assert not outcome["ok"]
    assert outcome["cause"] == f"{one.v4} does not open IPIP"


def test_rp_filter(prepared: Lab, ask: Asker) -> None:
    """Strict, and the way to clients leads elsewhere: a source among clients finds it."""
    one, address = server(prepared, "dr"), vip("dr", 4)
    names = [f"net.ipv4.conf.{each}.rp_filter" for each in ("all", "eth0")]
    was = [one.run(["sysctl", "-n", name]).stdout.strip() for name in names]
    tables = ("main", "100")
    do = [f"ip route add 10.1.0.0/24 dev lo table {table}" for table in tables]
    undo = [f"ip route del 10.1.0.0/24 dev lo table {table}" for table in tables]
    do += [f"sysctl -qw {name}=1" for name in names]
    undo += [f"sysctl -qw {name}={value}" for name, value in zip(names, was, strict=True)]
    with changed(one, "; ".join(do), "; ".join(undo)):
        way = (service("dr", 4), destination(prepared, "dr", 4), CHECK)
        near = ask.through(*way)
        far = ask.through(*way, source="10.1.0.1")
    assert near["ok"]
    assert far["cause"] == (
        f"no answer from {address}:80 at {one.v4} within 1 s, though {one.v4}"
        f" is alive: does it have {address} on lo? does rp_filter drop what comes?"
    )
    good = ask.through(*way, source="10.1.0.1")
    assert good["ok"], good


@pytest.mark.parametrize(("kind", "outer"), [("gre", 4), ("gue", 4), ("ipip", 6), ("gue", 6)])
def test_tunnels(prepared: Lab, ask: Asker, kind: str, outer: int) -> None:
    one = server(prepared, "tun")
    one.realserver("down")
    arguments = ("--tunnel-port", "6080") if kind == "gue" else ()
    try:
        one.realserver(
            "up", "--vip", vip("tun", 4), "--method", "tun", "--tunnel", kind, *arguments
        )
        outcome = ask.through(
            service("tun", 4),
            destination(prepared, "tun", 4, kind, outer=outer),
            CHECK,
            source="10.2.0.1",
        )
    finally:
        one.realserver("down")
        prepared._prepare(one)
    assert outcome["ok"], outcome


def udp_service(method: str, family: int, port: int = 7) -> Service:
    tcp = service(method, family, port)
    return replace(tcp, key=replace(tcp.key, protocol=Protocol.UDP))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["nat", "dr", "tun", "fullnat"])
def test_udp(prepared: Lab, ask: Asker, method: str, family: int) -> None:
    far = {"far": "10.1.0.1" if family == 4 else "fd00:1::1"}
    check = UdpCheck(through_datapath=True, require_reply=True)
    good = ask.through(
        udp_service(method, family), destination(prepared, method, family, port=7), check, **far
    )
    assert good["ok"], good
    bad = ask.through(
        udp_service(method, family, 9), destination(prepared, method, family, port=9), check, **far
    )
    assert bad["cause"].startswith("connection refused by ")


def test_dns_that_says_nothing(prepared: Lab, ask: Asker) -> None:
    check = DnsCheck(through_datapath=True)
    outcome = ask.through(udp_service("dr", 4), destination(prepared, "dr", 4, port=7), check)
    assert outcome["cause"] == (
        f"no answer from {vip('dr', 4)}:7 at 10.2.0.11 within 1 s, though 10.2.0.11 is alive:"
        f" does it have {vip('dr', 4)} on lo? does rp_filter drop what comes?"
    )


def test_a_handshake_is_no_question_for_udp(prepared: Lab, ask: Asker) -> None:
    for check, of in ((CHECK, udp_service), (DnsCheck(through_datapath=True), service)):
        assert ask.through(of("dr", 4), destination(prepared, "dr", 4), check)["ours"]


def test_silent_server(prepared: Lab, ask: Asker) -> None:
    one = server(prepared, "dr")
    ask.through(service("dr", 4), destination(prepared, "dr", 4), CHECK)  # its MAC is known
    go = "ip route {0} blackhole 10.2.0.1; ip route {0} blackhole 10.2.0.1 table 100"
    with changed(one, go.format("add"), go.format("del")):
        outcome = ask.through(service("dr", 4), destination(prepared, "dr", 4), CHECK)
    assert outcome["cause"] == (
        f"no answer from {vip('dr', 4)}:80 at {one.v4} within 1 s, nor from {one.v4} itself"
    )


@pytest.mark.parametrize("hook", ["tc", "xdp"])
def test_with_the_data_path_running(prepared: Lab, ask: Asker, hook: str) -> None:
    """Answers to probes are no answers to clients: the programs let them pass."""
    director = prepared.director
    director.start_xlvsd(hook)
    try:
        for method in ("nat", "dr", "tun", "fullnat"):
            where = f"{vip(method, 4)}:{PORT}"
            director.ipvsadm(f"-A -t {where} -s rr")
            outcome = ask.through(
                service(method, 4), destination(prepared, method, 4), CHECK, far="10.1.0.1"
            )
            assert outcome["ok"], (method, outcome)
    finally:
        director.down()
