# SPDX-License-Identifier: Apache-2.0
"""What a tunnel takes of a packet, and what the command line may say of it."""

from __future__ import annotations

import pytest

from xlvs.model.problem import Problem
from xlvs.realserver.tunnel import Tunnel, tunnel

VIP4, VIP6 = "10.0.0.3", "fd00::3"


@pytest.mark.parametrize(
    ("kinds", "four", "six"),
    [
        (("ipip",), 20, 40),
        (("gre",), 28, 48),  # with a checksum
        (("gue",), 32, 52),
        (("ipip", "gue", "gre"), 32, 52),
    ],
)
def test_overhead(kinds: tuple[str, ...], four: int, six: int) -> None:
    assert Tunnel(kinds).overhead(VIP4) == four
    assert Tunnel(kinds).overhead(VIP6) == six
    assert Tunnel(kinds, clamp=0).overhead(VIP6) == 0
    assert Tunnel(kinds, clamp=60).overhead(VIP4) == 60


def test_as_the_command_line_says_it() -> None:
    assert tunnel([], None, "auto") == Tunnel(("ipip",))
    assert tunnel(["gue", "gue"], None, "off") == Tunnel(("gue",), 6080, 0)
    assert tunnel(["ipip", "gue"], 5555, "52") == Tunnel(("ipip", "gue"), 5555, 52)


@pytest.mark.parametrize(
    ("kinds", "port", "clamp", "sentence"),
    [
        (["gre"], 6080, "auto", "only gue has a port"),
        (["gue"], 65536, "auto", "there is no UDP port 65536"),
        (["gue"], 0, "auto", "there is no UDP port 0"),
        ([], None, "256", "wants auto, off, or a number of bytes up to 255, not '256'"),
        ([], None, "-1", "wants auto, off"),
    ],
)
def test_refused(kinds: list[str], port: int | None, clamp: str, sentence: str) -> None:
    with pytest.raises(Problem, match=sentence):
        tunnel(kinds, port, clamp)
