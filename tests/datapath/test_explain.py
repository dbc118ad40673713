# SPDX-License-Identifier: Apache-2.0
"""``xlvs explain``: it says what is, writes nothing, and the packet then does what was said."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from xlvs.datapath import libbpf
from xlvs.datapath import records as r
from xlvs.datapath.addresses import text
from xlvs.datapath.explain import trial
from xlvs.datapath.libbpf.calls import library, ptr, u32
from xlvs.datapath.loader import OBJECTS, DataPath

from .explaining import Explained, Explainer, frame
from .marks import load, rule
from .world import (
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    LIP,
    LIP6,
    MAC0,
    MAC1,
    UDP,
    VIP,
    VIP6,
    World,
    packed,
    server,
    server_mac,
)

RDONLY_PROG = 1 << 7
HOST = b"\xff" * 16
NETWORK = b"\xff" * 15 + b"\0"
PROPERTY_SECONDS = 25
PROPERTY_PACKETS = 50
ERRORS = ("host-unreachable", "port-unreachable", "too-big", "ttl-exceeded")
ALL = [each for each in r.Scheduler if each is not r.Scheduler.NONE]


@pytest.fixture(scope="module")
def explainers(loaded: World) -> Iterator[Explainer]:
    """Loaded once for all tests here."""
    made = Explainer(loaded)
    yield made
    made.close()


@pytest.fixture
def it(director: World, explainers: Explainer) -> Explainer:
    """An empty director's explainer."""
    assert explainers.world is director
    return explainers


def syn(port: int = 1024, flags: str = "S", **more: object) -> bytes:
    return frame(CLIENT, port, VIP, 80, flags, **more)  # type: ignore[arg-type]


# ---- loading


