# SPDX-License-Identifier: Apache-2.0
"""Gratuitous ARP and unsolicited neighbour advertisements, in small portions.

A thousand addresses five times over are five thousand frames: they go out a few at a
time, so that adverts get between them, and with ``garp_interval`` one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from xlvs.io.vrrp.sockets import FrameSocket
from xlvs.model.service import Address
from xlvs.model.vrrp import Garp
from xlvs.protocols.vrrp.neighbours import announcement

_PORTION = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address is announced, and by which MAC address."""

    device: str
    mac: bytes
    address: Address
    router: bool


class Announcer:
    """Sends frames; ``remark`` gets what goes wrong."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, frames: FrameSocket, remark: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._frames = frames
        self._remark = remark
        self._queues: dict[str, deque[tuple[str, float, bytes]]] = {}
        self._running: set[str] = set()

    def burst(self, instance: str, places: Sequence[Place], repeat: int, garp: Garp) -> None:
        """Announce all addresses ``repeat`` times."""
        frames = [
            (
                place.device,
                garp.interval if isinstance(place.address, IPv4Address) else garp.gna_interval,
                announcement(place.address, place.mac, router=place.router),
            )
            for place in places
        ]
        for _ in range(repeat):
            for device, pause, frame in frames:
                self._queues.setdefault(device, deque()).append((instance, pause, frame))
        for device in {device for device, _, _ in frames} - self._running:
            self._running.add(device)
            self._go_on(device)

    def forget(self, instance: str) -> None:
        """It is master no more: what has not been sent must not be."""
        for device, waiting in self._queues.items():
            self._queues[device] = deque(one for one in waiting if one[0] != instance)

    def _go_on(self, device: str) -> None:
        waiting = self._queues[device]
        for _ in range(_PORTION):
            if not waiting:
                self._running.discard(device)
                return
            _, pause, frame = waiting.popleft()
            try:
                self._frames.send(device, frame)
            except OSError as error:
                waiting.clear()
                self._remark(f"no announcement on {device}: {error.strerror}")
            if pause:
                self._loop.call_later(pause, self._go_on, device)
                return
        self._loop.call_soon(self._go_on, device)
