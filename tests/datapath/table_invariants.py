# SPDX-License-Identifier: Apache-2.0
"""What must be true of the connection table whenever no packet is in it.

Read from the maps' memory and computed anew: homes by bpf/table_place.h's formula, and
from them how many entries passed each line; who counts where; FULLNAT's ports and ANSWERs.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import NamedTuple

from xlvs.datapath import records as r

from .world import TABLES, World

_M64 = (1 << 64) - 1
_REGION_LINES = 64  # XLVS_REGION_LINES
_GOLDEN = 0x9E3779B97F4A7C15
_ACTIVE = {r.State.ESTABLISHED, r.State.SYN_SENT, r.State.SYN_RECV, r.State.SYNACK}
_F = r.ConnectionFlag


class Place(NamedTuple):
    """A taken place: ``at`` counts as Entry.expires of an ANSWER does."""

    v6: bool
    at: int
    line: int
    home: int
    src: str
    sport: int
    dst: str
    dport: int
    entry: r.Entry

    @property
    def word(self) -> int:
        return self.entry.word

    @property
    def answer(self) -> bool:
        return bool(self.word & _F.ANSWER)

    @property
    def template(self) -> bool:
        return not self.answer and bool(self.transport & r.Transport.TEMPLATE)

    @property
    def abandoned(self) -> bool:
        return self.word & r.CONNECTION_STATE == r.State.ABANDONED

    @property
    def tenant(self) -> r.Tenant:
        generation = self.word >> r.CONNECTION_GENERATION_SHIFT << r.CONNECTION_GENERATION_SHIFT
        return r.Tenant(self.at, generation | self.v6)

    @property
    def method(self) -> r.Method:
        return r.Method(self.word >> r.CONNECTION_METHOD_SHIFT & 3)

    @property
    def transport(self) -> int:
        return self.word >> r.CONNECTION_PROTOCOL_SHIFT & 7


def _port(number: int) -> int:
    return int.from_bytes(number.to_bytes(2, "big"), "little")


def _mix(g: r.Geometry, x: int) -> int:
    x = (x + g.secret[0]) * g.secret[1] & _M64
    return x ^ x >> 32


def _mix_client(g: r.Geometry, v6: bool, address: str, port: int) -> int:
    raw = ip_address(address).packed
    if not v6:
        return _mix(g, int.from_bytes(raw, "little") << 16 | _port(port))
    halves = [int.from_bytes(raw[i : i + 8], "little") for i in (0, 8)]
    return _mix(g, _mix(g, _mix(g, halves[0]) ^ halves[1]) ^ _port(port))


def _index(mixed: int, lines: int) -> int:
    return ((mixed * _GOLDEN & _M64) >> 32) * lines >> 32


def home(g: r.Geometry, v6: bool, address: str, port: int) -> int:
    """The first line of a client's connections."""
    return _index(_mix_client(g, v6, address, port), g.lines6 if v6 else g.lines4)


def answer_home(g: r.Geometry, v6: bool, server: tuple[str, int], local: tuple[str, int]) -> int:
    """The first line of an ANSWER."""
    mixed = _mix_client(g, v6, *server) ^ (_mix_client(g, v6, *local) * 3 & _M64)
    return _index(_mix(g, mixed), g.lines6 if v6 else g.lines4)