def test_it_is_loaded_for_the_first_packet_only(
    director: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    class Counted(trial.Rehearsal):
        def __init__(self, path: DataPath, hook: str) -> None:
            loaded.append(hook)
            super().__init__(path, hook)

    monkeypatch.setattr(trial, "Rehearsal", Counted)
    rehearsals = trial.Rehearsals(director.path)
    director.destination(director.service(), 1, r.Method.DR)

    def answer() -> tuple[object, ...]:
        found = rehearsals.run(syn(), director.hook, director.ifindex["eth0"])
        return found.verdict, found.reason, found.frame, found.looked, found.note("choose")

    try:
        first = answer()
        assert first[:2] == ("send", "fwd_dr")
        assert answer() == first
        director.change(0, method=r.Method.NAT)
        assert answer()[1] == "fwd_nat"
        assert loaded == [director.hook]
        rehearsals.close()
        assert answer()[1] == "fwd_nat"
        assert loaded == [director.hook] * 2
    finally:
        rehearsals.close()


# ---- nothing is written


def opened_read_only(name: str, folder: Path) -> libbpf.Object:
    """An object whose shared maps no program may write."""
    set_flags = library().bpf_map__set_map_flags
    set_flags.argtypes, set_flags.restype = (ptr, u32), int
    inner = library().bpf_map__inner_map
    inner.argtypes, inner.restype = (ptr,), ptr
    flags = library().bpf_map__map_flags
    made = libbpf.Object(str(OBJECTS / name), str(folder))
    for each in made.maps():
        if each.pinned and each.name not in {"events", "sync_events", "sweepers", "sync_timers"}:
            # No program can write an array of maps: what it could write are the maps in it.
            handle = inner(each.handle) or each.handle
            set_flags(handle, flags(handle) | RDONLY_PROG)
    return made


@pytest.mark.parametrize("name", ["explain_xdp.bpf.o", "explain_tc.bpf.o"])
def test_the_verifier_finds_no_write_to_a_shared_map(name: str, pin_folder: Path) -> None:
    pin_folder.mkdir(parents=True)
    made = opened_read_only(name, pin_folder)
    try:
        with libbpf.captured_log() as log:
            try:
                made.load()
            except OSError as error:
                pytest.fail(f"{error}: {''.join(log)[-2000:]}")
    finally:
        made.close()


def test_the_verifier_finds_the_writes_of_the_live_program(pin_folder: Path) -> None:
    """Else the test above could not fail."""
    pin_folder.mkdir(parents=True)
    made = opened_read_only("xdp.bpf.o", pin_folder)
    try:
        with libbpf.captured_log() as log, pytest.raises(OSError, match=r"Invalid|denied"):
            made.load()
        assert "write into map forbidden" in "".join(log)
    finally:
        made.close()


# ---- situations


def test_no_service(it: Explainer) -> None:
    found = it.happens(syn())
    assert found.story.reason == "pass_disabled"
    it.world.service()
    found = it.happens(frame(CLIENT, 1, "10.9.9.9", 80))
    assert found.story.reason == "pass_no_service"
    assert found.story.roles == []
    assert "is an address of a service" in found.words


def test_candidates_and_their_numbers(it: Explainer) -> None:
    world = it.world
    service = world.service(scheduler=r.Scheduler.WLC)
    for n in (1, 2, 3):
        world.destination(service, n, r.Method.DR, weight=n - 1)
    it.happens(syn(1))
    found = it.happens(syn(2))
    decision = found.story.decision
    assert decision is not None
    assert [(c.server, c.weight, c.active, c.overhead, c.unfit) for c in decision.candidates] == [
        (f"{server(3)}:80", 2, 1, 256, ""),
        (f"{server(2)}:80", 1, 0, 0, ""),
        (f"{server(1)}:80", 0, 0, None, "weight 0"),
    ]
    assert [c.chosen for c in decision.candidates] == [False, True, False]
    assert found.story.server == decision.chosen == f"{server(2)}:80"
    assert "compared 256 / 2" in found.words
    assert found.story.opened is not None
    assert found.story.opened.state == "SYN_RECV"
    assert found.story.changes == [f"ActiveConn of {server(2)}:80: 0 to 1"]
    assert found.story.out == "eth1"
    assert "ethernet: source" in found.words


def test_a_known_connection(it: Explainer) -> None:
    service = it.world.service()
    it.world.destination(service, 1, r.Method.NAT, port=8080)
    it.world.run(syn())
    found = it.happens(syn(flags="A"))
    story = found.story
    assert story.known is not None
    assert story.after is not None
    assert (story.known.state, story.after.state) == ("SYN_RECV", "ESTABLISHED")
    assert "half-open" in story.known.flags
    assert story.known.server == f"{server(1)}:8080"
    assert story.opened is None
    assert story.decision is None
    assert "tcp: destination 80 to 8080" in found.words
    back = it.happens(frame(server(1), 8080, CLIENT, 1024, "A", side="eth1"), "eth1")
    assert back.story.reason == "fwd_reply"
    assert back.story.reply
    assert f"ipv4: source {server(1)} to {VIP}" in back.words


def test_a_syn_that_is_answered_and_what_follows(it: Explainer) -> None:
    """SYN proxy. Without time stamps, which the answer would have of its own moment."""
    world = it.world
    flags = r.ServiceFlag.USED | r.ServiceFlag.SYN_PROXY | r.ServiceFlag.SYN_COOKIES
    world.destination(world.service(flags=flags), 1, r.Method.NAT)
    cookies = r.SynCookies(key=(1, 2, 3, 4, 0, 0, 0, 0), slot_ticks=3600 * world.hz)
    world.set(syn_proxies=1, syn_cookies=cookies)

    def sent(flags: str, seq: int, ack: int = 0) -> bytes:
        tcp = TCP(sport=1024, dport=80, flags=flags, seq=seq, ack=ack, window=500)
        return bytes(Ether(src=CLIENT_MAC, dst=MAC0) / IP(src=CLIENT, dst=VIP) / tcp)

    found = it.happens(sent("S", 7))
    assert (found.story.reason, found.story.opened) == ("reply_syn_cookie", None)
    ack = found.out.packet[TCP].seq + 1
    found = it.happens(sent("A", 8, ack))
    assert found.story.reason == "fwd_nat"
    assert found.story.opened is not None
    assert found.story.opened.state == "SYN_RECV"
    tcp = TCP(sport=80, dport=1024, flags="SA", seq=99, ack=8, window=500)
    ip = IP(src=server(1), dst=CLIENT)
    found = it.happens(bytes(Ether(src=server_mac(1), dst=MAC1) / ip / tcp), "eth1")
    assert found.story.reason == ("pass_syn_ack" if world.hook == "xdp" else "fwd_reply")
    assert it.happens(sent("A", 8, ack)).story.reason == "fwd_nat"


def test_cursors(it: Explainer) -> None:
    service = it.world.service(scheduler=r.Scheduler.WRR)
    for n in (1, 2):
        it.world.destination(service, n, r.Method.DR, weight=n)
    seen = []
    for port in range(3):
        decision = it.happens(syn(port + 1)).story.decision
        assert decision is not None
        seen.append((decision.cursor, decision.current_weight, decision.chosen))
    assert seen == [
        ((None, 0), (1, 1), f"{server(2)}:80"),
        ((0, 1), (1, 1), f"{server(1)}:80"),
        ((1, 0), (1, 2), f"{server(2)}:80"),
    ]


def test_many_servers_are_counted_and_the_choice_is_shown(it: Explainer) -> None:
    service = it.world.service(scheduler=r.Scheduler.LC)
    for n in range(70):
        it.world.destination(
            service, 1, r.Method.DR, address=packed(f"192.168.200.{n + 20}"), weight=int(n == 0)
        ) if n < 64 else None
    found = it.happens(syn())
    decision = found.story.decision
    assert decision is not None
    assert (decision.looked, decision.servers) == (64, 64)
    assert [c.server for c in decision.candidates if c.chosen] == ["192.168.200.20:80"]


@pytest.mark.parametrize("scheduler", [r.Scheduler.LBLC, r.Scheduler.LBLCR])
def test_what_a_virtual_address_had(it: Explainer, scheduler: r.Scheduler) -> None:
    service = it.world.service(scheduler=scheduler)
    for n in (1, 2):
        it.world.destination(service, n, r.Method.DR, weight=9)
    first = it.happens(syn(1)).story.decision
    second = it.happens(syn(2))
    assert first is not None
    assert second.story.decision is not None
    assert (first.remembered, second.story.decision.remembered) == ("", first.chosen)
    assert second.story.decision.chosen == first.chosen
    assert f"the virtual address had {first.chosen}" in second.words


def test_persistence(it: Explainer) -> None:
    world = it.world
    service = world.service(persistence=100 * world.hz, mask=NETWORK)
    for n in (1, 2):
        world.destination(service, n, r.Method.DR)
    first = it.happens(syn(1))
    assert first.story.template is not None
    assert (first.story.template.found, first.story.template.client) == ("none", "203.0.113.0/24")
    assert "one would be made" in first.words
    second = it.happens(syn(2))
    assert second.story.template is not None
    assert second.story.template.found == "found"
    assert second.story.template.connections == 1
    assert second.story.decision is None
    assert second.story.server == first.story.server
    for each in world.connections():
        if not each.template:
            continue
        world.change(each.destination, weight=0)
    world.set(expire_quiescent_template=1)
    third = it.happens(syn(3))
    assert third.story.template is not None
    assert third.story.template.found == "abandoned"
    assert third.story.server != first.story.server


def test_fullnat(it: Explainer) -> None:
    service = it.world.service(local=(LIP,))
    it.world.destination(service, 1, r.Method.FULLNAT)
    it.world.run(syn(1))  # the first port is drawn at random
    found = it.happens(syn(2))
    assert found.story.opened is not None
    assert found.story.opened.local.startswith(f"{LIP}:")
    assert f"source {CLIENT} to {LIP}" in found.words
    local, _, port = found.story.opened.local.rpartition(":")
    back = it.happens(frame(server(1), 80, local, int(port), "SA", side="eth1"), "eth1")
    assert back.story.reason == "fwd_reply"
    assert back.story.known is not None
    assert back.story.known.client == f"{CLIENT}:2"


def test_tunnel(it: Explainer) -> None:
    service = it.world.service()
    it.world.destination(service, 1, r.Method.TUN)
    found = it.happens(syn())
    assert found.story.reason == "fwd_tun"
    assert f"a header in front: ipv4 source 192.168.200.1, destination {server(1)}" in found.words


def test_six(it: Explainer) -> None:
    service = it.world.service(VIP6, local=(LIP6,))
    it.world.destination(service, 1, r.Method.NAT, v6=True)
    found = it.happens(frame(CLIENT6, 7, VIP6, 80))
    assert found.story.service == f"tcp [{VIP6}]:80"
    assert found.story.opened is not None
    assert found.story.opened.client == f"[{CLIENT6}]:7"
    assert found.story.server == "[fd00:200::11]:80"


def test_marks(it: Explainer) -> None:
    world = it.world
    key = r.ServiceKey(fwmark=7, family=2)
    service = world.service(port=1, key=key)
    raw = service.to_bytes(4, "little")
    world.path.map("services_by_key").update(world.layout.pack(key), raw)
    world.destination(service, 1, r.Method.DR)
    load(world, [rule(7, to=f"{VIP}/32")])
    world.set(marks=1)
    found = it.happens(syn())
    assert found.story.mark == 7
    assert (found.story.service, found.story.service_found) == ("fwm 7", "mark")


def test_nobody_can_take_it(it: Explainer) -> None:
    service = it.world.service()
    it.world.destination(service, 1, r.Method.DR, weight=0)
    found = it.happens(syn())
    assert found.story.reason == "reply_no_destination"
    assert "no server is fit" in found.words
    assert "icmp message port unreachable" in found.words


def test_one_packet(it: Explainer) -> None:
    service = it.world.service(protocol=UDP, flags=r.ServiceFlag.USED | r.ServiceFlag.ONE_PACKET)
    it.world.destination(service, 1, r.Method.NAT)
    found = it.happens(frame(CLIENT, 9, VIP, 80, protocol="udp"))
    assert found.story.opened is not None
    assert found.story.opened.state == "UDP"
    assert found.story.server == f"{server(1)}:80"
    assert it.world.connections() == []


def test_removed_and_replaced(it: Explainer) -> None:
    world = it.world
    service = world.service()
    one = world.destination(service, 1, r.Method.DR)
    world.run(syn())
    world.change(one, flags=r.DestinationFlag.RESOLVED)
    found = it.happens(syn(flags="A"))
    assert found.story.reason == "drop_destination_removed"
    assert found.story.known is not None
    world.set(expire_nodest_conn=1)
    found = it.happens(syn(flags="A"))
    assert [each.client for each in found.story.ended] == [f"{CLIENT}:1024"]
    assert "would end" in found.words


def test_not_syn(it: Explainer) -> None:
    it.world.destination(it.world.service(), 1, r.Method.DR)
    found = it.happens(syn(flags="A"))
    assert found.story.reason == "pass_not_syn"
    assert found.story.service == f"tcp {VIP}:80"
    assert "such a packet opens no connection" in found.words


# ---- ICMP errors


@pytest.mark.parametrize("method", list(r.Method))
@pytest.mark.parametrize("v6", [False, True])
def test_an_error_about_an_answer(it: Explainer, method: r.Method, v6: bool) -> None:
    vip, client, local = (VIP6, CLIENT6, LIP6) if v6 else (VIP, CLIENT, LIP)
    service = it.world.service(vip, local=(local,))
    it.world.destination(service, 1, method, v6=v6, port=80)
    it.world.run(frame(client, 1024, vip, 80))
    found = it.happens(frame(vip, 80, client, 1024, "A", error="too-big"))
    story = found.story
    assert story.reason == "fwd_icmp_in"
    assert story.known is not None
    assert story.known.client.endswith(":1024")
    assert story.server == ("[fd00:200::11]:80" if v6 else f"{server(1)}:80")
    assert story.opened is None
    assert not story.reply
    assert f"{vip} is a virtual address" in found.words
    if method in (r.Method.NAT, r.Method.FULLNAT):
        assert f"quoted {'ipv6' if v6 else 'ipv4'}: source {vip} to " in found.words


@pytest.mark.parametrize("method", [r.Method.NAT, r.Method.FULLNAT])
def test_an_error_of_the_server(it: Explainer, method: r.Method) -> None:
    service = it.world.service(protocol=UDP, local=(LIP,))
    it.world.destination(service, 1, method, port=8080)
    it.world.run(frame(CLIENT, 1024, VIP, 80, protocol="udp"))
    source, port = CLIENT, 1024
    if method is r.Method.FULLNAT:
        (entry,) = [each for each in it.world.connections() if not each.template]
        source, port = LIP, entry.local_port
    sent = frame(
        source, port, server(1), 8080, protocol="udp", side="eth1", error="port-unreachable"
    )
    found = it.happens(sent, "eth1")
    assert found.story.reason == "fwd_icmp_out"
    assert found.story.reply
    assert found.story.known is not None
    assert found.story.known.client == f"{CLIENT}:1024"
    assert "the error is about a packet that its server got" in found.words
    translated = f"source {LIP} to {CLIENT}, " if method is r.Method.FULLNAT else ""
    assert f"quoted ipv4: {translated}destination {server(1)} to {VIP}" in found.words
    assert "quoted udp: " in found.words


def test_an_error_about_nothing_known(it: Explainer) -> None:
    service = it.world.service()
    it.world.destination(service, 1, r.Method.NAT)
    sent = frame(VIP, 80, CLIENT, 7, "A", error="ttl-exceeded", sender="198.51.100.7")
    found = it.happens(sent)
    assert found.story.reason == "pass_icmp_no_connection"
    assert found.story.service == ""
    it.world.set(schedule_icmp=1)
    found = it.happens(sent)
    assert found.story.reason == "fwd_icmp_in"
    assert found.story.service == f"tcp {VIP}:80"
    assert found.story.known is None
    assert found.story.opened is not None
    assert (found.story.opened.state, found.story.opened.expires) == ("NONE", 3.0)
    it.world.change(0, weight=0)
    found = it.happens(frame(VIP, 80, CLIENT, 8, "A", error="ttl-exceeded"))
    assert found.story.reason == "drop_icmp_not_forwarded"
    assert "no server is fit" in found.words


# ---- whatever the configuration and the packet


def configured(world: World, chance: random.Random) -> None:
    """Services with servers, some with connections."""
    block = 0
    for port in (80, 81, 53):
        method = chance.choice(list(r.Method))
        v6 = chance.random() < 0.3  # a third is enough
        protocol = UDP if port == 53 else 6  # DNS's port
        flags = r.ServiceFlag.USED
        if protocol == UDP and chance.random() < 0.5:  # as often as not
            flags |= r.ServiceFlag.ONE_PACKET
        plain = [each for each in ALL if each.name in SCHEDULERS]
        changes: dict[str, object] = {"flags": flags}
        if chance.random() < 0.4:  # often enough
            changes |= {
                "persistence": 100 * world.hz,
                "mask": chance.choice((HOST, NETWORK)),
                "flags": flags | r.ServiceFlag.PERSISTENT,
            }
        service = world.service(
            VIP6 if v6 else VIP,
            port,
            protocol,
            chance.choice(plain),
            ((LIP6 if v6 else LIP),) if method is r.Method.FULLNAT else (),
            **changes,
        )
        for n in range(1, chance.randint(1, 5)):
            world.destination(
                service,
                n,
                method,
                port=chance.choice((port, 8080)),
                weight=chance.choice((0, 1, 1, 2, 5)),
                mtu=chance.choice((1500, 1500, 600)),
                v6=v6,
                upper_threshold=chance.choice((0, 0, 2)),
                port_block=block,
            )
            block += 1
    world.set(
        schedule_icmp=chance.randint(0, 1),
        conn_reuse_mode=chance.randint(0, 1),
        expire_nodest_conn=chance.randint(0, 1),
        expire_quiescent_template=chance.randint(0, 1),
        sloppy_tcp=chance.randint(0, 1),
    )


SCHEDULERS = {"RR", "WRR", "LC", "WLC", "SED", "NQ", "FO", "OVF", "LBLC", "LBLCR"}
"""Those that need nothing of the daemon, and draw nothing at random."""


def packet(world: World, chance: random.Random) -> tuple[bytes, str]:
    """From a client, or from a server to whom one has connected."""
    known = world.connections()
    if known and chance.random() < 0.3:  # a third is enough
        each = chance.choice(known)
        if each.method is r.Method.NAT and not each.template:
            record = world.destinations[each.destination]
            source = text(record.address)
            protocol = "udp" if each.protocol is r.Transport.UDP else "tcp"
            if chance.random() < 0.3:  # also what a server complains of
                return (
                    frame(each.client, each.client_port, source, record.port, "A", protocol,
                          side="eth1", error=chance.choice(ERRORS)),
                    "eth1",
                )  # fmt: skip
            flags = chance.choice(("SA", "A", "F", "R"))
            return (
                frame(source, record.port, each.client, each.client_port, flags, protocol,
                      side="eth1"),
                "eth1",
            )  # fmt: skip
    v6 = chance.random() < 0.3  # as there are services
    port = chance.choice((80, 81, 53, 99))
    source = (CLIENT6 if v6 else CLIENT)[:-1] + str(chance.randint(1, 3))
    if chance.random() < 0.15:  # some errors about answers
        vip, protocol = VIP6 if v6 else VIP, "udp" if port == 53 else "tcp"  # DNS's port
        error = chance.choice(ERRORS)
        return frame(vip, port, source, chance.randint(1, 6), "A", protocol, error=error), "eth0"
    return (
        frame(
            source,
            chance.randint(1, 6),
            VIP6 if v6 else VIP,
            port,
            chance.choice(("S", "S", "S", "A", "F", "R", "SA")),
            "udp" if port == 53 else "tcp",  # DNS's port
            chance.choice((0, 0, 0, 900)),
        ),
        "eth0",
    )


def begin_ports(world: World) -> None:
    """Where the search begins is drawn at random once: here it is not."""
    codec = world.layout.codec(r.LocalPorts)
    for number in world.rows:
        for block in world.blocks(number):
            world.path.map("local_ports").update(block, codec.pack(r.LocalPorts(0, 77)))


def test_what_is_said_happens(it: Explainer) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    deadline = time.monotonic() + PROPERTY_SECONDS
    reasons: set[str] = set()
    packets = 0
    # A busy machine takes longer to see enough.
    while time.monotonic() < deadline or packets <= PROPERTY_PACKETS:
        it.world.reset()
        configured(it.world, chance)
        begin_ports(it.world)
        for _ in range(25):
            sent, side = packet(it.world, chance)
            try:
                found = it.happens(sent, side)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, packet {packets}: {error}") from error
            check(it.world, found, seed)
            reasons.add(found.story.reason)
            packets += 1
    assert len(reasons) > 5, reasons


def check(world: World, found: Explained, seed: int) -> None:
    """What the story names is what the table then has."""
    new = found.story.opened
    if new is None or not new.flags or found.trial.number("one_packet"):
        return
    there = [
        each
        for each in world.connections()
        if not each.template
        and f"{each.client_port}" == new.client.rpartition(":")[2]
        and each.state.removeprefix("SCTP_") == new.state
        and text(world.destinations[each.destination].address) in new.server
    ]
    assert there, f"seed {seed}: {new} is not in the table"
