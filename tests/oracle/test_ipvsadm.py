# SPDX-License-Identifier: Apache-2.0
"""Every recorded ipvsadm command line, answered by a director that only wants.

No root and no daemon: this is about words, texts and exit statuses. What traffic does
to counters and connections is replayed against a running director elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pytest

from xlvs.cli.ipvsadm import sorting
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView, Counters, Listing, Numbers

from .command_lines import DIFFERENT, Record, check, interfaces, names, records
from .desired_director import DesiredDirector, Run

BROADCASTS = ("192.168.200.255", "192.168.100.255")
"""Of the recorded director's subnets."""


def test_the_exceptions_are_under_two_percent() -> None:
    assert len(DIFFERENT) < 0.02 * sum(len(records(name)) for name in names())


@pytest.mark.parametrize("name", names())
def test_recorded_command_lines(name: str) -> None:
    director = TrafficDirector(interfaces(name))
    for place, record in enumerate(records(name)):
        if "argv" in record:
            director.expect(record)
            check(director, name, place)
        else:
            director.happen(record)


def test_sort_order_from_the_recorded_order() -> None:
    """In a circle of addresses the result depends on where sorting begins."""
    recorded = records("16-sort-order")
    director = DesiredDirector()
    for record in recorded[:29]:
        assert Run(director, record["argv"]).status == 0
    unsorted = recorded[30]["stdout"].splitlines()[3:]
    listed = Run(director, ["-Ln", "--nosort"]).out.splitlines()[3:]
    by_line = dict(zip(listed, director.listing().services, strict=True))
    ordered = [(by_line[line], line) for line in unsorted]
    assert [line for _, line in sorting.services(ordered)] == (
        recorded[29]["stdout"].splitlines()[3:]
    )


ACTIVE = frozenset(("192.168.200.11", "192.168.200.12", "fd00:200::11"))
STATS = {
    "192.168.200.11": Counters(connections=1, in_packets=2, in_bytes=1080),
    "192.168.200.12": Counters(connections=1, in_packets=1, in_bytes=140),
    "192.168.200.13": Counters(connections=1, in_packets=1, in_bytes=88),
    "fd00:200::11": Counters(connections=1, in_packets=1, in_bytes=60),
}
"""Of 14-listing-with-traffic: real servers with an active connection, and what they counted."""


class TrafficDirector(DesiredDirector):
    """Has the connections and the counters that the recorded director had.

    Connections are read from the recording itself: what is tested is how they are written.
    """

    def __init__(self, interfaces: Mapping[str, int]) -> None:
        super().__init__(broadcasts=BROADCASTS, mtus=interfaces)
        self._connected = False
        self._zeroed: set[str] = set()
        self._shown: set[str] = set()

    def happen(self, record: Record) -> None:
        """A step that is no command."""
        if "wait_seconds" in record:
            self._shown = set(STATS) - self._zeroed
        else:
            self._connected = True

    def expect(self, record: Record) -> None:
        """Look at what the next command will find."""
        words = record["argv"]
        if words[:1] == ["-Z"] and record["rc"] == 0:
            gone = {"192.168.200.11", "192.168.200.12"} if "-t" in words else set(STATS)
            self._zeroed |= gone
            self._shown -= gone
        lines = record["stdout"].splitlines()
        self.table = (
            []
            if "IPVS connection entries" not in lines[:1]
            else [_connection(line) for line in lines[2:]]
        )

    def listing(self, numbers: Numbers = "") -> Listing:
        """With counters."""
        plain = super().listing(numbers)
        if not self._connected:
            return plain
        services = []
        for view in plain.services:
            destinations = []
            for each in view.destinations:
                name = str(each.destination.key.address)
                active = int(name in ACTIVE)
                destinations.append(
                    msgspec.structs.replace(
                        each,
                        active=active,
                        inactive=1 - active,
                        persistent=1 - active,
                        stats=STATS[name] if name in self._shown else Counters(),
                    )
                )
            services.append(
                msgspec.structs.replace(
                    view,
                    destinations=destinations,
                    stats=_sum(d.stats for d in destinations if d.stats),
                )
            )
        return plain._replace(services=services)


def _sum(counters: Iterable[Counters]) -> Counters:
    total: dict[str, int] = {}
    for each in counters:
        for name, value in msgspec.structs.asdict(each).items():
            total[name] = total.get(name, 0) + value
    return Counters(**total)


_NAMES = {
    "vip.example": "10.0.0.1",
    "rs1.example": "192.168.200.11",
    "ftp": "21",
    "ssh": "22",
    "domain": "53",
    "http": "80",
    "https": "443",
    "sip": "5060",
}


def _connection(line: str) -> ConnectionView:
    protocol, left, state, *ends = line.split()
    engine, data = ends[3:] or ("", "")
    minutes, seconds = left.split(":")
    points: Sequence[tuple[str, int]] = [_point(end) for end in ends[:3]]
    return ConnectionView(
        protocol=Protocol.FWM if protocol == "IP" else Protocol(protocol.lower()),
        state=state,
        expires=int(minutes) * 60 + int(seconds),
        client=points[0][0],
        client_port=points[0][1],
        virtual=points[1][0],
        virtual_port=points[1][1],
        destination=points[2][0],
        destination_port=points[2][1],
        method="nat",
        persistence_engine=engine,
        persistence_data=data,
    )


def _point(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return _NAMES.get(host, host), int(_NAMES.get(port, port))
