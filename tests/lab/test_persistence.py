# SPDX-License-Identifier: Apache-2.0
"""Services that remember their clients, with the programs that want it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.lab import ftp_server
from tests.lab.traffic import FLAG, HTTP, NAT_HTTP, bracket, service, vip

FTP = 21
SECOND = "10.1.0.3"
TIMEOUT = 60


@pytest.fixture
def second(prepared):
    """Another client, as the servers see it: the client's host has two addresses."""
    prepared.client.ip([f"addr add {SECOND}/24 dev eth0"])
    yield SECOND
    prepared.client.ip([f"addr del {SECOND}/24 dev eth0"])


def ask(world, address, times, *, source="", port=HTTP):
    """The servers' names, a connection each."""
    bound = f"--interface {source}" if source else ""
    url = f"http://{bracket(address)}:{port}/"
    script = f"for i in $(seq {times}); do curl -sS -m 3 {bound} {url} || break; done"
    said = world.client.run(["sh", "-c", script], check=False).stdout
    return [line.split()[0] for line in said.splitlines()]


@pytest.mark.parametrize("method", ["nat", "dr", "tun", "fullnat"])
def test_two_clients_stay_with_their_servers(director, prepared, second, method):
    address = service(prepared, method, 4, "tcp", [1, 1, 1], scheduler="rr")
    director.ipvsadm(f"-E -t {address}:{HTTP} -s rr -p {TIMEOUT}")
    (one,) = set(ask(prepared, address, 4))
    (other,) = set(ask(prepared, address, 4, source=second))
    assert one != other
    assert set(ask(prepared, address, 2)) == {one}


def test_a_netmask_makes_one_of_them(director, prepared, second):
    address = service(prepared, "nat", 4, "tcp", [1, 1, 1], scheduler="rr")
    director.ipvsadm(f"-E -t {address}:{HTTP} -s rr -p {TIMEOUT} -M 255.255.255.0")
    found = ask(prepared, address, 3) + ask(prepared, address, 3, source=second)
    assert len(found) == 6
    assert len(set(found)) == 1


@pytest.mark.parametrize("family", [4, 6])
def test_all_ports_of_an_address(director, prepared, family):
    address = vip(prepared, "nat", family)
    name = f"-t {bracket(address)}:0"
    director.ipvsadm(f"-A {name} -s rr -p {TIMEOUT}")
    for server in prepared.servers_for("nat"):
        director.ipvsadm(f"-a {name} -r {bracket(server.address(family))}:0 -m")
    found = [one for port in (HTTP, NAT_HTTP) for one in ask(prepared, address, 2, port=port)]
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.fixture
def marked(director, prepared):
    """Two ports of an address are one service."""
    for family in (4, 6):
        address = vip(prepared, "nat", family)
        director.xlvs(f"mark add 1 --to {address} --protocol tcp --ports {HTTP},{NAT_HTTP}")
    yield
    director.xlvs("mark delete --all")


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("persistent", [True, False])
def test_ports_that_a_mark_joins(director, prepared, family, persistent):
    address = vip(prepared, "nat", family)
    name = "-f 1" + (" -6" if family == 6 else "")
    director.ipvsadm(f"-A {name} -s rr" + (f" -p {TIMEOUT}" if persistent else ""))
    for server in prepared.servers_for("nat"):
        director.ipvsadm(f"-a {name} -r {bracket(server.address(family))}:0 -m")
    found = [one for port in (HTTP, NAT_HTTP) for one in ask(prepared, address, 3, port=port)]
    assert len(found) == 6
    assert len(set(found)) == (1 if persistent else 3)


@pytest.fixture
def ftp(prepared):
    """An FTP server on each real server of DR."""
    servers = []
    for server in prepared.servers_for("dr"):
        argv = [sys.executable, "-I", "-S", ftp_server.__file__, server.name, str(FTP)]
        command = ["setpriv", "--pdeathsig", "KILL", "--", *server.namespace.enter(argv)]
        servers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        server.namespace.wait_for_port(FTP)
    yield
    for each in servers:
        each.kill()
        each.wait()


@pytest.mark.usefixtures("ftp")
def test_passive_ftp_by_dr(director, prepared):
    """Data connections go to ports that nobody announced, of the server that chose them."""
    address = vip(prepared, "dr", 4)
    director.ipvsadm(f"-A -t {address}:{FTP} -s rr -p {TIMEOUT}")
    for server in prepared.servers_for("dr"):
        director.ipvsadm(f"-a -t {address}:{FTP} -r {server.v4}:{FTP} {FLAG['dr']}")
    fetched = [
        prepared.client.run(["curl", "-sS", "-m", "5", f"ftp://{address}/file"]).stdout
        for _ in range(3)
    ]
    assert len(set(fetched)) == 1
    assert fetched[0].startswith("rs")
