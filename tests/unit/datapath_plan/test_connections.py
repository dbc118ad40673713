# SPDX-License-Identifier: Apache-2.0
"""The connection table, as far as an operator sees it."""

from __future__ import annotations

import pytest
from tests.unit.datapath_plan.lines import (
    CLIENT,
    CLIENT6,
    HZ,
    LAYOUT,
    NOW,
    VIP,
    VIP6,
    entry,
    four,
    image,
)

from xlvs.datapath.connections import Listing, Remembered, Server
from xlvs.datapath.places import Shape, parts
from xlvs.datapath.records import (
    CONNECTION_GENERATION_SHIFT,
    ConnectionFlag,
    Entry4,
    Entry6,
    Line4,
    Line6,
    Method,
    State,
    Tenant,
    Transport,
)
from xlvs.model.service import Protocol
from xlvs.wire.codec import decode_lines
from xlvs.wire.messages import ConnectionView

NOBODY, KEEPS, KEEPS_ALL = 77, 78, 79


def listing(asked=None, templates=None, *, v6=False):
    def server(destination):
        if asked is not None:
            asked.append(destination)
        keeps = {KEEPS: 8080, KEEPS_ALL: 0}
        if destination in keeps:
            return Server(
                "192.168.200.11", keeps[destination], client_port=True, ftp=destination == KEEPS
            )
        return None if destination == NOBODY else Server("192.168.200.11", 8080)

    shape = Shape.of(LAYOUT, v6=v6)
    return Listing(
        shape,
        HZ,
        server,
        lambda block: f"192.168.200.{100 + block}",
        lambda tenant: (templates or {}).get(tenant, Remembered()),
    )


def read(lines, now=NOW, asked=None, templates=None, first=0, *, v6=False):
    """What is listed of these lines."""
    wanted = listing(asked, templates, v6=v6)
    shape = Shape.of(LAYOUT, v6=v6)
    found = "".join(wanted.read(part, now) for part in parts(lines, shape, first))
    return decode_lines(found.encode(), ConnectionView)


def shown(*places, now=NOW):
    lines = [Line4(way=(place, Entry4())) for place in places]
    return read(image(*lines), now)


def test_a_connection_in_words():
    (found,) = shown(four(), now=NOW + 1)
    assert (found.protocol, found.state, found.expires) == (Protocol.TCP, "ESTABLISHED", 899)
    assert (found.client, found.client_port) == ("192.168.100.9", 30000)
    assert (found.virtual, found.virtual_port) == ("10.0.0.1", 80)
    assert (found.destination, found.destination_port) == ("192.168.200.11", 8080)
    assert (found.method, found.local, found.local_port) == ("nat", None, 0)


def test_ipv6():
    place = Entry6(entry(State.UDP, protocol=Transport.UDP), CLIENT6, VIP6, 5000, 53)
    lines = image(Line6(), Line6(way=(place,)))
    (found,) = read(lines, v6=True)
    assert (found.protocol, found.state) == (Protocol.UDP, "UDP")
    assert (found.client, found.client_port) == ("2001:db8::9", 5000)
    assert (found.virtual, found.virtual_port) == ("fd00:1::1", 53)


def test_fullnat_shows_its_local_end():
    (found,) = shown(four(method=Method.FULLNAT, block=1, local_port=1024))
    assert (found.method, found.local, found.local_port) == ("fullnat", "192.168.200.101", 1024)


def test_what_nat_remembers_there_is_no_local_end():
    (found,) = shown(four(method=Method.NAT, block=1, local_port=1024))
    assert (found.local, found.local_port) == (None, 0)


@pytest.mark.parametrize(
    "place",
    [
        Entry4(),
        four(flags=ConnectionFlag.CLAIMED),
        four(flags=ConnectionFlag.LIVE | ConnectionFlag.ANSWER),
        four(destination=NOBODY),
        four(protocol=Transport.IP),
    ],
)
def test_what_is_no_connection_of_ours(place):
    assert shown(place) == []


def test_what_is_over_is_hidden():
    assert shown(four(), now=NOW + 900 * HZ) == []
    assert shown(four(), now=NOW + 900 * HZ - 1)[0].expires == 0


@pytest.mark.parametrize(
    ("expires", "now", "left"),
    [
        (100 + 5 * HZ, 100, 5),
        (100 + 5 * HZ, 101, 4),
        (5 * HZ - 1, 0xFFFFFFFF, 5),  # the clock goes round on the way
        (0xFFFFFFFF, 0xFFFFFFFF - 2 * HZ, 2),
    ],
)
def test_time_left(expires, now, left):
    assert shown(four(expires=expires), now=now)[0].expires == left


def test_both_places_of_each_line_and_each_server_asked_once():
    asked = []
    lines = [Line4(7, 1, (four(destination=i % 2), four(destination=1))) for i in range(100)]
    found = read(image(*lines), asked=asked)
    assert len(found) == 200
    assert sorted(asked) == [0, 1]


