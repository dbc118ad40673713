# SPDX-License-Identifier: Apache-2.0
"""FULLNAT taken back at the real server: ss, netfilter and every program see the client."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.lab.small import eventually
from tests.lab.test_realserver import snapshot
from tests.lab.test_told_by_director import Directed
from tests.lab.told import BOTH, HAPROXY, LOGS, MPTCP, NGINX, PYTHON, REDIS, Told, inside, within
from tests.lab.traffic import bracket, vip

from xlvs.lab import Lab
from xlvs.lab.plan import LOCAL_ADDRESSES
from xlvs.lab.realserver import RealServer

FAMILIES = pytest.mark.parametrize("family", [4, 6])
SECOND = 9080  # another service in front of the same server

pytestmark = pytest.mark.usefixtures("services")


class Seen(Told):
    """Told, with FULLNAT taken back on eth0."""

    def un_up(self, *words: str) -> str:
        return self.up("", "--un-fullnat", *words)

    def un_counts(self) -> dict[str, int]:
        told = json.loads(self.realserver("check", "-o", "json").stdout)
        return told["un_fullnat"][0]["connections"]

    def said_by(self, *command: str) -> str:
        """What a program of the real server's says."""
        done = subprocess.run(
            within(self.net.server, *command), capture_output=True, text=True, check=True
        )
        return done.stdout

    @property
    def server(self) -> RealServer:
        return self.net.lab.servers_for("fullnat")[0]


