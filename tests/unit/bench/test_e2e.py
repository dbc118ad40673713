# SPDX-License-Identifier: Apache-2.0
"""The end-to-end benchmark's plan, rows and report, its frames, and what it reads from wrk."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from bench.e2e import plan, report
from bench.e2e.flood import Flood
from bench.e2e.hosts import Failed
from bench.e2e.leftovers import of_the_dead
from bench.e2e.live import Stream, case
from bench.e2e.main import chosen
from bench.e2e.plan import DIRECTORS, METHODS, SERVERS
from bench.e2e.rows import FLOOR, ROUTE, Row, rows
from bench.e2e.rows import Test as Kind
from bench.e2e.traffic import Sample, requests
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

MACS = "02:00:00:00:00:01", "02:00:00:00:00:02"
NAMES = {name: f"n-{name}" for name in ("client", "server1", "server2", *DIRECTORS)}
EVERY = rows()


def row(test, name, **fields):
    return Row(test, name, "tc", "10.0.0.1", 80, **fields)


def samples(*values, cpu=1.0):
    return [Sample(value, cpu) for value in values]


# --- plan


def test_no_address_is_there_twice() -> None:
    every = []
    for d in DIRECTORS.values():
        every += [d.address, d.client, d.client_of_dr, *(d.vip(m) for m in METHODS)]
        every += [address for n in SERVERS for address in (d.towards(n), d.server(n))]
    every += [address for n in SERVERS for address in plan.direct(n)]
    assert len(set(every)) == len(every)
    assert all(IPv4Address(address).is_private for address in every)


def test_no_two_devices_of_a_host_have_one_name() -> None:
    ends = []
    for line in plan.wires(NAMES, 2):
        words = line.split()
        peer = words.index("peer")
        ends.append((words[words.index("netns") + 1], words[2]))
        ends.append((words[words.index("netns", peer) + 1], words[words.index("name", peer) + 1]))
    assert len(set(ends)) == len(ends)
    assert {host for host, _ in ends} == set(NAMES.values())


def test_a_flooded_director_has_one_more_wire() -> None:
    for d in DIRECTORS.values():
        assert (plan.FLOOD_DEVICE in d.devices) == d.flooded
        assert any(plan.FLOOD_DEVICE in line for line in plan.director(d)) == d.flooded


@pytest.mark.parametrize("d", DIRECTORS.values(), ids=lambda d: d.name)
def test_services_and_generators_have_clients_of_their_own(d) -> None:
    firsts = [d.clients(d.vip(method), generator) for method in METHODS for generator in (0, 1)]
    # 64 K flows are four addresses: 14 bits are of the port.
    networks = [IPv4Network(f"{first}/30") for first in firsts]
    assert len(set(networks)) == len(networks)
    assert all(each.subnet_of(IPv4Network(f"{d.flows}/16")) for each in networks)
    assert d.clients(d.server(1)) == d.flows


def test_plain_routing_spreads_connections_over_both_servers() -> None:
    d = DIRECTORS["route"]
    lines = plan.director(d)
    assert (
        f"route add {d.vip('dr')}/32 nexthop via {d.server(1)} nexthop via {d.server(2)}" in lines
    )
    assert not any("dev lo" in line for line in lines)
    assert f"addr add {d.vip('dr')}/32 dev lo" in plan.server(2)


# --- rows


def test_titles_are_unique_and_every_ratio_has_its_base() -> None:
    assert len({each.title for each in EVERY}) == len(EVERY)
    there = {(each.test, each.flows, each.name) for each in EVERY}
    assert all((each.test, each.flows, each.base) in there for each in EVERY if each.base)


def test_the_targets() -> None:
    targets = {each.title: (each.base, each.target) for each in EVERY if each.target}
    assert targets["udp, 60 bytes, xlvs dr on xdp, 256 flows"] == (FLOOR, 2.0)
    assert targets["udp, 60 bytes, xlvs nat on xdp, 65536 flows"] == (FLOOR, 3.0)
    assert targets["http, a connection for each request, xlvs nat on tc"] == (ROUTE, 0.95)
    assert targets["one tcp stream, xlvs dr on tc"] == (ROUTE, 1.0)
    assert targets["one tcp stream, xlvs nat on xdp"] == (f"{ROUTE}, offloads off", 1.0)
    assert "http, a connection for each request, xlvs nat on xdp" not in targets


def test_a_row_that_is_asked_for_comes_with_its_base() -> None:
    assert chosen([]) == EVERY
    asked = chosen(["xlvs dr on xdp, 256"])
    assert [each.name for each in asked] == [FLOOR, "xlvs dr on xdp"]
    assert {each.flows for each in asked} == {256}


# --- report


def test_ratios_are_of_medians_and_targets_are_judged() -> None:
    base = row(Kind.HTTP_NEW, ROUTE)
    good = row(Kind.HTTP_NEW, "good", base=ROUTE, target=0.95)
    bad = row(Kind.HTTP_NEW, "bad", base=ROUTE, target=0.95)
    found = {
        base: samples(100, 900, 110),
        good: samples(107, 1, 108),
        bad: samples(90, 91, 92, cpu=0.5),
    }
    lines = {line["name"]: line for line in report.figures(found)}
    assert lines["good"]["ratio"] == pytest.approx(107 / 110)
    assert (lines["good"]["met"], lines["bad"]["met"], lines[ROUTE]["met"]) == (True, False, None)
    assert lines["bad"]["ratio_by_cpu_time"] == pytest.approx(182 / 110)
    text = report.tables([*lines.values()], [])
    assert "| good | 107 | 1.00 .. 108 | 0.97 |" in text
    assert text.count("**missed**") == 1


def test_of_packets_less_time_is_better() -> None:
    floor = row(Kind.UDP, FLOOR, flows=256)
    ours = row(Kind.UDP, "ours", flows=256, base=FLOOR, target=2.0)
    lines = report.figures({floor: samples(150), ours: samples(290)})
    assert lines[1]["met"] is True
    assert lines[1]["ratio_by_cpu_time"] is None
    assert "### udp, 60 bytes, 256 flows: ns/packet" in report.tables(lines, [])


def test_a_base_without_figures_leaves_no_ratio() -> None:
    ours = row(Kind.BULK, "ours", base=ROUTE, target=1.0)
    (line,) = report.figures({ours: samples(10)})
    assert line["ratio"] is None
    assert line["met"] is None


def test_floods_are_told() -> None:
    came = Flood(0.75, 0.5, "", 32, 31, 150000.0, 140000.0, 30.0, 0.0, {"full": 0}, 7)
    lines = report.flood_figures({row(Kind.FLOOD, "ours"): (came, "nothing")})
    text = report.tables([], lines)
    assert (
        "| ours | 0.75 | 0.50 | none | 31 of 32 | 32 of 32 | 150000 | 140000 | 7 | 0 | nothing |"
        in text
    )


# --- frames, wrk, leftovers


def completed(stream, flow):
    """What e2e_generate() makes of a case."""
    words = struct.unpack("=IIIIII60s", case(stream, 7))
    assert words[0] == stream.flows - 1
    assert words[5] == 7
    frame = bytearray(words[6])
    address = struct.pack(">I", words[1] + (flow >> 14))
    port = struct.pack(">H", 1024 + (flow & 0x3FFF))

    def folded(start, *more):
        total = start + sum(struct.unpack("=" + "H" * (len(each) // 2), each)[0] for each in more)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("=H", ~total & 0xFFFF)

    frame[26:30], frame[34:36] = address, port
    frame[24:26] = folded(words[2], address[:2], address[2:])
    check_at = 50 if words[4] else 40
    frame[check_at : check_at + 2] = folded(words[3], address[:2], address[2:], port)
    return bytes(frame)


@pytest.mark.parametrize("syn", [False, True])
@pytest.mark.parametrize("flow", [0, 1, 65535])
def test_a_frame_is_a_right_packet(syn, flow) -> None:
    stream = Stream("eth0", *MACS, "10.111.32.0", 1 << 16, "10.69.11.1", 9, syn)
    frame = completed(stream, flow)
    packet = Ether(frame)
    assert (packet.src, packet.dst) == MACS
    assert packet[IP].src == str(IPv4Address("10.111.32.0") + (flow >> 14))
    assert packet[IP].payload.sport == 1024 + (flow & 0x3FFF)
    again = packet.copy()
    del again[IP].chksum, again[IP].payload.chksum
    assert bytes(again) == frame
    assert (packet[IP].payload.flags == "S") if syn else (packet[IP].payload.len == 26)


WRK = """Running 1s test @ http://10.69.4.1:80/index.html
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.52ms    1.11ms  15.03ms   83.37%
  {requests} requests in {time}, 5.10MB read
{more}Requests/sec:  18905.11
"""


def test_wrk_is_read() -> None:
    assert requests(WRK.format(requests=18905, time="1.10s", more="")) == (18905, 1.1, "")
    assert requests(WRK.format(requests=1, time="100.00ms", more="")).seconds == pytest.approx(0.1)
    said = "connect 0, read 1, write 3, timeout 0"
    made = requests(WRK.format(requests=9, time="1.00m", more=f"  Socket errors: {said}\n"))
    assert made == (9, 60.0, said)
    made = requests(WRK.format(requests=9, time="1.00s", more="  Non-2xx or 3xx responses: 4\n"))
    assert made.errors == "Non-2xx or 3xx responses: 4"
    with pytest.raises(Failed, match="unable to connect"):
        requests("unable to connect to 10.69.4.1:80 Connection refused")


def test_only_what_is_of_dead_runs_is_left_over() -> None:
    names = ["xlvs-e2e12-client", "xlvs-e2e34-tc", "e2e12flood-tc", "e2e12tc.sock", "xlvs-lab", "a"]
    assert of_the_dead(names, [34]) == ["xlvs-e2e12-client", "e2e12flood-tc", "e2e12tc.sock"]
    assert of_the_dead(names, [12, 34]) == []
