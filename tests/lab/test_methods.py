# SPDX-License-Identifier: Apache-2.0
"""Every forwarding method on real traffic, on both hooks."""

from __future__ import annotations

import json
import os
import signal

import pytest
from tests.lab.traffic import FLAG, NAT_HTTP, ask, bracket, service, vip, who, whom

from xlvs.lab import Lab
from xlvs.lab.director import Director
from xlvs.lab.plan import LOCAL_ADDRESSES
from xlvs.lab.servers import BIG_FILE, UPLOAD

METHODS = ("nat", "dr", "tun", "fullnat")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("director")
def test_spreads_as_the_weights_say(prepared: Lab, method: str, family: int, protocol: str) -> None:
    weights = (3, 2, 1)
    address = service(prepared, method, family, protocol, weights)
    answers = ask(prepared, address, protocol, 2 * sum(weights))
    servers = prepared.servers_for(method)
    assert who(answers) == {
        server.name: 2 * weight for server, weight in zip(servers, weights, strict=True)
    }
    if method == "fullnat":
        assert whom(answers) <= set(LOCAL_ADDRESSES)
    else:
        assert whom(answers) == {prepared.client.address(family)}


@pytest.mark.parametrize(("scheduler", "vport"), [("rr", 81), ("lc", 82), ("wlc", 83)])
@pytest.mark.usefixtures("director")
def test_takes_turns(prepared: Lab, scheduler: str, vport: int) -> None:
    """lc and wlc, too: each closed connection counts as inactive for a while."""
    address = service(prepared, "nat", 4, "tcp", (1, 1, 1), scheduler=scheduler, vport=vport)
    answers = ask(prepared, address, "tcp", 6, vport=vport)
    assert who(answers) == {"rs1": 2, "rs2": 2, "rs3": 2}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("director")
def test_what_arrives_at_the_real_server(prepared: Lab, method: str, family: int) -> None:
    """The addresses that each method promises, as tcpdump sees them on the wire."""
    address = service(prepared, method, family, "tcp", (1, 0, 0))
    server = prepared.servers_for(method)[0]
    client, real = prepared.client.address(family), server.address(family)
    with server.capture() as seen:
        assert who(ask(prepared, address, "tcp", 1)) == {server.name: 1}
    requests = [line for line in seen.lines if "Flags [S]" in line]
    replies = [line for line in seen.lines if "Flags [S.]" in line]
    assert requests
    assert replies
    if method == "nat":
        assert f" {client}." in requests[0]
        assert f"> {real}.{NAT_HTTP}:" in requests[0]
        assert f" {real}.{NAT_HTTP} > {client}." in replies[0]
    elif method == "dr":
        assert f" {client}." in requests[0]
        assert f"> {address}.80:" in requests[0]
        assert f" {address}.80 > {client}." in replies[0]
        assert mac(prepared, server.name, "eth0") in requests[0]
        assert mac(prepared, "director", "eth1") in requests[0]
    elif method == "tun":
        outer = "10.2.0.1" if family == 4 else "fd00:2::1"
        assert f" {outer} > {real}: " in requests[0]
        assert f"> {address}.80:" in requests[0]
        assert f" {address}.80 > {client}." in replies[0]
    else:
        locals_ = [local for local in LOCAL_ADDRESSES if f" {local}." in requests[0]]
        assert len(locals_) == 1
        assert f"> {real}.{NAT_HTTP}:" in requests[0]
        assert f" {real}.{NAT_HTTP} > {locals_[0]}." in replies[0]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.usefixtures("director")
def test_tunnels_of_mixed_families(prepared: Lab, family: int) -> None:
    """IPv6 clients through IPv4 tunnels and the other way round."""
    address = vip(prepared, "tun", family)
    name = f"-t {bracket(address)}:80"
    prepared.director.ipvsadm(f"-A {name} -s rr")
    for server in prepared.servers_for("tun"):
        prepared.director.ipvsadm(f"-a {name} -r {bracket(server.address(10 - family))}:80 -i")
    assert who(ask(prepared, address, "tcp", 6)) == {"rs4": 2, "rs5": 2, "rs6": 2}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("director")
