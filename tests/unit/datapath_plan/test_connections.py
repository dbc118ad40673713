# SPDX-License-Identifier: Apache-2.0
"""The connection table, as far as an operator sees it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.datapath.addresses import packed
from xlvs.datapath.btf import read
from xlvs.datapath.connections import Listing, Server, Shape
from xlvs.datapath.layout import Layout
from xlvs.datapath.loader import OBJECTS
from xlvs.datapath.records import (
    CONNECTION_GENERATION_SHIFT,
    CONNECTION_METHOD_SHIFT,
    CONNECTION_PROTOCOL_SHIFT,
    ConnectionFlag,
    Entry,
    Entry4,
    Entry6,
    Line4,
    Line6,
    Method,
    State,
    Transport,
)
from xlvs.model.service import Protocol

LAYOUT = Layout(read((OBJECTS / "xdp.bpf.o").read_bytes()))
HZ = 250
NOW = 1000
CLIENT, VIP = int(ip_address("192.168.100.9")), int(ip_address("10.0.0.1"))
CLIENT6, VIP6 = packed(ip_address("2001:db8::9")), packed(ip_address("fd00:1::1"))
NOBODY = 77


def entry(
    state=State.ESTABLISHED,
    flags=ConnectionFlag.LIVE,
    method=Method.NAT,
    protocol=Transport.TCP,
    generation=0xABC,
    **more,
):
    word = (
        state
        | protocol << CONNECTION_PROTOCOL_SHIFT
        | flags
        | method << CONNECTION_METHOD_SHIFT
        | generation << CONNECTION_GENERATION_SHIFT
    )
    return Entry(**{"word": word, "expires": NOW + 900 * HZ, "destination": 3, **more})


def four(*args, **more):
    return Entry4(entry(*args, **more), CLIENT, VIP, 30000, 80)


def image(*lines):
    return memoryview(bytearray(b"".join(map(LAYOUT.pack, lines))))


def listing(asked=None):
    def server(destination):
        if asked is not None:
            asked.append(destination)
        return None if destination == NOBODY else Server("192.168.200.11", 8080)

    return Listing(HZ, server, lambda block: f"192.168.200.{100 + block}")


def shown(*places, now=NOW):
    lines = [Line4(way=(place, Entry4())) for place in places]
    return listing().read(image(*lines), Shape.of(LAYOUT, v6=False), now)


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
    (found,) = listing().read(lines, Shape.of(LAYOUT, v6=True), NOW)
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
        four(protocol=Transport.ESP),
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
    found = listing(asked).read(image(*lines), Shape.of(LAYOUT, v6=False), NOW)
    assert len(found) == 200
    assert sorted(asked) == [0, 1]


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
    found = listing().read(Changing(lines, shape.first // 4, by), shape, NOW)
    assert [each.state for each in found] == expected
