# SPDX-License-Identifier: Apache-2.0
"""Connections over the API: filters, pages, counts, closing."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from tests.unit.api.test_api import Served, destination, service
from tests.unit.datapath_plan.build import real

from xlvs.client import Client, UnixSocket
from xlvs.datapath.selection import EVERYTHING
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol
from xlvs.wire.connections import (
    CloseRequest,
    ConnectionFilterText,
    CountQuery,
    PageQuery,
    Share,
)
from xlvs.wire.messages import ConnectionView


@pytest.fixture
def served(tmp_path):
    return Served(tmp_path / "edge.sock")


def view(n):
    return ConnectionView(
        protocol=Protocol.TCP,
        state="ESTABLISHED",
        expires=899,
        client="192.168.100.9",
        client_port=30000 + n,
        virtual="10.0.0.1",
        virtual_port=80,
        destination=str(real(1)),
        destination_port=80,
        method="nat",
    )


def get(served, path="/v1/connections", **query):
    return served.talk(lambda ask: ask("GET", f"{path}?{urlencode(query)}"))


def with_service(served, conversation):
    """What ``conversation`` gives where there is a service with two servers."""

    def whole(ask):
        status, _ = ask("POST", "/v1/edits", {"edits": [service(), destination(1), destination(2)]})
        assert status == 200
        return conversation(ask)

    return served.talk(whole)


def test_a_filter_reaches_the_table(served):
    served.world.port.table_views = [view(0)]

    def conversation(ask):
        first = ask("GET", "/v1/connections")
        query = {"service": "tcp/10.0.0.1:80", "destination": str(real(2)), "client": "10.0.0.0/8"}
        return first, ask("GET", f"/v1/connections?{urlencode(query)}")

    plain, asked = with_service(served, conversation)
    assert plain == asked
    everything, selection = served.world.port.selections
    assert everything == EVERYTHING
    assert len(selection.destinations) == 1
    assert selection.ipv6 is None, "a client's network is of one family"


def test_pages(served):
    served.world.port.table_views = [view(n) for n in range(5)]
    seen, after, sizes = [], "", []
    while after is not None:
        status, page = get(served, "/v1/connections/page", limit=2, after=after)
        assert status == 200
        seen += [each["client_port"] for each in page["connections"]]
        sizes.append(len(page["connections"]))
        after = page["next"]
    assert seen == [30000 + n for n in range(5)]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"client": "vip"}, 422, "client wants ADDRESS"),
        ({"service": "tcp/10.0.0.9:80"}, 422, "there is no service tcp 10.0.0.9:80"),
        ({"state": "OPEN"}, 422, "no state is called 'OPEN'"),
        ({"after": "x", "limit": "1"}, 422, "after wants what a page said in next, not 'x'"),
        ({"after": "f" * 13}, 422, "after wants"),
        ({"limit": "0"}, 400, ">= 1"),
        ({"limit": "1001"}, 400, "<= 1000"),
        ({"limit": "many"}, 400, "limit"),
        ({"clients": "10.0.0.1"}, 400, "unknown field `clients`"),
        ({"templates": "some"}, 400, "templates"),
    ],
)
def test_what_is_wrong_is_told(served, query, status, message):
    paged = query.keys() & {"limit", "after"}
    found, body = get(served, "/v1/connections" + "/page" * bool(paged), **query)
    assert found == status
    assert message in body["message"]
    assert not served.world.port.selections


def test_a_word_twice(served):
    path = "/v1/connections?client=10.0.0.1&client=10.0.0.2"
    status, body = served.talk(lambda ask: ask("GET", path))
    assert (status, body["where"]) == (422, "client")


def test_counts(served):
    port = served.world.port
    port.tallied = {0: 7, 1: 5, 99: 1}

    def conversation(ask):
        ways = ("", "&by=destination", "&by=service&limit=1")
        return [ask("GET", f"/v1/connections/count?protocol=tcp{way}")[1] for way in ways]

    plain, servers, services = with_service(served, conversation)
    assert plain["connections"] == 13
    assert servers["top"] == [
        {"name": f"{real(2)}:80", "connections": 7},
        {"name": f"{real(1)}:80", "connections": 5},
        {"name": "removed", "connections": 1},
    ]
    assert services["top"] == [{"name": "tcp/10.0.0.1:80", "connections": 12}]
    port.tallied = {b"\x0a\0\0\1": 2, bytes(15) + b"\1": 1}
    _, clients = get(served, "/v1/connections/count", by="client")
    assert [each["name"] for each in clients["top"]] == ["10.0.0.1", "::1"]


def test_closing(served):
    def conversation(ask):
        some = {"client": "10.0.0.1"}
        return [
            ask("POST", "/v1/connections/close", body)
            for body in (
                {"filter": some},
                {"filter": some, "limit": 2},
                {"filter": some, "reset": False},
            )
        ]

    reset, bounded, forgotten = served.talk(conversation)
    assert reset == (200, {"reset": 3, "ended": 0, "gone": 0, "contended": 0, "more": False})
    assert (bounded[1]["reset"], bounded[1]["more"]) == (2, True)
    assert forgotten[1]["ended"] == 3
    first, _, last = served.world.port.selections
    assert first != last, "what is closed already is forgotten, but not reset again"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"filter": {}}, 422, "would end every connection"),
        ({"filter": {"templates": "without"}}, 422, "would end every connection"),
        ({}, 400, "`filter`"),
        ({"filter": {"client": "10.0.0.1"}, "limit": 0}, 400, ">= 1"),
        ({"filter": {"client": "10.0.0.1"}, "limit": 1_000_001}, 400, "<= 1000000"),
        ({"filter": {"client": 1}}, 400, "$.filter.client"),
    ],
)
def test_what_is_closed_is_said(served, body, status, message):
    found, answer = served.talk(lambda ask: ask("POST", "/v1/connections/close", body))
    assert found == status
    assert message in answer["message"]
    assert not served.world.port.selections


def test_the_client_asks_so(served):
    """What ``xlvs`` uses, against the API itself."""
    served.world.port.table_views = [view(n) for n in range(3)]
    served.world.port.tallied = {b"\x0a\0\0\1": 2}
    client = Client(UnixSocket("edge", str(served.path.parent)))
    here = ConnectionFilterText(client="0.0.0.0/0", state="ESTABLISHED,CLOSE")

    def conversation(_ask):
        first = client.connection_page(PageQuery(client="0.0.0.0/0", limit=2))
        rest = client.connection_page(PageQuery(limit=2, after=first.next))
        return (
            [*first.connections, *rest.connections],
            rest.next,
            list(client.connections(here)),
            client.count_connections(CountQuery(by="client", limit=1)),
            client.close_connections(CloseRequest(filter=here, limit=2)),
        )

    paged, end, streamed, counted, closed = served.talk(conversation)
    assert paged == streamed == served.world.port.table_views
    assert end is None
    assert counted.top == [Share(name="10.0.0.1", connections=2)]
    assert (closed.reset, closed.more) == (2, True)
    with pytest.raises(Problem, match="no state is called 'X'"):
        served.talk(lambda _: list(client.connections(ConnectionFilterText(state="X"))))
