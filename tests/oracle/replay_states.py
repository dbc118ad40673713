# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/conn/states-*.json``: the whole matrix of states and packets."""

from __future__ import annotations

from typing import Any

from . import compare, frames
from .director import Connection, Director, Load
from .facts import Difference
from .topology import CLIENT_SIDE, SERVER_SIDE

_CLIENT = "203.0.113.1"
_SERVER = "192.168.200.11"
_FIRST_PORT = 20000
_SECOND_TRY = 30000
_NO_LOAD = Load(0, 0, 0)


def replay(director: Director, name: str, matrix: dict[str, Any], place: int) -> list[Difference]:
    """Every transition that differs, named ``<name>/<state>/<event>``.

    ``place`` keeps the matrices that one director replays apart: each has its own port.
    """
    method = {"nat": "-m", "dr": "-g", "tun": "-i"}[name.rsplit("-", 1)[1]]
    port = 80 + place
    director.clear()
    director.configure(
        [f"-A -t 10.0.0.1:{port} -s rr", f"-a -t 10.0.0.1:{port} -r {_SERVER}:{port} {method}"]
    )
    replayer = _Replayer(director, port)
    differences = []
    for number, row in enumerate(matrix["transitions"]):
        path = matrix["path_to_state"].get(row["state"], [])
        expected = {key: row[key] for key in ("new_state", "timer", "counted")}
        if "forwarded" in row:
            expected["forwarded"] = row["forwarded"]
        # An earlier connection may end between the two readings of the counters: once again.
        for port in (_FIRST_PORT + number, _SECOND_TRY + number):
            got = replayer.transition(port, path, row["event"])
            if _same(expected, got):
                break
        else:
            where = f"{name}/{row['state']}/{row['event'].strip()}"
            differences.append(Difference(where, expected, got))
    return differences


class _Replayer:
    def __init__(self, director: Director, port: int) -> None:
        self._director = director
        self._port = port

    def transition(self, client_port: int, path: list[str], event: str) -> dict[str, Any]:
        """Take a new connection along ``path``, then let ``event`` happen: what it became."""
        before = self._load()
        for step in path:
            self._send(client_port, step, answer=True)
        # Without a connection the packet may end in the local stack, which may answer.
        frames_seen = self._send(client_port, event, answer=bool(path))
        after = self._load()
        connection = self._connection(client_port)
        return {
            "new_state": connection.state if connection else None,
            "timer": connection.expires if connection else None,
            "counted": _counted(before, after),
            "forwarded": frames_seen == 1,
        }

    def _send(self, client_port: int, event: str, *, answer: bool) -> int:
        sender, _, flags = event.partition(" ")
        if sender == "client":
            side = CLIENT_SIDE
            packet = frames.tcp(_CLIENT, client_port, "10.0.0.1", self._port, flags)
        else:
            side = SERVER_SIDE
            packet = frames.tcp(_SERVER, self._port, _CLIENT, client_port, flags)
        seen = compare.exchange(self._director, side, packet, int(answer))
        return sum(one.side != side for one in seen)

    def _load(self) -> Load:
        return self._director.loads().get(_SERVER, _NO_LOAD)

    def _connection(self, client_port: int) -> Connection | None:
        # One that a SYN has just replaced may be listed still, with its timer at 0.
        client = f"{_CLIENT}:{client_port}"
        for connection in self._director.connections():
            if connection.client == client and connection.expires:
                return connection
        return None


def _counted(before: Load, after: Load) -> str | None:
    if after.active > before.active:
        return "active"
    if after.inactive > before.inactive:
        return "inactive"
    return None


def _same(expected: dict[str, Any], got: dict[str, Any]) -> bool:
    timers = [expected["timer"], got["timer"]]
    close = None in timers or abs(timers[0] - timers[1]) <= 1
    others = (key for key in expected if key != "timer")
    return close and all(expected[key] == got[key] for key in others)
