# SPDX-License-Identifier: Apache-2.0
"""What packets ask of the daemon: a neighbour that XDP could not find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xlvs.datapath.addresses import unpacked
from xlvs.datapath.libbpf import RingBuffer
from xlvs.io.kernel import Kernel
from xlvs.model.service import Address

_RESOLVE = 1


class PacketEvents:
    """Reads the ring buffer in the event loop; ``resolve(ifindex, address)`` per request."""

    def __init__(self, kernel: Kernel, resolve: Callable[[int, Address], None]) -> None:
        self._kernel = kernel
        self._resolve = resolve
        self._ring = RingBuffer(kernel.events_fd())
        self._fd = self._ring.fileno()
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def close(self) -> None:
        """Stop reading."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self._ring.close()

    def _read(self) -> None:
        for data in self._ring.read():
            event = self._kernel.event(data)
            if event.kind == _RESOLVE:
                self._resolve(event.ifindex, unpacked(event.address))
