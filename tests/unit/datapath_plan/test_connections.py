# SPDX-License-Identifier: Apache-2.0
"""The connection table, as far as an operator sees it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.datapath.addresses import packed
from xlvs.datapath.connections import connection_view, live_slots, milliseconds_left
from xlvs.datapath.records import Connection, ConnectionFlag, Method, State

CLIENT, VIP, REAL, LOCAL = (
    ip_address(text) for text in ("192.168.100.9", "10.0.0.1", "192.168.200.11", "192.168.200.1")
)


def connection(state=State.ESTABLISHED, flags=ConnectionFlag.LIVE, **more):
    return Connection(
        word=state | flags,
        last_seen=1000,
        timeout=900_000,
        client=packed(CLIENT),
        client_port=30000,
        virtual_address=packed(VIP),
        virtual_port=80,
        server=packed(REAL),
        destination_port=8080,
        local=packed(LOCAL),
        local_port=1024,
        protocol=6,
        **more,
    )


def test_a_connection_in_words():
    shown = connection_view(connection(), 1500)
    assert (shown.state, shown.expires, shown.method) == ("ESTABLISHED", 899, "nat")
    assert (shown.client, shown.virtual, shown.destination) == (CLIENT, VIP, REAL)
    assert (shown.client_port, shown.virtual_port, shown.destination_port) == (30000, 80, 8080)
    assert shown.local is None


def test_fullnat_shows_its_local_end():
    shown = connection_view(connection(method=Method.FULLNAT), 1500)
    assert (shown.method, shown.local, shown.local_port) == ("fullnat", LOCAL, 1024)


def test_what_is_over_is_hidden_and_what_was_replaced_has_no_time_left():
    assert connection_view(connection(), 1000 + 900_000) is None
    assert connection_view(connection(), 1000 + 899_999).expires == 0
    flags = ConnectionFlag.LIVE | ConnectionFlag.REPLACED
    assert connection_view(connection(flags=flags), 1500).expires == 0


@pytest.mark.parametrize(
    ("last_seen", "now", "left"),
    [
        (100, 100, 5000),
        (100, 4100, 1000),
        (101, 100, 5000),  # seen after the clock was read
        (0xFFFFFFFF, 999, 4000),  # the clock went round
        (100, 6000, -900),
    ],
)
def test_time_left(last_seen, now, left):
    found = Connection(last_seen=last_seen, timeout=5000)
    assert milliseconds_left(found, now) == left


def test_live_slots_are_found_without_reading_the_rest():
    stride, word_at = 16, 4
    table = bytearray(stride * 5)
    for slot in (1, 3, 4):
        at = slot * stride + word_at
        table[at : at + 4] = int(ConnectionFlag.LIVE | State.UDP).to_bytes(4, "little")
    assert live_slots(memoryview(table), stride, word_at, 5) == [1, 3, 4]
    assert live_slots(memoryview(table), stride, word_at, 4) == [1, 3]
