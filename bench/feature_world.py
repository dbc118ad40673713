# SPDX-License-Identifier: Apache-2.0
"""Directors whose services have one feature switched on, and the packets of their clients.

Flows over IPv4, as Linux makes them: with time stamps. A client's first number is ``ISN``, a
server's ``SERVER_ISN``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import msgspec

from bench.frames import (
    ACK,
    SYN,
    Ends,
    Kind,
    Proof,
    Segment,
    Template,
    fold,
    segment_in,
    segment_out,
    total,
)
from bench.harness import Flows, Forget, Harness
from bench.world import (
    CLIENT_MAC,
    LOCAL,
    MAC0,
    MAC1,
    PORT,
    SERVER,
    SERVER_MAC,
    SERVER_PORT,
    SERVERS,
    VIP,
    Key,
    World,
    wanted,
)
from xlvs.datapath.effective import Options
from xlvs.datapath.loader import DataPath
from xlvs.datapath.records import SynCookies
from xlvs.datapath.testrun import test_run, xdp_context
from xlvs.io.kernel import Kernel
from xlvs.model.client_list import ClientList, client_list
from xlvs.model.desired import Desired
from xlvs.model.service import (
    Limit,
    Limits,
    Method,
    Protocol,
    ProxyProtocol,
    ServiceKey,
    SynProxy,
    SynProxyMode,
)

ISN, SERVER_ISN = 1, 4_000_000_000
FIRST, LATER = ISN + 1, ISN + 1001
PREFIXES = 100_000
PROXY_V2_BYTES, TOA_BYTES = 28, 8
_SLOT_SECONDS = 64
_KEYS = (1, 2, 3, 4)  # of one secret
_MSS_1460 = 6  # of the cookies'
_SCALE, _SACK = 7, 0x10  # what a cookie's time stamp says of the client
_MANY, _RATE = 1 << 30, 1_000_000


class Feature(StrEnum):
    """What is switched on."""

    OFF = "off"
    TOA = "toa"
    PROXY_V1 = "proxy-v1"
    PROXY_V2 = "proxy-v2"
    SERVICE_LIMITS = "service-limits"
    CLIENT_LIMITS = "client-limits"
    LISTS = "lists"
    SYN_AUTO = "syn-auto"
    SYN_PROXY = "syn-proxy"


_LIMIT = Limit(connections=_MANY, rate=_RATE, burst=_RATE)
_SERVICE: Mapping[Feature, Mapping[str, Any]] = {
    Feature.OFF: {},
    Feature.TOA: {"toa": True},
    Feature.PROXY_V1: {"proxy_protocol": ProxyProtocol.V1},
    Feature.PROXY_V2: {"proxy_protocol": ProxyProtocol.V2},
    Feature.SERVICE_LIMITS: {"limits": Limits(service=_LIMIT)},
    Feature.CLIENT_LIMITS: {"limits": Limits(client=_LIMIT)},
    Feature.LISTS: {"deny": ("bad",)},
    Feature.SYN_AUTO: {"syn_proxy": SynProxy(mode=SynProxyMode.AUTO)},
    Feature.SYN_PROXY: {"syn_proxy": SynProxy(mode=SynProxyMode.ON)},
}


@cache
def bad() -> ClientList:
    """A list that has none of the clients."""
    first = int(IPv4Address("172.16.0.0"))
    half = PREFIXES // 2
    singles = (f"{IPv4Address(first + 2 * i)}" for i in range(half))
    networks = (f"{IPv4Address((96 << 24) + 512 * i)}/24" for i in range(PREFIXES - half))
    return client_list((*singles, *networks))


def _stamps(stamp: int, echo: int) -> bytes:
    return struct.pack(">BBBBII", 1, 1, 8, 10, stamp, echo)


def _offer(stamp: int, echo: int) -> bytes:
    return struct.pack(">BBHBBBBIIBBBB", 2, 4, 1460, 4, 2, 8, 10, stamp, echo, 1, 3, 3, _SCALE)


def from_client(segment: Segment) -> Template:
    """A client's segment."""
    return segment_in(Ends(MAC0, CLIENT_MAC, VIP, PORT), segment)


def syn() -> Template:
    """A client's SYN."""
    return from_client(Segment(SYN, ISN, options=_offer(800, 0)))


def data(seq: int) -> Template:
    """Eight bytes of a client."""
    options = _stamps(801, 5000 & ~0x3F | _SACK | _SCALE)
    return from_client(Segment(ACK, seq, SERVER_ISN + 1, options, 8))


