# SPDX-License-Identifier: Apache-2.0
"""Families as text, a piece at a time: heads and most samples as the library writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from xlvs.api.metrics.family import Family, Lines

CHUNK = 1 << 15
"""Bytes that are sent at once, or more."""

Encode = Callable[[Collector], bytes]

_END = b"# EOF\n"


class _Part(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        yield self._metric


async def pieces(
    metrics: AsyncIterator[Metric | Lines], encode: Encode, content_type: str
) -> AsyncIterator[bytes]:
    """The text. Parts of one family follow one another; others have their turn between them."""
    last: Family | None = None
    waiting: list[bytes] = []
    size = 0
    async for metric in metrics:
        if isinstance(metric, Metric):
            text = encode(_Part(metric)).removesuffix(_END)
        else:
            family, lines = metric
            head = b"" if family is last else encode(_Part(family.of(()))).removesuffix(_END)
            text, last = head + lines.encode(), family
        waiting.append(text)
        size += len(text)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
        await asyncio.sleep(0)
    if content_type.startswith("application/openmetrics-text"):
        waiting.append(_END)
    yield b"".join(waiting)
