# SPDX-License-Identifier: Apache-2.0
"""The harness's own reading and building of packets, checked against the facts' bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import facts
from .packets_text import build, describe


def steps_with_packets(case: dict[str, Any]) -> list[dict[str, Any]]:
    """In others somebody types a command, or time passes."""
    return [step for step in case["steps"] if "in_hex" in step]


def recorded_packets() -> Iterator[tuple[str, str]]:
    for name in facts.names("packets"):
        for case in facts.load(name)["cases"]:
            for step in steps_with_packets(case):
                yield step["in_hex"], step["in"]
                for out in step["out"]:
                    yield out["hex"], out["text"]


def test_every_recorded_packet_reads_as_it_was_recorded() -> None:
    checked = 0
    for recorded, text in recorded_packets():
        if "..." in recorded:
            continue
        assert describe(bytes.fromhex(recorded)) == text
        checked += 1
    assert checked > 150


def test_long_inputs_are_restored_from_their_beginning() -> None:
    restored = 0
    for name in facts.names("packets"):
        for case in facts.load(name)["cases"]:
            for step in steps_with_packets(case):
                packet = facts.whole_packet(step["in_hex"], step["in"])
                restored += "..." in step["in_hex"]
                assert facts.same_packet(step["in_hex"], packet, made_by_director=False)
    assert restored > 20


@pytest.mark.parametrize("name", facts.names("conn", "story-*"))
def test_the_packets_of_a_story_can_be_built(name: str) -> None:
    for step in facts.load(name)["steps"]:
        if "in" in step:
            assert describe(build(step["in"])) == step["in"]


def test_identity_is_what_a_director_made_packet_does_not_share() -> None:
    line = "IP 10.0.0.1 > 203.0.113.1 ttl=64 id=0x1 tos=0 len=40 | TCP 80 > 4 R seq=0 ack=0 data=0"
    one, other = build(line), build(line.replace("id=0x1", "id=0x2"))
    assert one != other
    assert facts.without_identity(one) == facts.without_identity(other)
    assert not facts.same_packet(one.hex(), other, made_by_director=False)
    assert facts.same_packet(one.hex(), other, made_by_director=True)
    damaged = other[:10] + b"\0\0" + other[12:]
    assert not facts.same_packet(one.hex(), damaged, made_by_director=True)


def test_a_line_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="no p"):
        build(
            "IP 203.0.113.1 > 10.0.0.1 ttl=64 id=0x1234 DF,tos=0 len=40 | "
            "TCP 1 > 2 S seq=1 ack=0 data=0 BAD-SUM"
        )
