# SPDX-License-Identifier: Apache-2.0
"""What is measured: one row for each test and way, and what it is compared with. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from bench.e2e import plan
from bench.e2e.plan import DIRECTORS, Director


class Test(StrEnum):
    """A kind of traffic; each is a table."""

    HTTP_KEEP = "http, keep-alive"
    HTTP_NEW = "http, a connection for each request"
    BULK = "one tcp stream"
    UDP = "udp, 60 bytes"
    TWO_CPUS = "udp on two cpus"
    FLOOD = "http in a syn flood"


UNITS = {
    Test.HTTP_KEEP: "requests/s",
    Test.HTTP_NEW: "requests/s",
    Test.BULK: "Gbit/s",
    Test.UDP: "ns/packet",
    Test.TWO_CPUS: "times",
    Test.FLOOD: "kept",
}


class Row(NamedTuple):
    """One figure.

    ``to``: the address that the client talks to. ``base``: name of the row in the same
    test that the ratio is to. ``target``: of the ratio, or of the figure if there is no
    base; at most that where less is better.
    """

    test: Test
    name: str
    director: str
    to: str
    port: int
    flows: int = 0
    base: str = ""
    target: float = 0.0

    @property
    def at(self) -> Director:
        """The director that it goes by."""
        return DIRECTORS[self.director]

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.test}, {self.name}" + (f", {self.flows} flows" if self.flows else "")

    @property
    def less_is_better(self) -> bool:
        """It is a time."""
        return self.test is Test.UDP


ROUTE, FLOOR, REDIRECT = "plain routing", "XDP_DROP (floor)", "XDP_REDIRECT alone"


def _http(test: Test) -> list[Row]:
    target = 0.95 if test is Test.HTTP_NEW else 0.0
    # Both servers have that address, and each connection has one of them, as with the
    # others: one server for each thread of wrk would share a CPU with it.
    to = DIRECTORS["route"].vip("dr")
    rows = [Row(test, ROUTE, "route", to, plan.HTTP_PORT)]
    d = DIRECTORS["nft"]
    rows.append(Row(test, "nftables DNAT", d.name, d.vip("nat"), plan.HTTP_PORT, base=ROUTE))
    d = DIRECTORS["proxy"]
    for name, port in (("HAProxy tcp", plan.HAPROXY_HTTP), ("nginx stream", plan.NGINX_HTTP)):
        rows.append(Row(test, name, d.name, d.vip("nat"), port, base=ROUTE))
    for hook in ("tc", "xdp"):
        d = DIRECTORS[hook]
        for method in ("nat", "dr"):
            name = f"xlvs {method} on {hook}"
            row = Row(test, name, hook, d.vip(method), plan.HTTP_PORT, base=ROUTE)
            rows.append(row._replace(target=target) if hook == "tc" else row)
    name, to = f"{ROUTE}, wires as for XDP", DIRECTORS["route-xdp"].vip("dr")
    return [*rows, Row(test, name, "route-xdp", to, plan.HTTP_PORT, base=ROUTE)]


def _bulk() -> list[Row]:
    test, port = Test.BULK, plan.BULK_PORT
    rows = []
    for off, text in (("", ""), ("-off", ", offloads off")):
        base = ROUTE + text
        d = DIRECTORS[f"route{off}"]
        rows.append(Row(test, base, d.name, d.server(1), port))
        d = DIRECTORS[f"nft{off}"]
        rows.append(Row(test, f"nftables DNAT{text}", d.name, d.vip("nat"), port, base=base))
        d = DIRECTORS[f"proxy{off}"]
        to = d.vip("nat")
        rows.append(Row(test, f"HAProxy tcp{text}", d.name, to, plan.HAPROXY_BULK, base=base))
        d = DIRECTORS["xdp" if off else "tc"]
        for method in ("nat", "dr"):
            name = f"xlvs {method} on {d.name}"
            rows.append(Row(test, name, d.name, d.vip(method), port, base=base, target=1.0))
    d = DIRECTORS["route-xdp"]
    name, base = f"{ROUTE}, wires as for XDP", f"{ROUTE}, offloads off"
    return [*rows, Row(test, name, d.name, d.server(1), port, base=base)]


def _udp(flows: int) -> list[Row]:
    test, port = Test.UDP, plan.SINK_PORT
    target = 2.0 if flows == 1 << 8 else 3.0
    d = DIRECTORS["floor"]
    rows = [Row(test, FLOOR, d.name, d.server(1), port, flows)]
    for name, way in ((REDIRECT, "route-xdp"), (ROUTE, "route"), ("nftables DNAT", "nft")):
        d = DIRECTORS[way]
        to = d.vip("nat") if way == "nft" else d.server(1)
        rows.append(Row(test, name, d.name, to, port, flows, FLOOR))
    for hook in ("xdp", "tc"):
        d = DIRECTORS[f"udp-{hook}"]
        for method in ("dr", "nat", "tun"):
            row = Row(test, f"xlvs {method} on {hook}", d.name, d.vip(method), port, flows, FLOOR)
            rows.append(row._replace(target=target) if hook == "xdp" else row)
    return rows


def _two_cpus() -> list[Row]:
    test, port = Test.TWO_CPUS, plan.SINK_PORT
    d, floor = DIRECTORS["udp-xdp"], DIRECTORS["floor"]
    rows = [Row(test, FLOOR, floor.name, floor.server(1), port, 1 << 14)]
    for method in ("dr", "nat"):
        to = d.vip(method)
        rows.append(Row(test, f"xlvs {method} on xdp", d.name, to, port, 1 << 14, target=1.8))
    return rows


def _flood() -> list[Row]:
    rows = []
    for name, text in (
        ("tc", "xlvs nat on tc"),
        ("xdp", "xlvs nat on xdp"),
        ("syn-proxy-tc", "xlvs nat on tc, SYN proxy"),
        ("syn-proxy-xdp", "xlvs nat on xdp, SYN proxy"),
        ("nft", "nftables DNAT"),
    ):
        d = DIRECTORS[f"flood-{name}"]
        rows.append(Row(Test.FLOOD, text, d.name, d.vip("nat"), plan.HTTP_PORT))
    return rows


def rows() -> list[Row]:
    """All of them, in the order of the report."""
    return [
        *_http(Test.HTTP_KEEP),
        *_http(Test.HTTP_NEW),
        *_bulk(),
        *_udp(1 << 8),
        *_udp(1 << 16),
        *_two_cpus(),
        *_flood(),
    ]