@pytest.fixture(scope="module")
def seen(prepared: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Servers of every kind at a host without a default route."""
    net = Directed(prepared)
    server = prepared.servers_for("fullnat")[0]
    before = everything(server)
    believed = ",".join(LOCAL_ADDRESSES)
    folder = tmp_path_factory.mktemp("seen")
    world = Seen(net, Path(server.cgroup), folder, believed)
    try:
        world.un_up()
        world.start_all()
        yield world
    finally:
        done = world.realserver("down")
        world.stop_all()
    assert "this host sees the director's addresses on eth0 again" in done.stdout
    assert everything(server) == before
    assert not list(Path("/sys/fs/bpf").glob("xlvs-un-fullnat*"))


def everything(server: RealServer) -> str:
    """What the command may change, beyond what it changes for TUN."""
    script = (
        "ip rule; ip -6 rule; ip route show table 22614; ip -6 route show table 22614;"
        " ip neigh show nud permanent; cd /proc/sys/net;"
        " grep . ipv4/tcp_fwmark_accept ip*/fwmark_reflect ipv4/conf/*/src_valid_mark"
    )
    return snapshot(server) + server.run(["sh", "-c", script], check=False).stdout


@pytest.fixture(scope="module")
def services(prepared: Lab, running: object) -> Iterator[None]:
    """A service for each server, and one more."""
    del running
    server = prepared.servers_for("fullnat")[0]
    for port in (80, PYTHON, MPTCP, NGINX, BOTH, HAPROXY, REDIS, SECOND, ECHO, 8999):
        for family in (4, 6):
            service = f"{bracket(vip(prepared, 'fullnat', family))}:{port}"
            prepared.director.ipvsadm(f"-A -t {service} -s rr --toa")
            to = REDIS if port == SECOND else port
            real = f"{bracket(server.address(family))}:{to}"
            prepared.director.ipvsadm(f"-a -t {service} -r {real} --fullnat")
    yield
    prepared.director.ipvsadm("-C")


@FAMILIES
def test_ss_sees_the_client(seen: Seen, family: int) -> None:
    before, told = seen.un_counts()["shown"], seen.counts()
    with seen.connect(family, PYTHON) as channel, channel.makefile("rwb", 0) as lines:
        port = channel.getsockname()[1]
        client = seen.net.source(family)
        assert f"{client} {port}" in lines.readline().decode()
        listed = seen.said_by("ss", "-Htn", "state", "established", "sport", f"= :{PYTHON}")
        assert re.search(rf"{re.escape(client)}\]?:{port}\s", listed), listed
    assert seen.un_counts()["shown"] == before + 1
    # The programs that tell by the socket had nothing to do, and nothing to doubt.
    assert seen.counts() == told


@FAMILIES
@pytest.mark.parametrize(("port", "log", "name"), LOGS)
def test_web_servers(seen: Seen, family: int, port: int, log: str, name: str) -> None:
    line, true = seen.logged(family, port, log, name)
    assert line == true


@FAMILIES
def test_redis_and_curl(seen: Seen, family: int) -> None:
    said, true = seen.listed(family)
    assert said == true
    client = seen.net.lab.client
    url = f"http://{bracket(seen.net.asked(family))}/"
    answer = client.run(["curl", "-sS", "-m", "3", url]).stdout
    assert answer == f"{seen.server.name} saw {client.address(family)}\n"


@contextmanager
def firewall(seen: Seen, rule: str) -> Iterator[None]:
    """A rule of the real server's, on what comes in."""
    table = f"add table inet t; add chain inet t c {{ type filter hook input priority 0; }}; {rule}"
    seen.server.run(["nft", table])
    try:
        yield
    finally:
        seen.server.run(["nft", "delete table inet t"])


@FAMILIES
def test_the_firewall_sees_the_client(seen: Seen, family: int) -> None:
    word, client = ("ip", "ip6")[family == 6], seen.net.source(family)
    with firewall(seen, f"add rule inet t c {word} saddr {client} tcp dport {PYTHON} counter"):
        said, true = seen.ask(family, PYTHON)
        assert said == true
        listed = seen.server.run(["nft", "list table inet t"]).stdout
    assert int(re.findall(r"counter packets (\d+)", listed)[0]) >= 3


@FAMILIES
@pytest.mark.parametrize("how", ["", "with tcp reset"])
def test_who_is_refused_hears_of_it(seen: Seen, family: int, how: str) -> None:
    """By a reset, or by an ICMP error that quotes the client's packet."""
    word, client = ("ip", "ip6")[family == 6], seen.net.source(family)
    rule = f"add rule inet t c {word} saddr {client} tcp dport {PYTHON} reject {how}"
    with firewall(seen, rule), pytest.raises(ConnectionRefusedError):
        seen.connect(family, PYTHON)


@FAMILIES
def test_a_closed_port(seen: Seen, family: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        seen.connect(family, 8999)


ECHO = 8997
_ECHO = f"""
import socket
listener = socket.create_server(("::", {ECHO}), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    channel, _ = listener.accept()
    with channel:
        while data := channel.recv(1 << 20):
            channel.sendall(bytes(300_000) if data == b"give" else data)
"""


@pytest.fixture(scope="module")
def echo(seen: Seen) -> Iterator[None]:
    """A server that says what it hears, or gives something."""
    server = seen.start(sys.executable, "-I", "-S", "-c", _ECHO, log="echo")
    eventually(lambda: f":{ECHO} " in seen.said_by("ss", "-Hltn"))
    yield
    seen.stop(server)


def echoed(seen: Seen, family: int, data: bytes) -> bytes:
    """What comes back of what is sent, both at the same time."""
    got = bytearray()
    with seen.connect(family, ECHO) as channel, ThreadPoolExecutor(1) as sender:
        sent = sender.submit(channel.sendall, data)
        while len(got) < len(data) and (part := channel.recv(1 << 20)):
            got += part
        sent.result()
    return bytes(got)


@FAMILIES
@pytest.mark.usefixtures("echo")
def test_much_both_ways(seen: Seen, family: int) -> None:
    """In frames of many segments, whose checksums are still to be completed."""
    data = random.Random(family).randbytes(8_000_000)
    assert echoed(seen, family, data) == data


@FAMILIES
@pytest.mark.usefixtures("echo")
def test_a_smaller_way_is_learnt(seen: Seen, family: int) -> None:
    """ICMP errors about packets that were sent to a local address find their connection."""
    router = seen.net.lab.router
    router.run(["ip", "link", "set", "eth1", "mtu", "1300"])
    try:
        with seen.connect(family, ECHO) as channel:
            channel.sendall(b"give")
            got = 0
            while got < 300_000 and (part := channel.recv(1 << 20)):
                got += len(part)
        assert got == 300_000
    finally:
        router.run(["ip", "link", "set", "eth1", "mtu", "1500"])


@FAMILIES
def test_one_client_port_by_two_services(seen: Seen, family: int) -> None:
    """The host could not tell them apart: the second is known to programs only."""
    before = seen.un_counts()
    first, second = two_of_one_port(seen, family)
    with first, second:
        first.connect((seen.net.asked(family), REDIS))
        second.connect((seen.net.asked(family), SECOND))
        second.sendall(b"CLIENT LIST\r\n")
        client = bracket(seen.net.source(family))
        same = f" addr={client}:{first.getsockname()[1]} "
        assert second.recv(65536).decode().count(same) == 2
        first.sendall(b"PING\r\n")
        assert first.recv(100) == b"+PONG\r\n"
        local = [each for each in LOCAL_ADDRESSES if (":" in each) == (family == 6)]
        listed = seen.said_by("ss", "-Htn", "state", "established", "sport", f"= :{REDIS}")
        assert any(each in listed for each in local), listed
    after = seen.un_counts()
    assert after["collisions"] == before["collisions"] + 1
    assert after["shown"] == before["shown"] + 1
    assert "they are not changed" in seen.realserver("check").stdout


def two_of_one_port(seen: Seen, family: int) -> list[socket.socket]:
    """The client's, not connected yet."""
    with inside(seen.net.client):
        both = [socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET) for _ in "12"]
    port = 0
    for each in both:
        each.settimeout(10)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind((seen.net.source(family), port))
        port = each.getsockname()[1]
    return both


@FAMILIES
def test_strict_reverse_paths_and_another_default_route(seen: Seen, family: int) -> None:
    """The host's own way to clients leads elsewhere, and it is strict about that."""
    server = seen.server
    server.run(["ip", "link", "add", "else", "type", "veth", "peer", "name", "there"])
    for each in ("else", "there"):
        server.run(["ip", "link", "set", each, "up"])
    server.run(["ip", *(["-6"] if family == 6 else []), "route", "add", "default", "dev", "else"])
    for name in ("all", "eth0"):
        server.run(["sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=1"])
    try:
        said, true = seen.ask(family, PYTHON)
        assert said == true
    finally:
        for name in ("all", "eth0"):
            server.run(["sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0"])
        server.run(["ip", "link", "del", "else"])


@FAMILIES
def test_another_up_while_a_connection_lives(seen: Seen, family: int) -> None:
    with seen.connect(family, PYTHON) as channel, channel.makefile("rwb", 0) as lines:
        known = lines.readline()
        seen.un_up()
        lines.write(b"again\n")
        assert lines.readline() == known


def test_syn_cookies(seen: Seen) -> None:
    """The SYN is read before the kernel forgets it."""
    seen.server.run(["sysctl", "-qw", "net.ipv4.tcp_syncookies=2"])
    try:
        for family in (4, 6):
            said, true = seen.ask(family, PYTHON)
            assert said == true
    finally:
        seen.server.run(["sysctl", "-qw", "net.ipv4.tcp_syncookies=1"])


def test_who_comes_directly_is_not_changed(seen: Seen) -> None:
    """From the router, past the director."""
    router = seen.net.lab.router
    url = f"http://{seen.server.v4}/"
    answer = router.run(["curl", "-sS", "-m", "3", url]).stdout
    assert re.fullmatch(rf"{seen.server.name} saw 10\.3\.0\.254\n", answer)


def test_check_says_what_is_gone(seen: Seen) -> None:
    server = seen.server
    assert "nothing wrong" in seen.realserver("check").stdout
    server.run(["ip", "rule", "del", "priority", "22614"])
    server.run(["ip", "route", "flush", "table", "22614"])
    server.run(["sysctl", "-qw", "net.ipv4.tcp_fwmark_accept=0"])
    server.run(["tc", "filter", "del", "dev", "eth0", "egress", "pref", str(0x5857)])
    server.run(["ip", "route", "add", "unreachable", "10.2.0.101"])
    try:
        done = seen.realserver("check")
        assert done.returncode == 1
        for sentence in (
            "the IPv4 rule for mark 22614 is gone",
            "the IPv4 route of table 22614 is gone",
            "net.ipv4.tcp_fwmark_accept should be 1",
            "program for packets that go out is gone from eth0",
            "to the local address 10.2.0.101 has no route",
        ):
            assert sentence in done.stdout
    finally:
        server.run(["ip", "route", "del", "unreachable", "10.2.0.101"])
        seen.un_up()
    assert "nothing wrong" in seen.realserver("check").stdout


def test_what_is_refused_changes_nothing(seen: Seen) -> None:
    before = everything(seen.server)
    for words, sentence in (
        (("--un-fullnat", "--mark", "7"), "is on eth0 with mark 22614 already"),
        (("--un-fullnat", "--mark", "0"), "a mark is a number from 1"),
        (("--un-fullnat", "--interface", "eth7"), "there is no interface eth7 here"),
        (("--un-fullnat", "--interface", "eth0", "--interface", "lo"), "wants one --interface"),
        (("--mark", "7"), "--mark belongs to --un-fullnat"),
    ):
        done = seen.realserver(
            "up", "--client-address", "--from", "10.9.9.9", "--cgroup", str(seen.place), *words
        )
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    done = seen.realserver("up", "--un-fullnat")
    assert "--un-fullnat belongs to --client-address" in done.stderr
    assert "10.9.9.9" not in seen.realserver("check").stdout
    assert everything(seen.server) == before


def test_down_and_up(seen: Seen) -> None:
    done = seen.realserver("down", "--un-fullnat")
    assert done.stdout == "this host sees the director's addresses on eth0 again\n"
    try:
        said, true = seen.ask(4, PYTHON)
        assert said == true  # by the socket's programs
        listed = seen.said_by("ss", "-Htn", "sport", f"= :{PYTHON}")
        assert seen.net.source(4) not in listed.replace("TIME-WAIT", "")
    finally:
        seen.un_up()
    said, true = seen.ask(4, PYTHON)
    assert said == true
