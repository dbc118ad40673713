# SPDX-License-Identifier: Apache-2.0
"""Rules that netfilter obeys, and the same rules taken over: packets get the same marks."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from tests.unit.datapath.test_marks import lookup, one_by_one

from xlvs.cli.marks.reading import read
from xlvs.datapath.libbpf import enter_network
from xlvs.datapath.marks import compiled

RULES, PACKETS = 60, 1500
TO = ["10.9.0.0/16", "10.9.1.0/24", "10.9.1.7/32", "10.9.2.0/23", "10.0.0.0/8"]
FROM = ["192.0.2.0/24", "192.0.2.7/32", "192.0.0.0/8"]
TARGETS = ["10.9.1.7", "10.9.1.8", "10.9.2.1", "10.9.3.9", "10.200.0.1", "172.16.0.1"]
CLIENTS = ["192.0.2.7", "192.0.2.8", "192.9.9.9", "198.51.100.1"]
PORTS = [1, 79, 80, 81, 443, 7999, 8000, 8500, 8999, 9000, 65535]
TRANSPORTS = {"tcp": (6, TCP), "udp": (17, UDP), "sctp": (132, SCTP)}
SEEN = """table ip probe {
	set seen {
		type ipv4_addr . ipv4_addr . inet_proto . inet_service . mark
		flags dynamic
		size 65535
	}
	chain pre {
		type filter hook prerouting priority filter; policy accept;
		add @seen { ip saddr . ip daddr . meta l4proto . th dport . meta mark }
	}
}
"""


class Netfilter:
    """A host whose netfilter marks what arrives, and a wire to it."""

    def __init__(self, name: str) -> None:
        self.host, self.sender = f"{name}h", f"{name}s"

    def run(self, *words: str, text: str | None = None, where: str = "") -> str:
        command = ["ip", "netns", "exec", where or self.host, *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert not done.returncode, (words, done.stderr, text)
        return done.stdout

    def __enter__(self):
        for each in (self.host, self.sender):
            subprocess.run(["ip", "netns", "add", each], check=True)
        command = f"ip link add in0 netns {self.host} type veth peer name out0 netns {self.sender}"
        subprocess.run(command.split(), check=True)
        self.run("ip", "link", "set", "in0", "address", "02:00:00:00:00:01", "up")
        self.run("ip", "addr", "add", "203.0.113.1/24", "dev", "in0")
        self.run("ip", "link", "set", "out0", "up", where=self.sender)
        return self

    def __exit__(self, *_):
        for each in (self.host, self.sender):
            subprocess.run(["ip", "netns", "del", each], check=False)

    def marks(self, packets) -> dict[tuple[str, str, int, int], int]:
        """What netfilter's rules make of them."""
        self.run("nft", "-f", "-", text=SEEN)
        with _entered(self.sender):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with wire:
            wire.bind(("out0", 0))
            for each in packets:
                wire.send(each)
        listed = json.loads(self.run("nft", "-j", "-n", "list", "set", "ip", "probe", "seen"))
        found = next(each["set"] for each in listed["nftables"] if "set" in each)
        marks = {}
        for element in found.get("elem", []):
            source, to, protocol, port, mark = element["concat"]
            number = TRANSPORTS[protocol][0] if protocol in TRANSPORTS else int(protocol)
            assert marks.setdefault((source, to, number, port), mark) == mark
        return marks


class _entered:  # noqa: N801 - used as a function
    """This thread in another network namespace."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self):
        self._here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
        enter_network(there)
        os.close(there)

    def __exit__(self, *_):
        enter_network(self._here)
        os.close(self._here)


@pytest.fixture
def netfilter() -> Iterator[Netfilter]:
    with Netfilter(f"xlvs-n{os.getpid()}") as made:
        yield made


def _rule(random_: random.Random) -> str:
    words = ["-A PREROUTING"]
    if random_.random() < 0.9:
        words.append(f"-d {random_.choice(TO)}")
    if random_.random() < 0.3:
        words.append(f"-s {random_.choice(FROM)}")
    if random_.random() < 0.9:
        protocol = random_.choice(list(TRANSPORTS))
        words.append(f"-p {protocol}")
        first, last = sorted(random_.sample(PORTS, 2))
        kind = random_.randrange(4)
        if kind == 0:
            words.append(f"-m {protocol} --dport {first}")
        elif kind == 1:
            words.append(f"-m {protocol} --dport {first}:{last}")
        elif kind == 2:
            words.append(f"-m multiport --dports {first},{last}")
    value, mask = random_.randrange(16), random_.choice([0, 3, 0xF, 0xF0])
    words.append(
        random_.choice(
            [
                f"-j MARK --set-mark {value}",
                f"-j MARK --set-mark {value}",
                f"-j MARK --set-mark {value}/{mask:#x}",
                f"-j MARK --set-xmark {value}/{mask:#x}",
                f"-j MARK --or-mark {value}",
                f"-j MARK --and-mark {value:#x}",
                f"-j MARK --xor-mark {value}",
            ]
        )
    )
    return " ".join(words)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("text_of", [("iptables-save",), ("nft", "list", "ruleset")])
def test_packets_get_the_marks_that_netfilter_gives(netfilter, seed, text_of):
    random_ = random.Random(seed)
    lines = [_rule(random_) for _ in range(RULES)]
    netfilter.run("iptables-restore", text="\n".join(["*mangle", *lines, "COMMIT", ""]))
    found = read(netfilter.run(*text_of))
    assert found.refused == ()
    assert len(found.rules) == RULES
    packets = []
    for _ in range(PACKETS):
        _, layer = TRANSPORTS[random_.choice(list(TRANSPORTS))]
        ip = IP(src=random_.choice(CLIENTS), dst=random_.choice(TARGETS))
        ports = layer(sport=4000, dport=random_.choice(PORTS))
        packets.append(bytes(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / ip / ports))
    marks = netfilter.marks(packets)
    assert len(marks) > PACKETS // 4
    assert len(set(marks.values())) > 3
    classes = compiled(found.rules)
    for (source, to, protocol, port), mark in marks.items():
        packet = (ip_address(source), ip_address(to), protocol, port, 0)
        assert one_by_one(found.rules, *packet) == mark, packet
        assert lookup(classes, *packet) == mark, packet