class Table:
    """One look at all lines."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.places: list[Place] = []
        self.passed: dict[tuple[bool, int], int] = {}
        for name, v6 in TABLES:
            self._read(name, v6)
        self.connections = [p for p in self.places if not p.answer and not p.template]
        self.templates = [p for p in self.places if p.template]
        self.answers = [p for p in self.places if p.answer]

    def _read(self, name: str, v6: bool) -> None:
        line = self.world.layout.codec(r.Line6) if v6 else self.world.layout.codec(r.Line4)
        raw, empty = bytes(self.world._views[name]), bytes(line.size)
        for number, start in enumerate(range(0, len(raw), line.size)):
            if raw[start : start + line.size] == empty:
                continue
            record = line.unpack(raw, start)
            if record.lock:
                self.wrong.append(f"{name}[{number}] is locked")
            self.passed[v6, number] = record.passed
            for way, place in enumerate(record.way):
                if place.entry.word & _F.CLAIMED:
                    self.wrong.append(f"{name}[{number}].{way} is claimed")
                if place.entry.word & _F.LIVE:
                    self.places.append(self._place(v6, number, way, place))

    def _place(self, v6: bool, line: int, way: int, place: r.Entry4 | r.Entry6) -> Place:
        g = self.world.path.geometry
        src, dst = str(ip_address(place.src)), str(ip_address(place.dst))
        if place.entry.word & _F.ANSWER:
            first = answer_home(g, v6, (src, place.sport), (dst, place.dport))
        else:
            first = home(g, v6, src, place.sport)
        at = line * (r.WAYS6 if v6 else r.WAYS4) + way
        return Place(v6, at, line, first, src, place.sport, dst, place.dport, place.entry)

    def check(self) -> list[str]:
        """All that is wrong, in words."""
        self._chains()
        self._keys()
        self._counts()
        self._fullnat()
        self._regions()
        self._persistence()
        return self.wrong

    def _chains(self) -> None:
        passed: Counter[tuple[bool, int]] = Counter()
        for p in self.places:
            if not p.home <= p.line < p.home + r.CHAIN:
                self.wrong.append(f"home is line {p.home}: {p}")
            passed.update((p.v6, line) for line in range(p.home, p.line))
        for key in passed.keys() | self.passed.keys():
            have = self.passed.get(key, 0)
            if have != passed[key]:
                self.wrong.append(f"line {key} says passed {have}, not {passed[key]}")

    def _keys(self) -> None:
        keys = Counter(
            (p.v6, p.answer, p.transport, p.src, p.sport, p.dst, p.dport)
            for p in self.places
            if not p.template or not p.abandoned
        )
        self.wrong += [f"{n} entries of {key}" for key, n in keys.items() if n > 1]

    def _counts(self) -> None:
        world = self.world
        for number in world.destinations:
            mine = [p for p in self.connections if p.entry.destination == number]
            inactive = sum(bool(p.word & _F.INACTIVE) for p in mine)
            load = world.load(number)
            if load != (len(mine) - inactive, inactive):
                self.wrong.append(
                    f"destination {number} counts {load} of {len(mine)}, {inactive} inactive"
                )
        for p in self.connections:
            state = p.word & r.CONNECTION_STATE
            if p.transport == r.Transport.TCP and (state in _ACTIVE) == bool(p.word & _F.INACTIVE):
                self.wrong.append(f"state and counter disagree: {p}")
            if p.entry.destination not in world.destinations:
                self.wrong.append(f"destination unknown: {p}")
        use = world.table()
        half_open = sum(bool(p.word & _F.HALF_OPEN) for p in self.connections)
        there = len(self.connections) + len(self.templates)
        if (use.used, use.half_open) != (there, half_open):
            self.wrong.append(
                f"counted {use.used} with {use.half_open} half-open, "
                f"there are {there} with {half_open}"
            )

    def _fullnat(self) -> None:
        blocks: dict[int, Counter[int]] = {}
        for number, d in self.world.destinations.items():
            if d.method == r.Method.FULLNAT:
                for block in self.world.blocks(number):
                    blocks.setdefault(block, Counter())
        leads = Counter((p.v6, p.entry.expires, p.dport) for p in self.answers)
        for p in self.connections:
            if p.method != r.Method.FULLNAT:
                continue
            blocks.setdefault(p.entry.block, Counter())[p.entry.local_port] += 1
            found = leads.pop((p.v6, p.at, p.entry.local_port), 0)
            if found != 1:
                self.wrong.append(f"{found} answers lead to {p}")
        self.wrong += [f"{n} answers lead nowhere: {key}" for key, n in leads.items()]
        for block, wanted in blocks.items():
            self._block(block, wanted)

    def _block(self, block: int, wanted: Counter[int]) -> None:
        raw = self.world.path.map("local_ports").lookup(block) or b""
        ports = self.world.layout.unpack(r.LocalPorts, raw)
        taken = {
            r.LOCAL_PORT_FIRST + i * 64 + bit
            for i, word in enumerate(ports.taken)
            if word
            for bit in range(64)
            if word >> bit & 1
        }
        if ports.used != len(taken):
            self.wrong.append(f"block {block}: {ports.used} used, {len(taken)} taken")
        if taken != set(wanted):
            self.wrong.append(
                f"block {block}: taken for nobody {sorted(taken - set(wanted))[:9]}, "
                f"not taken {sorted(set(wanted) - taken)[:9]}"
            )
        self.wrong += [f"block {block}: port {p} {n} times" for p, n in wanted.items() if n > 1]
        for i, word in enumerate(ports.taken):
            if (word == _M64) != bool(ports.full[i // 64] >> i % 64 & 1):
                self.wrong.append(f"block {block}: word {i} is {word:#x}, the summary errs")

    def _regions(self) -> None:
        now = self.world.path.ticks()
        for p in (*self.connections, *self.templates):
            name = "regions6" if p.v6 else "regions4"
            raw = self.world.path.map(name).lookup(p.line // _REGION_LINES) or b""
            due = int.from_bytes(raw, "little")
            late = min(_signed(due - p.entry.expires), _signed(due - now))
            if not due or (late > 0 and p.entry.expires):
                self.wrong.append(f"the sweep will look at {due}, too late for {p}")

    def _persistence(self) -> None:
        """Templates, who lives under them, and what servers count of them."""
        world, layout = self.world, self.world.layout
        said = {
            layout.unpack(r.Tenant, key): layout.unpack(r.Template, value)
            for key, value in world.path.map("templates").items()
        }
        under = {
            layout.unpack(r.Tenant, key): layout.unpack(r.Tenant, value)
            for key, value in world.path.map("controlled").items()
        }
        calls = {layout.unpack(r.Tenant, key) for key, _ in world.path.map("call_ids").items()}
        templates = {p.tenant: p for p in self.templates}
        if said.keys() != templates.keys():
            self.wrong.append(f"templates {templates.keys() ^ said.keys()} are not in both")
        if calls != {tenant for tenant, each in said.items() if each.call_id}:
            self.wrong.append(f"Call-IDs of {calls}, templates say {said}")
        flagged = {p.tenant for p in self.connections if p.word & _F.CONTROLLED}
        if under.keys() != flagged:
            self.wrong.append(f"controlled {under.keys() ^ flagged} are not in both")
        living = Counter(under.values())
        for tenant in living.keys() - said.keys():
            self.wrong.append(f"{living[tenant]} connections live under {tenant}, nobody's")
        for tenant, each in said.items():
            if each.controlled != living[tenant]:
                self.wrong.append(f"{each} counts wrong: {living[tenant]} live under {tenant}")
        counted = Counter(p.entry.destination for p in self.templates)
        for number in world.destinations:
            load = layout.unpack(
                r.DestinationLoad, world.path.map("destination_load").lookup(number) or b""
            )
            if load.persistent != counted[number]:
                self.wrong.append(
                    f"destination {number} counts {load.persistent} of {counted[number]} templates"
                )


def _signed(ticks: int) -> int:
    """A difference of ticks, which go round at 2^32."""
    return (ticks + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


def check(world: World) -> Table:
    """Fail with all that is wrong; else what was seen."""
    table = Table(world)
    wrong = table.check()
    assert not wrong, "\n".join([f"{len(wrong)} things are wrong:", *wrong[:20]])
    return table


def check_empty(world: World) -> None:
    """Nothing is left of anything."""
    table = check(world)
    assert table.places == []
    assert world.left_behind() == []
