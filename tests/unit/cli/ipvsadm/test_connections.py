# SPDX-License-Identifier: Apache-2.0
"""A long connection table: the same lines, a thousand at a time. How a line looks: tests/oracle."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from tests.oracle.desired_director import TableNames

from xlvs.cli.ipvsadm import connections
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView

VIEW = ConnectionView(
    protocol=Protocol.TCP,
    state="ESTABLISHED",
    expires=899,
    client="192.168.100.9",
    client_port=30000,
    virtual="10.0.0.1",
    virtual_port=80,
    destination="192.168.200.11",
    destination_port=8080,
    method="nat",
)
OTHER = {
    "protocol": Protocol.UDP,
    "state": "FIN_WAIT",
    "expires": 6000,
    "client": "192.168.100.10",
    "client_port": 30001,
    "virtual": "fd00:1::1",
    "virtual_port": 53,
    "destination": "fd00:200::11",
    "destination_port": 5353,
}
LINE = "TCP 14:59  ESTABLISHED 192.168.100.9:30000 10.0.0.1:80        192.168.200.11:8080"


def lines(views, names=None, *, engine=False):
    text = "".join(connections.listing(views, names, engine=engine))
    return text.splitlines()[2:]


def test_a_line() -> None:
    assert lines([VIEW]) == [LINE]


def test_the_engine_of_a_template() -> None:
    """Recorded from ipvsadm 1.31: with the engine's columns, servers have 16 instead of 18."""
    view = ConnectionView(
        protocol=Protocol.UDP,
        state="NONE",
        expires=59,
        client="203.0.113.1",
        client_port=0,
        virtual="10.2.8.2",
        virtual_port=506,
        destination="9.9.9.9",
        destination_port=506,
        method="dr",
        persistence_engine="sip",
        persistence_data="s@x",
    )
    line = "UDP 00:59  NONE        203.0.113.1:0      10.2.8.2:506       9.9.9.9:506"
    assert lines([view]) == [line]
    assert lines([view, VIEW], engine=True) == [f"{line}      sip                s@x", LINE]


@pytest.mark.parametrize("field", OTHER)
def test_who_differs_in_anything_has_a_line_of_its_own(field) -> None:
    other = msgspec.structs.replace(VIEW, **{field: OTHER[field]})
    alone = lines([other])
    assert alone != [LINE]
    assert lines([VIEW, other, VIEW]) == [LINE, *alone, LINE]


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_all_of_many_lines_are_written(more) -> None:
    assert lines([VIEW] * (2 * connections.LINES + more)) == [LINE] * (2 * connections.LINES + more)


def test_they_leave_while_others_come_in() -> None:
    coming = itertools.repeat(VIEW)
    leaving = connections.listing(coming, None, engine=False)
    some = list(itertools.islice(leaving, 4))
    assert [text.count("\n") for text in some] == [1, 1, connections.LINES, connections.LINES]


def test_more_kinds_than_are_remembered(monkeypatch) -> None:
    monkeypatch.setattr(connections, "_REMEMBERED_MAX", 3)
    views = [msgspec.structs.replace(VIEW, expires=i % 10, virtual_port=i % 7) for i in range(99)]
    assert lines(views) == [line for view in views for line in lines([view])]


def test_names() -> None:
    (line,) = lines([VIEW], TableNames())
    assert line.split()[-2:] == ["vip.example:http", "rs1.example:8080"]
    assert line.split()[-3] == "192.168.100.9:30000"
