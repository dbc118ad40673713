# SPDX-License-Identifier: Apache-2.0
"""SYN proxy with real clients and servers: what is lost comes again, floods leave nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.lab.small import REAL, SERVICE, VIP, Small, destination, eventually

VIP6 = "fd00:1::1"
CLIENT6, REAL6 = "fd00:100::fe", "fd00:200::11"
LOCAL, LOCAL6 = "192.168.200.101", "fd00:200::101"
SERVICE6 = {"protocol": "tcp", "address": VIP6, "port": 80}

# The first word says what a connection is for: a banner comes without having been asked for.
_SERVER = """
import socket, sys, threading
def one(channel, banner):
    with channel:
        if banner:
            channel.sendall(b"220 ready\\r\\n")
        asked = channel.recv(65536)
        if asked.startswith(b"GET"):
            size = int(asked.split()[1][1:] or b"5")
            channel.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
            block = bytes(range(256)) * 256
            for at in range(0, size, len(block)):
                channel.sendall(block[:size - at])
        elif asked.startswith(b"PUT"):
            import hashlib
            seen = hashlib.sha256()
            while asked:
                seen.update(asked)
                asked = channel.recv(65536)
            channel.sendall(seen.hexdigest().encode())
def serve(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=500)
    while True:
        channel, _ = listener.accept()
        threading.Thread(target=one, args=(channel, port == 25), daemon=True).start()
for address in sys.argv[1:]:
    for port in (8080, 25):
        threading.Thread(target=serve, args=(address, port)).start()
print("serving", flush=True)
"""

_BANNER = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8) as s:
    print(s.recv(100).decode().strip())
"""

_MANY = """
import socket, sys
host, count, ports = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
bad = 0
for i in range(count):
    with socket.socket(family) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        linger = b"\\x01\\0\\0\\0\\0\\0\\0\\0" if i % 3 == 0 else bytes(8)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        s.bind(("", 20000 + i % ports))
        s.settimeout(8)
        try:
            s.connect((host, 80))
            s.sendall(b"GET /5 HTTP/1.0\\r\\n\\r\\n")
            got = b""
            while part := s.recv(4096):
                got += part
            bad += not got.endswith(bytes(range(5)))
        except OSError as error:
            bad += 1
            print(i, error, file=sys.stderr)
print(bad)
"""

_HOLD = """
import socket, sys
with socket.create_connection((sys.argv[1], 80), timeout=8):
    print("connected", flush=True)
    sys.stdin.read()
"""

_UPLOAD = """
import hashlib, socket, sys
data = b"PUT " + bytes(range(251)) * (int(sys.argv[2]) // 251)
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_connection((sys.argv[1], 80), timeout=60) as s:
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    got = b""
    while part := s.recv(4096):
        got += part
print(got.decode() == hashlib.sha256(data).hexdigest())
"""


# SYNs of a raw socket, each from another port, of clients that are not there.
_FLOOD = """
import random, sys, time
from ipaddress import ip_address
from xlvs.io.raw_socket import raw_socket
from xlvs.protocols.tcp_syn import Syn, packet
vip, count, pause = ip_address(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
port = int(sys.argv[4])
v4 = vip.version == 4
s = raw_socket(vip.version)
for i in range(count):
    source = ip_address(f"198.51.100.{i % 200 + 1}" if v4 else f"2001:db8::{i % 200 + 1:x}")
    syn = Syn(source, vip, port + i, 80, random.getrandbits(32), 64000, 1460, 1, True, 7)
    s.sendto(packet(syn), (str(vip), 0))
    if i % 100 == 99:
        time.sleep(pause / 10)
"""


