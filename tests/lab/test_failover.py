# SPDX-License-Identifier: Apache-2.0
"""Two directors: one dies or loses its cables, connections go on by the other one."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from pyroute2 import netns

from xlvs.lab import Lab
from xlvs.lab.cleanup import remove_abandoned
from xlvs.lab.commands import port
from xlvs.lab.director import Director
from xlvs.lab.namespace import Namespace

VIPS = {"nat": "10.0.0.1", "dr": "10.0.0.2", "tun": "10.0.0.3", "fullnat": "10.0.0.4"}
KINDS = {"nat": "NAT", "dr": "DR", "tun": "TUN", "fullnat": "FNAT"}
SERVERS = {
    "nat": ("10.2.0.11", "10.2.0.12"),
    "dr": ("10.2.0.12", "10.2.0.13"),
    "tun": ("10.3.0.14", "10.3.0.15"),
    "fullnat": ("10.3.0.15", "10.3.0.16"),
}
PORT = 80

FILE = """
global_defs {{
    router_id {name}
    vrrp_garp_master_delay 1
}}
local_address_group local {{
    10.2.0.101
}}
vrrp_sync_group PAIR {{
    group {{
        CLIENTS
        SERVERS
    }}
}}
vrrp_instance CLIENTS {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority {priority}
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        10.1.0.1/24
    }}
    virtual_ipaddress_excluded {{
        10.0.0.1/32
        10.0.0.2/32
        10.0.0.3/32
        10.0.0.4/32
    }}
}}
vrrp_instance SERVERS {{
    state BACKUP
    interface eth1
    virtual_router_id 52
    priority {priority}
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        10.2.0.1/24
        10.2.0.101/24
    }}
}}
connection_sync {{
    peer {peer} {{
        key 0123456789abcdef0123456789abcdef0123456789abcdef
    }}
}}
"""
SERVICE = """
virtual_server {vip} 80 {{
    lb_algo rr
    lb_kind {kind}
    protocol TCP
    {local}
    delay_loop 1
    {servers}
}}
"""
SERVER = """
    real_server {address} 80 {{
        weight 1
        TCP_CHECK {{
            connect_timeout 2
        }}
    }}
"""


def configuration(name: str, priority: int, peer: str) -> str:
    text = FILE.format(name=name, priority=priority, peer=peer)
    for method, vip in VIPS.items():
        servers = "".join(SERVER.format(address=each) for each in SERVERS[method])
        local = "laddr_group_name local" if method == "fullnat" else ""
        text += SERVICE.format(vip=vip, kind=KINDS[method], servers=servers, local=local)
    return text


class Talk:
    """One connection that asks again and again, and notes how long each answer took."""

    def __init__(self, client: Namespace, vip: str, port: int = PORT) -> None:
        self.vip = vip
        self.port = port
        self.answers = 0
        self.error = ""
        self.longest = 0.0
        self.servers: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(client,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def goes_on(self, answers: int = 20) -> None:
        """Wait for so many answers more; there may be no error."""
        asked = self.answers
        until(lambda: self.answers >= asked + answers or bool(self.error))
        assert not self.error

    def _run(self, client: Namespace) -> None:
        try:
            netns.setns(str(client.path))  # this thread only
            connection = socket.create_connection((self.vip, self.port), 5)
            connection.settimeout(10)
            with connection:
                while not self._stop.is_set():
                    self._ask(connection)
                    time.sleep(0.01)
        except OSError as error:
            self.error = repr(error)

    def _ask(self, connection: socket.socket) -> None:
        begin = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while b"saw" not in data:
            more = connection.recv(4096)
            if not more:
                raise ConnectionResetError("closed by the server")
            data += more
        self.servers.add(data.partition(b"\r\n\r\n")[2].split()[0].decode())
        self.longest = max(self.longest, time.monotonic() - begin)
        self.answers += 1


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    remove_abandoned()
    with Lab("pair", prefix=f"xlvs-p{os.getpid()}") as lab:
        lab.prepare_real_servers()
        yield lab


@pytest.fixture
def two(pair: Lab, hook: str, tmp_path: Path) -> Iterator[list[Director]]:
    peers = ("10.2.0.4", "10.2.0.3")
    for at, director in enumerate(pair.directors):
        file = tmp_path / f"{at}.conf"
        file.write_text(configuration(f"d{at}", 150 - 50 * at, peers[at]))
        director.start_xlvsd(hook, local_addresses=(), extra=["-f", str(file)])
    until(lambda: holds(pair.directors[0]) and not holds(pair.directors[1]))
    until(lambda: all(in_sync(each) for each in pair.directors))
    yield pair.directors
    for director in pair.directors:
        cable(pair, director, plugged=True)
        director.down()


def until(what: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def holds(director: Director) -> bool:
    return "10.0.0.1/32" in director.run(["ip", "-4", "addr"]).stdout


def in_sync(director: Director) -> bool:
    """Both ways."""
    sync = json.loads(director.xlvs("status --json", check=False).stdout)["sync"]
    return all(peer["there_in_sync"] and peer["here_in_sync"] for peer in sync["peers"])


def cable(lab: Lab, director: Director, *, plugged: bool) -> None:
    """Both of a director's cables."""
    for device in ("eth0", "eth1"):
        name = port(director.namespace.name, device)
        lab.switch.run(["ip", "link", "set", name, "up" if plugged else "down"])


def kill(lab: Lab, director: Director) -> None:
    """The machine is gone: nothing leaves it any more, nor lives on there."""
    cable(lab, director, plugged=False)
    director.end_xlvsd(signal.SIGKILL)


@pytest.mark.parametrize("method", VIPS)
def test_a_connection_outlives_its_director(pair: Lab, two: list[Director], method: str) -> None:
    with Talk(pair.client, VIPS[method]) as talk:
        talk.goes_on()
        time.sleep(0.2)
        kill(pair, two[0])
        talk.goes_on()
    # Once it did not, in a run beside another: so say what it had, and why.
    assert holds(two[1]), (two[1].run(["ip", "-4", "-br", "addr"]).stdout, two[1].said())
    assert len(talk.servers) == 1


def test_the_old_master_returns(pair: Lab, two: list[Director]) -> None:
    """Its cables are cut and plugged in again: it knows the connections before it preempts."""
    with Talk(pair.client, VIPS["nat"]) as old:
        old.goes_on()
        cable(pair, two[0], plugged=False)
        old.goes_on()
        with Talk(pair.client, VIPS["fullnat"]) as new:
            new.goes_on()
            cable(pair, two[0], plugged=True)
            until(lambda: holds(two[0]) and not holds(two[1]), 30)
            old.goes_on()
            new.goes_on()
