# SPDX-License-Identifier: Apache-2.0
"""Lines of a connection table as they lie in memory."""

from __future__ import annotations

from ipaddress import ip_address

from xlvs.datapath import btf
from xlvs.datapath.addresses import packed
from xlvs.datapath.layout import Layout
from xlvs.datapath.loader import OBJECTS
from xlvs.datapath.records import (
    CONNECTION_GENERATION_SHIFT,
    CONNECTION_METHOD_SHIFT,
    CONNECTION_PROTOCOL_SHIFT,
    ConnectionFlag,
    Entry,
    Entry4,
    Method,
    State,
    Transport,
)

LAYOUT = Layout(btf.read((OBJECTS / "xdp.bpf.o").read_bytes()))
HZ = 250
NOW = 1000
CLIENT, VIP = int(ip_address("192.168.100.9")), int(ip_address("10.0.0.1"))
CLIENT6, VIP6 = packed(ip_address("2001:db8::9")), packed(ip_address("fd00:1::1"))


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
