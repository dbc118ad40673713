# SPDX-License-Identifier: Apache-2.0
"""``xlvs explain`` in the daemon: the frame, the run beside the event loop, the story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from xlvs.datapath.explain import frame as frames
from xlvs.datapath.explain.arrival import Arrival, arrival, sender
from xlvs.io.kernel import Kernel
from xlvs.io.surroundings import Surroundings
from xlvs.model.mark import MarkRule, matching
from xlvs.wire.explanation import ExplainRequest, Explanation, Packet

KEEP_SECONDS = 60.0
"""How long after a packet the next one is explained at once."""


class Explainer:
    """Explains one packet at a time; the first takes a second or two, and others go on."""

    def __init__(
        self,
        kernel: Kernel,
        surroundings: Surroundings,
        marks: Callable[[], Sequence[MarkRule]],
    ) -> None:
        self._kernel = kernel
        self._marks = marks
        self._surroundings = surroundings
        self._one = asyncio.Lock()
        self._end: asyncio.TimerHandle | None = None

    async def explain(self, request: ExplainRequest) -> Explanation:
        """What would happen to the packet. Raises Problem."""
        route = await self._surroundings.route(sender(request))
        observed = self._surroundings.observed
        where = arrival(request, observed, route, self._kernel.attachments())
        frame = frames.make(where.wanted)
        names = {link.ifindex: link.name for link in observed.links.values()}
        packet = _packet(where, frame)
        async with self._one:
            if self._end:
                self._end.cancel()
            try:
                found = await asyncio.to_thread(
                    self._kernel.explain, frame, packet, where.link.ifindex, request.mark, names
                )
            finally:
                loop = asyncio.get_running_loop()
                self._end = loop.call_later(KEEP_SECONDS, self._kernel.explained)
        if found.mark is None:
            return msgspec.structs.replace(found, mark=request.mark or None)
        ends = (request.source, request.destination, request.destination_port)
        if request.error:  # it counts as the answer to what it quotes
            ends = (request.destination, request.source, request.source_port or 0)
        source, destination, port = ends
        by = matching(self._marks(), source, destination, frames.NUMBERS[request.protocol], port)
        return msgspec.structs.replace(found, marked_by=by)


def _packet(where: Arrival, frame: bytes) -> Packet:
    return Packet(
        title=where.title,
        interface=where.link.name,
        hook=where.hook,
        frame=frames.read(frame),
        chosen=where.chosen,
    )