def test_who_differs_in_anything_that_is_shown_is_shown_so():
    """Texts are shared by connections that differ in time left, client and local port only."""
    places = [
        four(),
        four(State.FIN_WAIT),
        four(protocol=Transport.UDP),
        four(method=Method.DR),
        four(destination=4),
        Entry4(entry(), CLIENT, VIP + 1, 30000, 80),
        Entry4(entry(), CLIENT, VIP, 30000, 81),
        four(method=Method.FULLNAT, block=1),
        four(method=Method.FULLNAT, block=2),
        four(method=Method.FULLNAT, block=2, local_port=1025),
        four(expires=NOW + HZ),
        Entry4(entry(), CLIENT + 1, VIP, 30000, 80),
        Entry4(entry(), CLIENT, VIP, 30001, 80),
    ]
    assert len(set(shown(*places))) == len(places) - 1  # destinations 3 and 4 are one server
    assert shown(*places, *places) == shown(*places) * 2


def test_more_kinds_than_are_remembered(monkeypatch):
    monkeypatch.setattr("xlvs.datapath.connections._TEXTS_MAX", 3)
    places = [Entry4(entry(), CLIENT, VIP, 30000, 80 + i % 10) for i in range(100)]
    assert [each.virtual_port for each in shown(*places)] == [80 + i % 10 for i in range(100)]


def template(transport=Transport.TCP, state=State.NONE, port=80, **more):
    word = entry(state, protocol=Transport.TEMPLATE | transport, **more)
    return Entry4(word, CLIENT, VIP, 0xC0DE, port)


def ends(view):
    return (view.client_port, view.virtual_port, view.destination_port)


@pytest.mark.parametrize(
    ("place", "protocol", "ports"),
    [
        (template(), Protocol.TCP, (0, 80, 8080)),
        (template(Transport.UDP), Protocol.UDP, (0, 80, 8080)),
        (template(port=0), Protocol.TCP, (0, 0, 0)),
        (template(Transport.IP, port=0), Protocol.FWM, (0, 0, 0)),
        (template(state=State.ABANDONED), Protocol.TCP, (0, 65535, 65535)),
        (template(destination=KEEPS_ALL), Protocol.TCP, (0, 80, 0)),
    ],
)
def test_a_template_has_no_port_of_a_client(place, protocol, ports):
    (found,) = shown(place)
    assert (found.protocol, found.state, *ends(found)) == (protocol, "NONE", *ports)
    assert found.expires == 900


def test_what_a_template_remembers_is_asked_by_its_tenant():
    generation = 0xABC << CONNECTION_GENERATION_SHIFT
    line = Line4(way=(four(), template()))
    call = {Tenant(7 * 2 + 1, generation): Remembered(assured=True, call_id="a@b")}
    plain, found = read(image(Line4(), line), templates=call, first=6)
    assert (plain.persistence_engine, plain.persistence_data) == ("", "")
    assert (found.state, found.persistence_engine) == ("ASSURED", "sip")
    assert found.persistence_data == "a@b"
    six = Entry6(
        entry(protocol=Transport.TEMPLATE | Transport.IP), CLIENT6, b"\0\0\0\7" + bytes(12), 0, 0
    )
    call = {Tenant(9, generation | 1): Remembered(call_id="\u00e9")}
    (found,) = read(image(Line6(way=(six,))), templates=call, first=9, v6=True)
    assert (found.protocol, found.virtual) == (Protocol.FWM, "0:7::")
    assert (found.state, found.persistence_data) == ("NONE", "\u00e9")


def test_a_template_that_is_over_is_hidden():
    assert shown(template(), now=NOW + 900 * HZ) == []
    assert shown(template(destination=NOBODY)) == []


def test_connections_that_keep_the_port_that_was_asked_for():
    keeps = [
        Entry4(entry(destination=id_), CLIENT, VIP, 30000, port)
        for id_ in (KEEPS, KEEPS_ALL)
        for port in (21, 443)
    ]
    assert [view.destination_port for view in shown(*keeps)] == [8080, 443, 21, 443]


class Changing:
    """Memory in which a place changes when the lines are copied."""

    def __init__(self, lines, at, by):
        self._lines = lines
        self._at, self._by = at, by

    def cast(self, code):
        return self._lines.cast(code)

    def __bytes__(self):
        self._lines.cast("I")[self._at] += self._by
        self._by = 0
        return bytes(self._lines)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (1 << CONNECTION_GENERATION_SHIFT, ["CLOSE"]),
        (-int(ConnectionFlag.LIVE), ["CLOSE"]),
        (State.FIN_WAIT - State.ESTABLISHED, ["FIN_WAIT", "CLOSE"]),
    ],
)
def test_a_place_that_changes_hands_while_it_is_copied_is_left_out(by, expected):
    lines = image(Line4(way=(four(), four(State.CLOSE))))
    shape = Shape.of(LAYOUT, v6=False)
    found = read(Changing(lines, shape.first // 4, by))
    assert [each.state for each in found] == expected
