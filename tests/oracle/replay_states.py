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
_TRIES = 4
_TRY = 1000  # ports further
_NO_LOAD = Load(0, 0, 0)
_PORT = 80
_METHODS = {"nat": "-m", "dr": "-g", "tun": "-i"}
_OPTIONS = {"tcp": "-t", "sctp": "--sctp-service"}


def settings(matrix: dict[str, Any]) -> tuple[str, ...]:
    """What the director was set to, as ``xlvsd --set`` takes it."""
    return tuple(f"net.ipv4.vs.{key}={value}" for key, value in matrix["sysctl"].items())


def replay(director: Director, name: str, matrix: dict[str, Any], place: int) -> list[Difference]:
    """Every transition that differs, named ``<name>/<state>/<event>``.

    ``place`` keeps the matrices that one director replays apart: each has its own port.
    """
    _, protocol, method = name.split("-")[:3]
    port = _PORT + place
    service = f"{_OPTIONS[protocol]} 10.0.0.1:{port}"
    director.clear()
    director.configure(
        [f"-A {service} -s rr", f"-a {service} -r {_SERVER}:{port} {_METHODS[method]}"]
    )
    replayer = _Replayer(director, protocol, port)
    differences = []
    for number, row in enumerate(matrix["transitions"]):
        path = matrix["path_to_state"].get(row["state"], [])
        expected = {key: row[key] for key in ("new_state", "timer", "counted")}
        if "forwarded" in row:
            expected["forwarded"] = row["forwarded"]
        # An earlier connection may end between the two readings of the counters: once again.
        for once in range(_TRIES):
            port = _FIRST_PORT + once * _TRY + number
            got = replayer.transition(port, path, row["event"])
            if _same(expected, got):
                break
        else:
            where = f"{name}/{row['state']}/{row['event'].strip()}"
            differences.append(Difference(where, expected, got))
    return differences


class _Replayer:
    def __init__(self, director: Director, protocol: str, port: int) -> None:
        self._director = director
        self._make = {"tcp": frames.tcp, "sctp": frames.sctp}[protocol]
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
        sender, _, what = event.partition(" ")
        if sender == "client":
            side = CLIENT_SIDE
            packet = self._make(_CLIENT, client_port, "10.0.0.1", self._port, what)
        else:
            side = SERVER_SIDE
            packet = self._make(_SERVER, self._port, _CLIENT, client_port, what)
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