def test_a_long_transfer_both_ways(prepared: Lab, method: str, family: int) -> None:
    """Full segments: GSO on TC, and for TUN packets that do not fit in the tunnel."""
    address = service(prepared, method, family, "tcp", (1, 1, 1))
    url = f"http://{bracket(address)}"
    argv = ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{size_download}"]
    assert prepared.client.run([*argv, f"{url}/{BIG_FILE}"]).stdout == str(4 << 20)
    script = f"head -c 3000000 /dev/zero | curl -sS -m 10 --data-binary @- {url}/{UPLOAD}"
    assert prepared.client.run(["sh", "-c", script]).stdout.endswith(" took 3000000\n")


@pytest.mark.parametrize("direction", [[], ["-R"]])
@pytest.mark.usefixtures("director")
def test_iperf3_through_nat(prepared: Lab, direction: list[str]) -> None:
    """One TCP stream, either way."""
    server = prepared.servers_for("nat")[0]
    address = vip(prepared, "nat", 4)
    prepared.director.ipvsadm(f"-A -t {address}:5201 -s rr")
    prepared.director.ipvsadm(f"-a -t {address}:5201 -r {server.v4}:5201 -m")
    log = prepared.folder / "iperf3.log"
    listener = server.namespace.start(["iperf3", "-s", "-1"], "iperf3", log)
    server.namespace.wait_for_port(5201)
    report = prepared.client.run(["iperf3", "-c", address, "-t", "2", "-J", *direction], timeout=15)
    listener.wait(5)
    rate = json.loads(report.stdout)["end"]["sum_received"]["bits_per_second"]
    assert rate > 200e6  # a stream that stalls or loses every offload is far below


def test_weight_zero_and_removal_of_a_server_with_connections(
    prepared: Lab, director: Director
) -> None:
    address = service(prepared, "nat", 4, "tcp", (1, 1, 1))
    name = f"-t {address}:80"
    first, second, third = prepared.servers_for("nat")
    director.ipvsadm(f"-e {name} -r {first.v4}:{NAT_HTTP} {FLAG['nat']} -w 0")
    assert who(ask(prepared, address, "tcp", 4)) == {second.name: 2, third.name: 2}
    director.ipvsadm(f"-d {name} -r {second.v4}:{NAT_HTTP}")
    assert who(ask(prepared, address, "tcp", 2)) == {third.name: 2}
    director.ipvsadm(f"-d {name} -r {third.v4}:{NAT_HTTP}")
    (refused,) = ask(prepared, address, "tcp", 1)
    assert refused.startswith("curl:")


def test_a_real_server_on_the_director_itself(prepared: Lab, director: Director) -> None:
    """The local method: the director's own stack answers."""
    address = vip(prepared, "nat", 4)
    page = "HTTP/1.0 200 OK\\r\\n\\r\\ndirector saw client\\n"
    script = f"while :; do printf '{page}' | nc -l -N 10.2.0.1 80; done"
    log = prepared.folder / "web.log"
    web = director.namespace.start(["sh", "-c", script], "web", log)
    director.namespace.wait_for_port(80)
    director.ipvsadm(f"-A -t {address}:80 -s rr")
    director.ipvsadm(f"-a -t {address}:80 -r 10.2.0.1:80 -m")
    assert who(ask(prepared, address, "tcp", 1)) == {"director": 1}
    os.killpg(web.pid, signal.SIGKILL)
    web.wait(5)


def test_counters_and_connections_are_those_of_the_traffic(
    prepared: Lab, director: Director
) -> None:
    vport = 84
    address = service(prepared, "nat", 4, "tcp", (1, 1, 1), scheduler="rr", vport=vport)
    ask(prepared, address, "tcp", 6, vport=vport)
    listed = [
        line
        for line in director.ipvsadm("-Lnc").stdout.splitlines()
        if f" {address}:{vport} " in line
    ]
    assert len(listed) == 6
    assert {line.split()[3].partition(":")[0] for line in listed} == {prepared.client.v4}
    rows = director.ipvsadm("-Ln").stdout.splitlines()[-3:]
    # Closed by the client: no longer active.
    assert [row.split()[-2:] for row in rows] == [["0", "2"]] * 3


def mac(world: Lab, host: str, device: str) -> str:
    """Hardware address of a card."""
    text = world.hosts[host].run(["ip", "-br", "link", "show", device]).stdout
    return text.split()[2]
