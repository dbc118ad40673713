# SPDX-License-Identifier: Apache-2.0
"""One measurement of each kind; every one is checked to be what its row claims."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

from bench.e2e import plan
from bench.e2e.balancers import Xlvs, sunk
from bench.e2e.hosts import Failed, Host, Network
from bench.e2e.live import Generator, Hop, Sent, Stream, counted, sinks
from bench.e2e.plan import Wires
from bench.e2e.rows import REDIRECT, Row, Test
from bench.measure import Wrong

CONNECTIONS = 32
LOST = 0.001  # of the packets: what a socket's or a ring's end may cost
_FEW = 4


class Sample(NamedTuple):
    """A figure in the row's unit, CPU seconds of all that took part, what to know."""

    value: float
    cpu_seconds: float
    note: str = ""


class Setting(NamedTuple):
    """Everything that runs."""

    net: Network
    xlvs: dict[str, Xlvs]
    objects: Path
    seconds: int


def measure(at: Setting, row: Row) -> Sample:
    """One measurement of a row. Raises Wrong or Failed."""
    match row.test:
        case Test.HTTP_KEEP | Test.HTTP_NEW:
            return http(at, row)
        case Test.BULK:
            return bulk(at, row)
        case Test.UDP:
            return udp(at, row)
        case Test.TWO_CPUS:
            return two_cpus(at, row)
        case _:
            raise Wrong(f"{row.title}: no such test")


class Requests(NamedTuple):
    """What wrk says."""

    number: int
    seconds: float
    errors: str


def wrk_argv(row: Row, *, new: bool, seconds: int, patience: int = 5) -> list[str]:
    """The command that makes requests; one without an answer after ``patience`` s has failed."""
    argv = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", f"{patience}s"]
    if new:
        argv += ["-H", "Connection: close"]
    return [*argv, f"http://{row.to}:{row.port}/index.html"]


def requests(out: str) -> Requests:
    """Read wrk's report. Raises Failed."""
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", out)
    if not found:
        raise Failed(f"wrk said: {out[-300:]}")
    seconds = float(found[2]) * {"s": 1, "ms": 0.001, "m": 60}[found[3]]
    errors = re.findall(r"Socket errors: (.*)|(Non-2xx or 3xx responses: \d+)", out)
    said = "; ".join(text for pair in errors for text in pair if text)
    return Requests(int(found[1]), seconds, said)


def http(at: Setting, row: Row) -> Sample:
    """Requests per second; each server must have got its share by this director."""
    new = row.test is Test.HTTP_NEW
    argv = wrk_argv(row, new=new, seconds=at.seconds)
    before = _received(at.net, row)
    begin = at.net.cpu_seconds()
    out = at.net.client.run(argv)
    cpu = at.net.cpu_seconds() - begin
    made = requests(out)
    if made.errors:
        raise Wrong(f"{row.title}: {made.errors}")
    got = [after - was for after, was in zip(_received(at.net, row), before, strict=True)]
    if min(got) < made.number * (2 if new else 0.5) / _FEW:
        raise Wrong(f"{row.title}: {made.number} requests, but the servers got {got} packets")
    return Sample(made.number / made.seconds, cpu)


def _received(net: Network, row: Row) -> list[int]:
    return [host.received()[row.at.at_server] for host in net.servers]


def bulk(at: Setting, row: Row) -> Sample:
    """Gbit/s of one stream from the client to the first server."""
    argv = ["iperf3", "-c", row.to, "-p", f"{row.port}", "-t", f"{at.seconds}", "-J"]
    was = _received(at.net, row)[0]
    for _ in range(3):  # the server may still be at the end of the last stream
        begin = at.net.cpu_seconds()
        said = json.loads(at.net.client.run(argv, check=False))
        cpu = at.net.cpu_seconds() - begin
        if "sum_received" in said.get("end", {}):
            break
    else:
        raise Failed(f"{row.title}: {said.get('error', 'iperf3 says nothing')}")
    received = said["end"]["sum_received"]
    packets = _received(at.net, row)[0] - was
    if packets * (64 << 10) < received["bytes"]:
        raise Wrong(f"{row.title}: {received['bytes']} bytes in {packets} packets")
    resent = said["end"]["sum_sent"].get("retransmits", 0)
    note = f"{resent} sent again" if resent else ""
    return Sample(received["bits_per_second"] / 1e9, cpu, note)


