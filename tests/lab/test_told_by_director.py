# SPDX-License-Identifier: Apache-2.0
"""FULLNAT from end to end: the director tells, the real server's programs know their client."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client_option import option
from tests.lab import wire
from tests.lab.toa_carrier import join, split
from tests.lab.told import BOTH, HAPROXY, LOGS, MPTCP, NGINX, OLD, PYTHON, REDIS, Told, inside
from tests.lab.traffic import bracket, vip

from xlvs.lab import Lab
from xlvs.lab.plan import LOCAL_ADDRESSES

_SYN, _RST, _ACK = 2, 4, 16
FAMILIES = pytest.mark.parametrize("family", [4, 6])
pytestmark = pytest.mark.usefixtures("services")


class Directed:
    """The lab's director between its client and its first real server of FULLNAT."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.client = lab.client.full_name
        self.server = lab.servers_for("fullnat")[0].namespace.full_name

    def asked(self, family: int) -> str:
        return vip(self.lab, "fullnat", family)

    def source(self, family: int) -> str:
        return self.lab.client.address(family)


@pytest.fixture(scope="module", autouse=True)
def well_formed(prepared: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with wire.lab_watched(prepared, tmp_path_factory.mktemp("wire")):
        yield


@pytest.fixture(scope="module")
def told(prepared: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """All kinds of servers in the real server's cgroup; one is older than the programs."""
    net = Directed(prepared)
    place = Path(prepared.servers_for("fullnat")[0].cgroup)
    believed = ",".join(LOCAL_ADDRESSES)
    told = Told(net, place, tmp_path_factory.mktemp("told"), believed)
    try:
        told.python(OLD)
        told.up()
        told.start_all()
        yield told
    finally:
        told.realserver("down")
        told.stop_all()


@pytest.fixture(scope="module")
def services(prepared: Lab, running: object) -> Iterator[None]:
    """A service for each server."""
    del running
    server = prepared.servers_for("fullnat")[0]
    for port in (80, PYTHON, MPTCP, OLD, NGINX, BOTH, HAPROXY, REDIS):
        for family in (4, 6):
            service = f"{bracket(vip(prepared, 'fullnat', family))}:{port}"
            prepared.director.ipvsadm(f"-A -t {service} -s rr --toa")
            real = f"{bracket(server.address(family))}:{port}"
            prepared.director.ipvsadm(f"-a -t {service} -r {real} --fullnat")
    yield
    prepared.director.ipvsadm("-C")


@FAMILIES
@pytest.mark.parametrize("cookies", [1, 2])
@pytest.mark.parametrize("port", [PYTHON, MPTCP, OLD])
def test_accept(told: Told, family: int, cookies: int, port: int) -> None:
    setting = "net.ipv4.tcp_syncookies"
    server = told.net.lab.servers_for("fullnat")[0]
    server.run(["sysctl", "-qw", f"{setting}={cookies}"])
    try:
        before = told.counts()
        for _ in range(5):
            seen, true = told.ask(family, port)
            assert seen == true
        after = told.counts()
        by = "by_syn" if cookies == 1 else "by_ack"
        assert after[by] == before[by] + 5
    finally:
        server.run(["sysctl", "-qw", f"{setting}=1"])


@FAMILIES
@pytest.mark.parametrize(("port", "log", "name"), LOGS)
def test_web_servers(told: Told, family: int, port: int, log: str, name: str) -> None:
    line, true = told.logged(family, port, log, name)
    assert line == true


@FAMILIES
def test_redis(told: Told, family: int) -> None:
    seen, true = told.listed(family)
    assert seen == true


@FAMILIES
def test_curl(told: Told, family: int) -> None:
    """The lab's own nginx, which was there before everything."""
    client = told.net.lab.client
    url = f"http://{bracket(told.net.asked(family))}/"
    answer = client.run(["curl", "-sS", "-m", "3", url]).stdout
    server = told.net.lab.servers_for("fullnat")[0].name
    assert answer == f"{server} saw {client.address(family)}\n"


@FAMILIES
@pytest.mark.parametrize("port", [MPTCP, PYTHON])
def test_mptcp_client(told: Told, family: int, port: int) -> None:
    """With IPv6 the connection is one of plain TCP: its SYN had no room for both."""
    seen, true = told.ask(family, port, socket.IPPROTO_MPTCP)
    assert seen == true


@pytest.fixture
def syn_proxy(told: Told) -> Iterator[None]:
    """The director makes the servers' handshakes."""
    director = told.net.lab.director
    names = [
        f"{bracket(told.net.asked(family))}:{port}"
        for family in (4, 6)
        for port in (PYTHON, MPTCP, NGINX)
    ]
    for name in names:
        director.ipvsadm(f"-E -t {name} -s rr --toa --syn-proxy on")
    yield
    for name in names:
        director.ipvsadm(f"-E -t {name} -s rr --toa")


@FAMILIES
@pytest.mark.parametrize("cookies", [1, 2])
@pytest.mark.usefixtures("syn_proxy")
def test_with_syn_proxy(told: Told, family: int, cookies: int) -> None:
    """Of a client with MPTCP, too: it is answered without."""
    server = told.net.lab.servers_for("fullnat")[0]
    server.run(["sysctl", "-qw", f"net.ipv4.tcp_syncookies={cookies}"])
    try:
        before = told.counts()
        for port, protocol in ((PYTHON, 0), (MPTCP, 0), (MPTCP, socket.IPPROTO_MPTCP)):
            seen, true = told.ask(family, port, protocol)
            assert seen == true
        line, true = told.logged(family, NGINX, "access.log", "nginx")
        assert line == true
        by = "by_syn" if cookies == 1 else "by_ack"
        assert told.counts()[by] == before[by] + 4
    finally:
        server.run(["sysctl", "-qw", "net.ipv4.tcp_syncookies=1"])


@pytest.mark.parametrize("cookies", [1, 2])
def test_a_client_who_forges(told: Told, stranger: str, cookies: int) -> None:
    """Options of the client's own, in the SYN and in all that follows."""
    server = told.net.lab.servers_for("fullnat")[0]
    server.run(["sysctl", "-qw", f"net.ipv4.tcp_syncookies={cookies}"])
    try:
        port = 50000 + cookies
        said = by_hand(told.net, stranger, port, option("203.0.113.9", 99))
        assert said == f"::ffff:{stranger} {port}\n"
    finally:
        server.run(["sysctl", "-qw", "net.ipv4.tcp_syncookies=1"])


@pytest.fixture
def stranger(told: Told) -> Iterator[str]:
    """An address that the client's kernel does not have, so that it sends no resets."""
    lab, address = told.net.lab, "10.1.0.77"
    mac = lab.client.run(["cat", "/sys/class/net/eth0/address"]).stdout.strip()
    neighbour = ["ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0"]
    lab.director.run([*neighbour, "nud", "permanent"])
    yield address
    lab.director.run(["ip", "neigh", "del", address, "dev", "eth0"])


def by_hand(net: Directed, source: str, port: int, options: bytes) -> str:
    """What the Python server says first to a client that has these options in all packets."""
    asked = net.asked(4)
    with inside(net.client):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        heard = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))

    def send(flags: int, sequence: int, acknowledged: int) -> None:
        words = (20 + len(options)) // 4
        tcp = struct.pack(
            "!HHIIBBHHH", port, PYTHON, sequence, acknowledged, words << 4, flags, 65535, 0, 0
        )
        raw.sendto(join(source, asked, tcp + options), (asked, 0))

    def hear() -> tuple[int, bytes]:
        """The next sequence number, and the payload."""
        while True:
            sender, to, tcp = split(heard.recv(65536))
            if (sender, to) == (asked, source) and tcp and tcp[2:4] == struct.pack("!H", port):
                break
        payload = tcp[(tcp[12] >> 4) * 4 :]
        assert not tcp[13] & _RST
        return struct.unpack_from("!I", tcp, 4)[0] + (tcp[13] & _SYN) // 2 + len(payload), payload

    with raw, heard:
        heard.settimeout(10)
        send(_SYN, 1000, 0)
        following, _ = hear()
        send(_ACK, 1001, following)
        text = b""
        while not text.endswith(b"\n"):
            following, text = hear()
            # Ethernet pads short frames.
            text = text.rstrip(b"\0")
        send(_RST | _ACK, 1001, following)
        return text.decode()
