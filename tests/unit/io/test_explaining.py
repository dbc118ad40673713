# SPDX-License-Identifier: Apache-2.0
"""The daemon keeps what explains packets as long as packets are asked about."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from typing import cast

import pytest

from xlvs.datapath.attach import Attachment
from xlvs.datapath.observed import Link, Observed, Route
from xlvs.io import explaining
from xlvs.io.explaining import Explainer
from xlvs.io.kernel import Kernel
from xlvs.io.surroundings import Surroundings
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Protocol
from xlvs.wire.explanation import ExplainRequest, Explanation, Packet

REQUEST = ExplainRequest(
    protocol=Protocol.TCP,
    source=ip_address("1.2.3.4"),
    destination=ip_address("10.0.0.1"),
    destination_port=80,
)
KEEP = 0.2


class Around:
    """One interface, to which all routes lead."""

    observed = Observed(links={1: Link(1, "eth0", b"\x02" * 6, 1500, up=True)})

    async def route(self, _: Address) -> Route:
        return Route(ifindex=1)


class Loaded:
    """Stands for the kernel: what was done, in its order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails = False

    def attachments(self) -> list[Attachment]:
        return [Attachment("eth0", 1, "xdp", egress=False)]

    def explain(
        self, _: bytes, packet: Packet, ifindex: int, mark: int, names: Mapping[int, str]
    ) -> Explanation:
        assert (ifindex, mark, names) == (1, 0, {1: "eth0"})
        self.done.append("explain")
        if self.fails:
            raise Problem(Code.INTERNAL, "refused")
        return Explanation(packet=packet, roles=[], verdict="pass", reason="pass_no_service")

    def explained(self) -> None:
        self.done.append("let go")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    monkeypatch.setattr(explaining, "KEEP_SECONDS", KEEP)
    return Loaded()


def explainer(kernel: Loaded) -> Explainer:
    return Explainer(cast(Kernel, kernel), cast(Surroundings, Around()), list)


def test_it_is_let_go_when_nothing_was_asked_for_a_while(kernel: Loaded) -> None:
    async def main() -> None:
        it = explainer(kernel)
        for _ in range(3):
            await it.explain(REQUEST)
            await asyncio.sleep(KEEP / 2)
        assert kernel.done == ["explain"] * 3
        await asyncio.sleep(KEEP)
        assert kernel.done == ["explain"] * 3 + ["let go"]
        await asyncio.sleep(KEEP * 2)
        assert kernel.done.count("let go") == 1

    asyncio.run(main())


def test_also_after_a_failure(kernel: Loaded) -> None:
    kernel.fails = True

    async def main() -> None:
        with pytest.raises(Problem, match="refused"):
            await explainer(kernel).explain(REQUEST)
        await asyncio.sleep(KEEP * 2)
        assert kernel.done == ["explain", "let go"]

    asyncio.run(main())