class World:
    """The small world with addresses of IPv6 and servers on two ports."""

    def __init__(self, small: Small, hook: str) -> None:
        self.small = small
        for host, device in (("c", "w0"), ("d", "eth0"), ("d", "eth1"), ("r", "w1")):
            words = ["gro", "on", "tx", "off"] if hook == "xdp" else ["gro", "on"]
            subprocess.run(small.within(host, "ethtool", "-K", device, *words), check=True)
        for host, device, address in (
            ("c", "w0", f"{CLIENT6}/64"),
            ("d", "eth0", "fd00:100::1/64"),
            ("d", "eth1", "fd00:200::1/64"),
            ("d", "lo", f"{VIP6}/128"),
            ("d", "eth1", f"{LOCAL6}/64"),
            ("r", "w1", f"{REAL6}/64"),
        ):
            small.on(host, "addr", "add", address, "dev", device, "nodad")
        small.on("d", "addr", "add", f"{LOCAL}/24", "dev", "eth1")
        small.on("c", "-6", "route", "add", "default", "via", "fd00:100::1")
        small.on("r", "-6", "route", "add", "default", "via", "fd00:200::1")
        forward = small.within("d", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        subprocess.run(forward, check=True)
        assert small.listen("r", REAL[0], REAL6, script=_SERVER) == "serving\n"
        small.start(hook=hook)
        self.hook = hook

    def serve(
        self,
        method: str = "nat",
        port: int = 8080,
        mode: str = "on",
        threshold: int = 1000,
        **more: object,
    ):
        """One service of each family, on port 80; their servers' port says what they do."""
        proxy = {"mode": mode, "threshold": threshold}
        for key, server, local in ((SERVICE, REAL[0], LOCAL), (SERVICE6, REAL6, LOCAL6)):
            service = {"key": key, "scheduler": "rr", "syn_proxy": proxy, **more}
            if method == "fullnat":
                service["local_addresses"] = [local]
            made = destination(server, method=method)
            made["service"] = key
            made["destination"]["key"]["port"] = port
            self.small.edit({"op": "service.add", "service": service}, made)

    def python(self, text: str, *words: object, patience: float = 120) -> str:
        """What a client's program prints."""
        done = subprocess.run(
            self.small.within("c", sys.executable, "-c", text, *map(str, words)),
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def get(self, vip: str, size: int = 5, patience: int = 8) -> bytes:
        """What a client gets."""
        host = f"[{vip}]" if ":" in vip else vip
        return subprocess.run(
            self.small.within("c", "curl", "-s", "-m", str(patience), f"http://{host}/{size}"),
            capture_output=True,
            check=False,
        ).stdout

    @contextmanager
    def held(self, vip: str) -> Iterator[None]:
        """A client with a connection, meanwhile."""
        client = subprocess.Popen(
            self.small.within("c", sys.executable, "-c", _HOLD, vip),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdout.readline() == "connected\n"
            yield
        finally:
            client.communicate("")

    def lose(self, host: str, hook: str, rule: str) -> None:
        """What a host sends (``output``) or gets (``input``) is lost by a rule of nft."""
        chain = f"type filter hook {hook} priority 0; policy accept; {rule} drop;"
        text = f"table inet {hook}loss {{ chain loss {{ {chain} }}; }}\n"
        subprocess.run(self.small.within(host, "nft", "-f", "-"), input=text, text=True, check=True)

    def lose_nothing(self) -> None:
        """No rule any more."""
        for host in ("c", "r"):
            subprocess.run(self.small.within(host, "nft", "flush", "ruleset"), check=True)

    def reasons(self) -> dict[str, int]:
        found = self.small.api("GET", "/v1/status")["reasons"]
        return defaultdict(int, {name: each["packets"] for name, each in found.items()})

    def connections(self) -> int:
        return self.small.api("GET", "/v1/status")["table"]["used"]


@pytest.fixture(scope="module", params=["tc", "xdp"])
def started(tmp_path_factory, request):
    with Small(tmp_path_factory.mktemp(request.param), watched=True) as small:
        yield World(small, request.param)


@pytest.fixture
def world(started):
    """Without services and losses; connections of before may be there."""
    started.small.edit({"op": "clear"})
    started.lose_nothing()
    return started


FAMILIES = pytest.mark.parametrize("vip", [VIP, VIP6], ids=["ipv4", "ipv6"])
METHODS = pytest.mark.parametrize("method", ["nat", "fullnat"])


@METHODS
def test_requests_banners_and_uploads(world, method):
    world.serve(method)
    before = world.reasons()
    for vip in (VIP, VIP6):
        for _ in range(5):
            assert world.get(vip) == bytes(range(5))
        assert world.python(_UPLOAD, vip, 1_000_000) == "True"
    after = world.reasons()
    assert after["reply_syn_cookie"] == before["reply_syn_cookie"] + 12
    assert after["drop_syn_cookie"] == before["drop_syn_cookie"]


@METHODS
def test_a_server_that_speaks_first(world, method):
    world.serve(method, port=25)
    for vip in (VIP, VIP6):
        assert world.python(_BANNER, vip, 80) == "220 ready"


@FAMILIES
def test_a_closed_port_is_refused_at_once(world, vip):
    world.serve(port=9)
    assert world.get(vip) == b""
    done = subprocess.run(
        world.small.within("c", "curl", "-s", "-m", "8", f"http://{bracketed(vip)}/"),
        check=False,
    )
    assert done.returncode in (7, 56), "refused, or reset behind the handshake; not a time-out"


def bracketed(vip: str) -> str:
    return f"[{vip}]" if ":" in vip else vip


# What of the handshakes is lost, once: who sends or gets it, and which packet that is.
_PURE = "tcp flags ack / syn,ack,psh,fin,rst"
LOST = {
    "the SYN": ("c", "output", "tcp flags syn / syn,ack"),
    "the cookie": ("c", "input", "tcp flags syn,ack / syn,ack"),
    "the acknowledgement": ("c", "output", _PURE),
    "the SYN to the server": ("r", "input", "tcp flags syn / syn,ack"),
    "the server's SYN-ACK": ("r", "output", "tcp flags syn,ack / syn,ack"),
    "the acknowledgement to the server": ("r", "input", _PURE),
    "the window": ("c", "input", _PURE),
}


def lose_one(world: World, lost: str) -> None:
    """The next packet of that kind is lost, and no other."""
    world.lose_nothing()
    host, way, rule = LOST[lost]
    world.lose(host, way, f"{rule} limit rate 1/hour burst 1 packets")


def test_any_packet_of_the_handshakes_may_be_lost(world):
    world.serve()
    for vip in (VIP, VIP6):
        for lost in LOST:
            lose_one(world, lost)
            assert world.get(vip, patience=20) == bytes(range(5)), (vip, lost)


# With a server that speaks first nobody asks again for what is lost, but for who lost it.
SILENT = LOST.keys() - {"the acknowledgement", "the window"}


def test_also_with_a_server_that_speaks_first(world):
    world.serve(port=25)
    for vip in (VIP, VIP6):
        for lost in SILENT:
            lose_one(world, lost)
            assert world.python(_BANNER, vip, 80) == "220 ready", (vip, lost)


@FAMILIES
def test_a_lossy_way(world, vip):
    world.serve()
    for way in ("input", "output"):
        world.lose("c", way, "numgen random mod 100 == 0")
    size = 16 << 20
    got = world.get(vip, size, patience=60)
    assert len(got) == size
    assert got == bytes(range(256)) * (size // 256)


@FAMILIES
def test_ports_are_used_again(world, vip):
    world.serve()
    assert world.python(_MANY, vip, 600, 100) == "0"


@FAMILIES
def test_auto_switches_itself_on_and_off(world, vip):
    on, off = (f"{bracketed(vip)}:80: ", f"{bracketed(vip)}:80: SYN proxy is off again")
    said = world.small.said().count(on)
    world.serve(mode="auto", threshold=50)
    before = world.reasons()["reply_syn_cookie"]
    assert world.get(vip) == bytes(range(5))
    assert world.reasons()["reply_syn_cookie"] == before
    world.python(_FLOOD, vip, 1500, 2, 1024)
    eventually(lambda: world.small.said().count(on) > said)
    assert "SYNs a second without a client: SYN proxy is on" in world.small.said()
    # From the same ports again: they have half-open connections, and are answered nevertheless.
    before = world.reasons()["reply_syn_cookie"]
    world.python(_FLOOD, vip, 300, 0, 1024)
    assert world.reasons()["reply_syn_cookie"] >= before + 290
    before = world.connections()
    world.python(_FLOOD, vip, 300, 0, 10000)
    assert world.get(vip) == bytes(range(5))
    assert world.connections() <= before + 1
    eventually(lambda: off in world.small.said(), patience=30)


@FAMILIES
def test_a_flood_leaves_nothing(world, vip):
    world.serve()
    before, connections = world.reasons()["reply_syn_cookie"], world.connections()
    # Others than above: a SYN of a connection that was opened in peace goes to its server.
    world.python(_FLOOD, vip, 3000, 0.2, 20000)
    assert world.reasons()["reply_syn_cookie"] >= before + 2900
    assert world.connections() <= connections
    for _ in range(5):
        assert world.get(vip) == bytes(range(5))


def test_what_servers_do_is_promised(world):
    """One that has no SACK: after the first handshake nobody is promised that."""

    def promises() -> list[dict[str, object]]:
        listed = world.small.api("GET", "/v1/services")["services"]
        return [each["syn_promise"] for each in listed]

    world.serve(toa=True, method="fullnat")
    eventually(lambda: all(each["sack"] for each in promises()))
    assert sorted(each["mss"] for each in promises()) == [1500 - 60 - 20, 1500 - 40 - 8]
    off = world.small.within("r", "sysctl", "-qw", "net.ipv4.tcp_sack=0")
    subprocess.run(off, check=True)
    try:
        for vip in (VIP, VIP6):
            assert world.get(vip) == bytes(range(5))
        eventually(lambda: not any(each["sack"] for each in promises()))
        assert all(each["timestamps"] for each in promises())
        for vip in (VIP, VIP6):
            assert world.get(vip) == bytes(range(5))
    finally:
        on = world.small.within("r", "sysctl", "-qw", "net.ipv4.tcp_sack=1")
        subprocess.run(on, check=True)


@FAMILIES
def test_who_is_over_a_limit_is_told(world, vip):
    world.serve(limits={"service": {"connections": 1}})
    with world.held(vip):
        before = world.reasons()["drop_service_connections"]
        done = subprocess.run(
            world.small.within("c", "curl", "-s", "-m", "8", f"http://{bracketed(vip)}/"),
            check=False,
        )
        assert done.returncode in (7, 52, 56), "reset, not a time-out"
        assert world.reasons()["drop_service_connections"] > before


def test_a_restarted_daemon_goes_on(world):
    world.serve()
    assert world.get(VIP) == bytes(range(5))
    world.small.stop(15)
    assert world.get(VIP) == bytes(range(5)), "nobody is needed for that"
    world.small.start(hook=world.hook)
    assert world.get(VIP) == bytes(range(5))
    services = world.small.api("GET", "/v1/services")["services"]
    assert {each["service"]["syn_proxy"]["mode"] for each in services} == {"on"}
