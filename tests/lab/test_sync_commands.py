# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm --start-daemon``: messages leave, messages are taken, over a restart as well."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import netns
from tests.lab.small import CLIENT, REAL, Small, eventually
from tests.unit.protocols.synced import connection

from xlvs.io.sync import multicast
from xlvs.model.syncing import GROUP
from xlvs.protocols.ipvs_sync import codec
from xlvs.protocols.ipvs_sync.master import FLUSH_AFTER, Master

ID = 7
MASTER = (
    "master sync daemon (mcast=eth1, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n"
)
BACKUP = (
    "backup sync daemon (mcast=eth1, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n"
)
FILE = "global_defs {\n lvs_sync_daemon eth1 id 9\n}\n"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    with Small(tmp_path) as world:
        world.start()
        yield world


def ipvsadm(world: Small, words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "xlvs.cli.ipvsadm", *words.split()],
        capture_output=True,
        text=True,
        env={**world.environment, "XLVS_INSTANCE": world.instance},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def within(world: Small, host: str, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket of another namespace, made by a thread that ends there."""
    made: list[socket.socket] = []

    def work() -> None:
        netns.setns(f"{world.name}{host}")
        made.append(make())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


def heard(channel: socket.socket) -> set[int]:
    """The clients' ports of all messages that have come."""
    found = set()
    while True:
        try:
            data = channel.recv(65535)
        except BlockingIOError:
            return found
        found |= {each.client_port for each in codec.decode(data, ID).entries}


def open_ports(world: Small) -> set[int]:
    listed = world.api("GET", "/v1/connections")
    return {each["client_port"] for each in listed if each["client"] == CLIENT}


def test_a_master_and_a_backup_that_ipvsadm_starts(small: Small) -> None:
    small.serve_both()
    for role in ("master", "backup"):
        words = f"--start-daemon {role} --mcast-interface eth1 --syncid {ID}"
        assert ipvsadm(small, words) == (0, "", "")
    assert ipvsadm(small, "-L --daemon") == (0, MASTER + BACKUP, "")
    with (
        within(small, "r", lambda: multicast.receiving("w1", GROUP, 8848)) as other_backup,
        within(small, "r", lambda: multicast.sending("w1", GROUP, 8848)) as other_master,
    ):
        _both_ways(small, other_backup, other_master, 40001)

        small.stop(signal.SIGKILL)
        small.start()
        assert ipvsadm(small, "-L --daemon") == (0, MASTER + BACKUP, "")
        _both_ways(small, other_backup, other_master, 40002)

        assert ipvsadm(small, "--stop-daemon backup") == (0, "", "")
        assert ipvsadm(small, "-L --daemon") == (0, MASTER, "")
        assert small.api("GET", "/v1/status")["sync"]["backup"] is False
        _send(other_master, 40003)
        assert ipvsadm(small, "--stop-daemon master") == (0, "", "")
        assert ipvsadm(small, "--stop-daemon master") == (255, "", "No daemon is running\n")
        assert small.api("GET", "/v1/status")["sync"] is None
        assert 40003 not in _listed(small)


def _both_ways(
    world: Small, other_backup: socket.socket, other_master: socket.socket, port: int
) -> None:
    before = open_ports(world)
    assert world.ask(1)[0] in REAL
    (new,) = open_ports(world) - before
    found: set[int] = set()
    eventually(lambda: new in found or found.update(heard(other_backup)))
    _send(other_master, port)
    eventually(lambda: port in _listed(world))


def _send(other_master: socket.socket, port: int) -> None:
    master = Master(ID)
    master.offer([connection(port, server_port=80)], 0.0)
    message = master.next(FLUSH_AFTER)
    assert message is not None
    other_master.send(message.data)


def _listed(world: Small) -> set[int]:
    """Clients' ports of the connections that another director opened."""
    listed = world.api("GET", "/v1/connections")
    return {each["client_port"] for each in listed if each["client"] != CLIENT}


def test_a_files_daemon_and_ipvsadms_do_not_fight(small: Small, tmp_path: Path) -> None:
    assert ipvsadm(small, "--start-daemon master --mcast-interface eth1")[0] == 0
    small.stop(signal.SIGTERM)
    path = tmp_path / "some.conf"
    path.write_text(FILE)
    small.start("--use-file", str(path))
    ours = MASTER.replace("syncid=7", "syncid=9") + BACKUP.replace("syncid=7", "syncid=9")
    assert ipvsadm(small, "-L --daemon") == (0, ours, "")
    for words in ("--stop-daemon master", "--start-daemon backup --mcast-interface eth1"):
        status, out, error = ipvsadm(small, words)
        assert (status, out) == (255, "")
        assert error == (f"connection sync is run by lvs_sync_daemon of {path}: change it there\n")
    assert ipvsadm(small, "-L --daemon") == (0, ours, "")
    path.write_text("")
    small.daemon.send_signal(signal.SIGHUP)
    eventually(lambda: ipvsadm(small, "-L --daemon") == (0, "", ""))
    assert ipvsadm(small, "--start-daemon backup --mcast-interface eth1")[0] == 0


def test_an_interface_that_comes_later(small: Small) -> None:
    """What cannot be opened now is, once it can be; until then status says why it is not."""
    small.on("d", "link", "set", "eth1", "down")
    assert ipvsadm(small, "--start-daemon master --mcast-interface nosuch0") == (
        255,
        "",
        "No such device\n",
    )
    assert ipvsadm(small, "--start-daemon master --mcast-interface eth1") == (0, "", "")
    eventually(lambda: "unreachable" in small.api("GET", "/v1/status")["sync"]["error"])
    small.on("d", "link", "set", "eth1", "up")
    eventually(lambda: small.api("GET", "/v1/status")["sync"]["master"])
    assert small.api("GET", "/v1/status")["sync"]["error"] == ""
