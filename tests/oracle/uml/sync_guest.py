# SPDX-License-Identifier: Apache-2.0
"""In the guest: the kernel's sync daemons in one namespace, ours in another, a cable between.

Writes ``result.json``: for each group what ours sent and the kernel then listed, and what
the kernel sent, as ours read it, and listed itself.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from xlvs.io.sync.ipvs import Receiver, Sender, Tuning
from xlvs.model.synced import SCTP, UDP, Flag, Forward, Synced
from xlvs.model.syncing import SyncDaemon

WORK = Path("/run/work")
IPVSADM = "/usr/sbin/ipvsadm"
GROUPS = (("224.0.0.81", 1), ("ff02::51", 2))
SYNC_ID = 7
SERVICES = """
-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 192.168.77.2:8080 -m
-A -t 10.0.0.1:82 -s rr -p 100
-a -t 10.0.0.1:82 -r 192.168.77.2:82 -g
-A -u 10.0.0.1:53 -s rr
-a -u 10.0.0.1:53 -r 192.168.77.2:53 -i
-A -t [fd00:1::1]:80 -s rr
-a -t [fd00:1::1]:80 -r [fd00:77::2]:8080 -m
"""


def sh(command: str, **other: Any) -> str:
    done = subprocess.run(  # noqa: S602  # all of it is written in this file
        command,
        shell=True,
        check=True,
        capture_output=True,
        text=True,
        **other,
    )
    return done.stdout


def director(command: str, **other: Any) -> str:
    return sh(f"ip netns exec director {command}", **other)


def connections() -> list[Synced]:
    """What ours says: each protocol, both families, templates, more than one message."""
    v4 = Synced(
        protocol=6,
        client=ip_address("203.0.113.1").packed,
        client_port=40000,
        virtual=ip_address("10.0.0.1").packed,
        virtual_port=80,
        server=ip_address("192.168.77.2").packed,
        server_port=8080,
        state=1,
        timeout=900.0,
    )
    v6 = v4._replace(
        client=ip_address("2001:db8::1").packed,
        virtual=ip_address("fd00:1::1").packed,
        server=ip_address("fd00:77::2").packed,
    )
    udp = v4._replace(protocol=UDP, virtual_port=53, server_port=53, state=0, timeout=300.0)
    sctp = v4._replace(protocol=SCTP, virtual_port=99, server_port=99, state=8)
    template = v4._replace(
        client_port=0,
        virtual_port=82,
        server_port=82,
        flags=int(Flag.TEMPLATE | Flag.NO_OUTPUT) | Forward.DR,
        state=1,
        timeout=100.0,
    )
    many = [v4._replace(client_port=port) for port in range(41000, 41100)]
    closing = v4._replace(client_port=40001, state=7, flags=int(Flag.INACTIVE), timeout=60.0)
    return [v4, closing, v6, udp, sctp, template, *many]


def plain(one: Synced) -> dict[str, Any]:
    return {
        "protocol": one.protocol,
        "client": str(ip_address(one.client)),
        "client_port": one.client_port,
        "virtual": str(ip_address(one.virtual)),
        "virtual_port": one.virtual_port,
        "server": str(ip_address(one.server)),
        "server_port": one.server_port,
        "flags": one.flags,
        "state": one.state,
        "timeout": one.timeout,
        "fwmark": one.fwmark,
    }


def listed() -> list[list[str]]:
    return sorted(line.split() for line in director(f"{IPVSADM} -Lnc").splitlines()[2:])


def prepare() -> None:
    sh("ip netns add director; ip netns add ours")
    sh("ip link add s0 netns director type veth peer name s1 netns ours")
    for name, device, number in (("director", "s0", 1), ("ours", "s1", 2)):
        sh(f"ip -n {name} link set lo up; ip -n {name} link set {device} up")
        sh(f"ip -n {name} addr add 192.168.77.{number}/24 dev {device}")
        sh(f"ip -n {name} addr add fd00:77::{number}/64 dev {device} nodad")
    sh("ip -n director addr add 10.0.0.1/32 dev lo; ip -n ours route add 10.0.0.1 via 192.168.77.1")
    director("sysctl -q -w net.ipv4.ip_forward=1")
    director(f"{IPVSADM} -R", input=SERVICES)
    director("sysctl -q -w net.ipv4.vs.sync_threshold='0 1'")


def sent(group: str, ports: int) -> list[list[str]]:
    """Ours is the master, the kernel the backup."""
    director(
        f"{IPVSADM} --start-daemon backup --mcast-interface s0 --syncid 7 --mcast-group {group}"
    )
    sh(f"ip netns exec ours {sys.executable} {__file__} send {group} {ports}")
    time.sleep(0.5)
    result = listed()
    director(f"{IPVSADM} --stop-daemon backup")
    return result


def received(group: str, ports: int) -> dict[str, Any]:
    """The kernel is the master, ours the backup."""
    director(
        f"{IPVSADM} --start-daemon master --mcast-interface s0 --syncid 7 --mcast-group {group}"
    )
    ours = subprocess.Popen(
        ["ip", "netns", "exec", "ours", sys.executable, __file__, "receive", group, str(ports)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ours.stdout is not None
    ours.stdout.readline()  # it listens
    director(f"{sys.executable} {__file__} talk")
    result = {"listed": listed(), "got": json.loads(ours.communicate()[0])}
    director(f"{IPVSADM} --stop-daemon master")
    return result


def daemon(group: str, **role: bool) -> SyncDaemon:
    return SyncDaemon(interface="s1", sync_id=SYNC_ID, group=ip_address(group), **role)


async def send(group: str, ports: int) -> None:
    sender = Sender(daemon(group, master=True), Tuning(ports=ports))
    sender.start()
    sender.offer(connections())
    sender.stop()
    status = sender.status()
    assert status.errors == 0, status
    assert status.queued == 0, status


async def receive(group: str, ports: int) -> None:
    """Real server and backup at once."""
    got: list[Synced] = []

    def deliver(some: Sequence[Synced]) -> None:
        got.extend(some)

    receiver = Receiver(daemon(group, backup=True), deliver, Tuning(ports=ports))
    receiver.start()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "192.168.77.2", 8080)
    print(flush=True)  # noqa: T201
    async with asyncio.timeout(10):
        # The connection's last word: TIME_WAIT.
        while not any(one.state == 5 for one in got):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    server.close()
    receiver.stop()
    assert not receiver.status().faults, receiver.status()
    print(json.dumps([plain(one) for one in got]))  # noqa: T201


async def talk() -> None:
    """A client on the director: a connection from its first packet to its last."""
    reader, writer = await asyncio.open_connection("10.0.0.1", 80)
    for _ in range(3):
        writer.write(b"hello")
        await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()


def main() -> None:
    prepare()
    results = []
    for group, ports in GROUPS:
        director(f"sysctl -q -w net.ipv4.vs.sync_ports={ports}")
        results.append(
            {
                "group": group,
                "said": [plain(one) for one in connections()],
                "listed": sent(group, ports),
                "received": received(group, ports),
            }
        )
    (WORK / "result.json").write_text(json.dumps(results))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "talk":
        asyncio.run(talk())
    else:
        part = {"send": send, "receive": receive}[sys.argv[1]]
        asyncio.run(part(sys.argv[2], int(sys.argv[3])))