def stream(at: Setting, row: Row, generator: int = 0, *, syn: bool = False) -> Stream:
    """The generator's packets for a row."""
    d = row.at
    here, there = (d.at_flood, plan.FLOOD_DEVICE) if syn else (d.at_client, plan.CLIENT_DEVICE)
    macs = at.net.client.mac(here), at.net.director(d.name).mac(there)
    if syn:
        return Stream(here, *macs, d.flows, 1 << 30, row.to, row.port, syn)
    return Stream(here, *macs, d.clients(row.to, generator), row.flows, row.to, row.port)


def udp(at: Setting, row: Row) -> Sample:
    """CPU time of one packet's whole way: the generator, the director, the sink."""
    begin = at.net.cpu_seconds()
    with _Sink(at, row) as sink:
        cpu = min(os.sched_getaffinity(0))
        sent = Generator(at.net.client, at.objects, cpu, at.seconds / 2, stream(at, row)).done()
        note = sink.check(row, [sent])
    value = sent.cpu_seconds * 1e9 / sent.packets
    return Sample(value, at.net.cpu_seconds() - begin, note)


def two_cpus(at: Setting, row: Row) -> Sample:
    """How often the rate of one CPU two of them reach, with flows of their own."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    begin = at.net.cpu_seconds()
    jobs = [(cpu, stream(at, row, generator)) for generator, cpu in enumerate(cpus)]

    def run(which: list[tuple[int, Stream]]) -> tuple[list[Sent], str]:
        with _Sink(at, row) as sink:
            seconds = at.seconds / 2
            running = [Generator(at.net.client, at.objects, c, seconds, s) for c, s in which]
            sent = [each.done() for each in running]
            return sent, sink.check(row, sent)

    one, note = run(jobs[:1])
    both, more = run(jobs)
    rates = [sum(s.packets / s.cpu_seconds for s in each) for each in (one, both)]
    common = min(s.end for s in both) - max(s.begin for s in both)
    share = max(common, 0.0) / max(s.seconds for s in both)
    text = [f"{share:.0%} of the time together", *(each for each in (note, more) if each)]
    return Sample(rates[1] / rates[0], at.net.cpu_seconds() - begin, "; ".join(text))


class _Sink:
    """Where packets of a row end: an XDP program for XDP, netfilter for the others."""

    def __init__(self, at: Setting, row: Row) -> None:
        self._at = at
        self._stack = ExitStack()
        net = at.net
        self._xdp = row.at.wires is Wires.XDP
        director: Host = net.director(row.director)
        if row.director == "floor":
            self._places = [(director, plan.CLIENT_DEVICE)]
        else:
            self._places = [(host, row.at.at_server) for host in net.servers]
        self._hop = None
        if row.name == REDIRECT:
            mac = net.servers[0].mac(row.at.at_server)
            self._hop = Hop(director, plan.CLIENT_DEVICE, plan.SERVER_DEVICES[0], mac)
        # The director's device takes frames only with GRO or an XDP program.
        self._gro = None if self._xdp else director

    def __enter__(self) -> Self:
        if self._xdp:
            self._map = self._stack.enter_context(sinks(self._at.objects, self._places, self._hop))
        if self._gro:
            self._gro.run(["ethtool", "-K", plan.CLIENT_DEVICE, "gro", "on"])
        self._before = self._count()
        return self

    def __exit__(self, *_: object) -> None:
        if self._gro:
            self._gro.run(["ethtool", "-K", plan.CLIENT_DEVICE, "gro", "off"])
        self._stack.close()

    def _count(self) -> int:
        return counted(self._map) if self._xdp else sunk(self._at.net)

    def check(self, row: Row, sent: list[Sent]) -> str:
        """As many packets came as were sent, but for few. Raises Wrong."""
        total = sum(each.total for each in sent)
        came = self._count() - self._before
        if came > total or came < total * (1 - LOST):
            raise Wrong(f"{row.title}: {total} packets were sent, {came} came")
        return f"{total - came} lost" if came < total else ""
