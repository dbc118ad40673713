# SPDX-License-Identifier: Apache-2.0
"""``xlvs connections`` and ``xlvs connection close`` in front of a director that writes down."""

from __future__ import annotations

import io
import json

import pytest

from xlvs.cli.commands import connection, connections
from xlvs.cli.main import main
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Protocol
from xlvs.wire import codec
from xlvs.wire.connections import (
    CloseRequest,
    CloseResult,
    ConnectionCount,
    ConnectionFilterText,
    CountQuery,
    Share,
)
from xlvs.wire.messages import ConnectionView

ONE = ConnectionView(
    protocol=Protocol.TCP,
    state="ESTABLISHED",
    expires=899,
    client="192.0.2.1",
    client_port=40000,
    virtual="10.0.0.1",
    virtual_port=80,
    destination="fd00::11",
    destination_port=8080,
    method="fullnat",
    local="10.2.0.9",
    local_port=1024,
)


class Director:
    def __init__(self):
        self.table = []
        self.asked = []
        self.counted = ConnectionCount(connections=3)
        self.closed = CloseResult(reset=3)

    def connections(self, wanted):
        self.asked.append(wanted)
        return iter(self.table)

    def connection_blocks(self, wanted):
        self.asked.append(wanted)
        yield codec.encode_lines(self.table)

    def count_connections(self, query):
        self.asked.append(query)
        return self.counted

    def close_connections(self, request):
        self.asked.append(request)
        if isinstance(self.closed, Problem):
            raise self.closed
        return self.closed


@pytest.fixture
def director(monkeypatch):
    made = Director()
    for command in (connections, connection):
        monkeypatch.setattr(command, "from_environment", lambda: made)
    return made


def answers(monkeypatch, text, *, terminal=True):
    stdin = io.StringIO(text)
    stdin.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdin", stdin)


def test_the_table(director, capsys):
    director.table = [ONE]
    assert main(["connections", "--service", "tcp/10.0.0.1:80", "--state", "ESTABLISHED"]) == 0
    assert director.asked == [ConnectionFilterText(service="tcp/10.0.0.1:80", state="ESTABLISHED")]
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["proto", "state", "expires", "client"]
    assert line.split() == [
        "tcp", "ESTABLISHED", "899", "192.0.2.1:40000", "10.0.0.1:80", "[fd00::11]:8080",
        "fullnat", "from", "10.2.0.9:1024",
    ]  # fmt: skip


def test_json_is_one_object_on_each_line(director, capsys):
    director.table = [ONE] * 5
    assert main(["connections", "-o", "json", "--limit", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [codec.decode(line.encode(), ConnectionView) for line in lines] == [ONE] * 3


def test_a_long_table_leaves_in_pieces(director, monkeypatch):
    written = []
    monkeypatch.setattr("sys.stdout.write", written.append)
    director.table = [ONE] * (2 * connections.LINES + 1)
    assert main(["connections"]) == 0
    assert [text.count("\n") for text in written] == [1, connections.LINES, connections.LINES, 1]


def test_counts(director, capsys):
    assert main(["connections", "--count", "--client", "10.0.0.0/8"]) == 0
    assert capsys.readouterr().out == "3\n"
    director.counted = ConnectionCount(
        connections=9, top=[Share(name="192.0.2.1", connections=7)], inexact=2
    )
    assert main(["connections", "--top", "clients", "--limit", "5000"]) == 0
    assert [query.by for query in director.asked] == ["", "client"]
    assert director.asked[1].limit == 1000
    assert capsys.readouterr().out.splitlines() == [
        "         7 192.0.2.1",
        "         9 in all",
        "clients are too many to count each: numbers may be 2 too low",
    ]
    assert main(["connections", "--top", "clients", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["inexact"] == 2


@pytest.mark.parametrize(("text", "closes"), [("y\n", True), ("\n", False), ("no\n", False)])
def test_closing_asks(director, monkeypatch, capsys, text, closes):
    answers(monkeypatch, text)
    assert main(["connections", "--close", "--client", "10.0.0.1"]) == (0 if closes else 1)
    query, *request = director.asked
    assert query == CountQuery(client="10.0.0.1")
    expected = CloseRequest(filter=ConnectionFilterText(client="10.0.0.1"), limit=3)
    assert request == [expected] * closes
    out = capsys.readouterr()
    assert "Close 3 connections? [y/N]" in out.out
    assert ("3 closed" in out.out) is closes
    assert ("nothing was closed" in out.err) is not closes


def test_nobody_to_ask(director, monkeypatch, capsys):
    answers(monkeypatch, "", terminal=False)
    assert main(["connections", "--close", "--client", "10.0.0.1"]) == 1
    assert "--yes closes without a question" in capsys.readouterr().err
    words = ["connections", "--close", "--client", "10.0.0.1", "--yes", "--forget", "--limit", "2"]
    director.closed = CloseResult(ended=2, more=True)
    assert main(words) == 0
    assert director.asked[-1].limit == 2
    assert not director.asked[-1].reset
    assert capsys.readouterr().out == "2 ended; there are more\n"


def test_everything_is_not_closed(director, capsys):
    assert main(["connections", "--close", "--yes", "--templates", "without"]) == 1
    assert "name something" in capsys.readouterr().err
    assert director.asked == []


def test_one_connection(director, capsys):
    director.closed = CloseResult(reset=1)
    assert main(["connection", "close", "192.0.2.1:40000", "[fd00::1]:80"]) == 0
    (request,) = director.asked
    assert request.filter == ConnectionFilterText(
        client="192.0.2.1:40000", virtual="[fd00::1]:80", protocol="tcp", templates="without"
    )
    assert (request.limit, request.reset) == (1, True)
    assert "both ends get a reset" in capsys.readouterr().out
    director.closed = CloseResult()
    words = ["connection", "close", "192.0.2.1:40000", "10.0.0.1:53", "--protocol", "udp"]
    assert main(words) == 1
    assert capsys.readouterr().out == "no connection fits\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["192.0.2.1", "10.0.0.1:80"], "ADDRESS:PORT"),
        (["192.0.2.1:40000", "vip:80"], "not 'vip:80'"),
    ],
)
def test_names_of_one_connection(director, capsys, words, said):
    assert main(["connection", "close", *words]) == 1
    assert said in capsys.readouterr().err
    assert director.asked == []


def test_no_answer(director, capsys):
    director.closed = Problem(Code.INTERNAL, "xlvsd is not running")
    assert main(["connection", "close", "192.0.2.1:40000", "10.0.0.1:80"]) == 255
    assert "xlvsd is not running" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1000001", "9" * 400])
def test_limits(director, capsys, limit):
    with pytest.raises(SystemExit):
        main(["connections", "--limit", limit])
    assert "from 1 to 1000000" in capsys.readouterr().err
    assert director.asked == []
