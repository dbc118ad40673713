# SPDX-License-Identifier: Apache-2.0
"""A packet explained, then sent: what must be the same."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from xlvs.datapath.explain import frame as frames
from xlvs.datapath.explain.story import Door, Story
from xlvs.datapath.explain.trial import Rehearsal, Trial
from xlvs.engine.explanation import text
from xlvs.model.service import Protocol
from xlvs.wire.explanation import Explanation, Packet

from .world import CLIENT_MAC, MAC0, MAC1, Out, World, mac_bytes

SILENT = ("events", "sync_events", "sweepers", "sync_timers")
"""A ring buffer and a timer: nothing to read."""


class Explained(NamedTuple):
    """The story, the run, and what the same packet did afterwards."""

    story: Explanation
    words: str
    trial: Trial
    out: Out


class Explainer:
    """One director, explained by both hooks' objects; each is loaded once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._loaded: dict[str, Rehearsal] = {}

    def close(self) -> None:
        """Let go of the objects."""
        for each in self._loaded.values():
            each.close()

    def dump(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """Every byte of every map."""
        maps = self.world.path.maps()
        found = {each.name: sorted(each.items()) for each in maps if each.name not in SILENT}
        slots = self.world.path.map("hash_slots")
        for number, _ in found["hash_slots"]:
            page = slots.inner(number)
            assert page is not None
            with page.view() as view:
                found[f"page {number.hex()} of hash_slots"] = [(number, bytes(view))]
            page.close()
        return found

    def explain(self, frame: bytes, side: str = "eth0") -> tuple[Explanation, Trial]:
        """The story, told without a change: compared byte by byte."""
        world = self.world
        if world.hook not in self._loaded:
            self._loaded[world.hook] = Rehearsal(world.path, world.hook)
        before = self.dump()
        trial = self._loaded[world.hook].run(frame, world.ifindex[side])
        after = self.dump()
        for name, entries in before.items():
            assert entries == after[name], f"{name} was written"
        names = {index: name for name, index in world.ifindex.items()}
        door = Door(
            world.layout,
            world.hz,
            lambda name, key: world.path.map(name).lookup(key),
            lambda index: names.get(index, str(index)),
        )
        packet = Packet(
            title="a packet", interface=side, hook=world.hook, frame=frames.read(frame), chosen=[]
        )
        return Story(door, trial).tell(packet), trial

    def happens(self, frame: bytes, side: str = "eth0") -> Explained:
        """Explain it, then send it: the same must come of it."""
        story, trial = self.explain(frame, side)
        out = self.world.run(frame, side)
        assert (story.verdict, story.reason) == (out.verdict, out.reason)
        assert fixed(trial.frame) == fixed(out.raw)
        return Explained(story, text(story), trial, out)


def fixed(raw: bytes) -> bytes:
    """Without the one thing that is drawn at random: the IP id of an ICMP error of ours."""
    packet = Ether(raw)
    ip = packet.getlayer(IP)
    if ip is None or ip.proto != 1 or len(raw) < 34:
        return raw
    return raw[:18] + bytes(2) + raw[20:24] + bytes(2) + raw[26:]


def frame(  # a packet
    source: str,
    source_port: int,
    to: str,
    port: int,
    flags: str = "S",
    protocol: str = "tcp",
    length: int = 0,
    side: str = "eth0",
    error: str = "",
    sender: str = "",
) -> bytes:
    """A packet as ``xlvs explain`` makes it, or an ``error`` about it."""
    return frames.make(
        frames.Wanted(
            protocol=Protocol(protocol),
            source=ip_address(source),
            source_port=source_port,
            destination=ip_address(to),
            destination_port=port,
            flags=flags,
            length=length,
            source_mac=mac_bytes(CLIENT_MAC),
            destination_mac=mac_bytes(MAC0 if side == "eth0" else MAC1),
            error=error,
            sender=ip_address(sender) if sender else None,
        )
    )