def proof(cookies: SynCookies) -> Template:
    """The acknowledgement of a cookie."""
    made = from_client(Segment(ACK, FIRST, 0, _stamps(801, 5000 & ~0x3F | _SACK | _SCALE)))
    known = Proof(cookies.slot_ticks, cookies.offset, cookies.key[: len(_KEYS)], ISN, _MSS_1460)
    return made._replace(kind=Kind.PROOF4, proof=known, tail=True)


def _from_server(segment: Segment) -> Template:
    return segment_out((MAC1, SERVER_MAC), SERVER_PORT, SERVER, SERVERS, segment)


def syn_ack() -> Template:
    """A NAT server's answer to a SYN."""
    return _from_server(Segment(SYN | ACK, SERVER_ISN, ISN + 1, _offer(5000, 801)))._replace(
        tail=True
    )


def answer() -> Template:
    """A NAT server's data, which acknowledges what the client has sent and what was put before."""
    return _from_server(Segment(ACK, SERVER_ISN + 1, LATER, _stamps(5001, 801), 8))


def local_answer(connection: Mapping[str, Any]) -> bytes:
    """The same of a FULLNAT server, on one connection, as a whole frame."""
    made = answer()
    ends = b"".join(IPv4Address(connection[end]).packed for end in ("destination", "local"))
    port = struct.pack(">H", connection["local_port"])
    frame = bytearray(made.frame)
    frame[26:34], frame[36:38] = ends, port
    frame[24:26] = struct.pack("=H", ~fold(made.ip_sum + total(ends)) & 0xFFFF)
    frame[50:52] = struct.pack("=H", ~fold(made.l4_sum + total(ends + port)) & 0xFFFF)
    return bytes(frame)


class FeatureWorld(World):
    """A data path whose TCP service over IPv4 has a feature."""

    @property
    def feature(self) -> Feature:
        """Which."""
        return Feature(self.key.feature)

    @property
    def wanted(self) -> Desired:
        """Its services."""
        key = ServiceKey(protocol=Protocol.TCP, address=VIP, port=PORT)
        plain = wanted(self.key.method)
        service, destinations = plain.services[key]
        service = msgspec.structs.replace(service, **_SERVICE[self.feature])
        services = {**plain.services, key: (service, destinations)}
        lists = {"bad": bad()} if self.feature is Feature.LISTS else {}
        return msgspec.structs.replace(plain, services=services, lists=lists)

    @property
    def cookies(self) -> SynCookies:
        """What its cookies are made of."""
        return SynCookies(
            key=(*_KEYS, 0, 0, 0, 0), slot_ticks=_SLOT_SECONDS * self.path.geometry.hz
        )

    @property
    def options(self) -> Options:
        """What its daemon would have been started with."""
        return Options(local_addresses=LOCAL, syn_cookies=self.cookies)

    def __init__(self, key: Key, path: DataPath, forget: Forget, tc: Harness, back: int) -> None:
        """``tc``: the harness of that hook. ``back``: the interface of the servers."""
        super().__init__(key, path, forget)
        self._tc = tc
        self._back = back

    def establish(self, harness: Harness) -> None:
        """Open the flows of the service; nothing is left to do of their beginnings.

        ``harness``: of XDP.
        """
        number = self.key.connections
        flows = Flows(1 << (number - 1).bit_length(), mixed=False)
        self.open(harness, flows)
        if self.feature is Feature.SYN_PROXY:
            target = self.path.programs["xlvs_tc_ingress"]
            self._tc.run(target, syn_ack(), flows, number, self._back)
        harness.run(self.path.programs["xlvs_xdp"], data(FIRST), flows, number)
        if self.key.method is Method.NAT:
            harness.run(self.path.programs["xlvs_xdp"], answer(), flows, number, self._back)
        elif self.feature is not Feature.OFF:
            self._answer_singly()
        self.established = number
        used = self.table().used
        if used != number:
            counted = {name: n for name, n in self.reasons().items() if n}
            raise SystemExit(f"{used} connections instead of {number} in {self.key}: {counted}")

    def proof(self) -> Template:
        """The acknowledgement of a cookie of this director."""
        return proof(self.cookies)

    def open(self, harness: Harness, flows: Flows, clients: int = 0) -> None:
        """Make connections of flows, of clients that are so many behind the first one."""
        template = self.proof() if self.feature is Feature.SYN_PROXY else syn()
        template = template._replace(address=template.address + clients)
        harness.run(self.path.programs["xlvs_xdp"], template, flows, flows.number)

    def _answer_singly(self) -> None:
        """FULLNAT's servers answer: the wrapper does not know what the connections' ports are."""
        program = self.path.programs["xlvs_xdp"]
        for piece in Kernel(self.path).connections():
            for line in piece.lines.splitlines():
                each = json.loads(line)
                frame = local_answer(each)
                test_run(program, frame, ctx=xdp_context(len(frame), self._back))
