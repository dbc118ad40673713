# SPDX-License-Identifier: Apache-2.0
"""Explanations in words."""

from __future__ import annotations

import msgspec
import pytest

from xlvs.engine.explanation import RULES, rewrite, sections, text
from xlvs.model.checks import SCHEDULERS
from xlvs.wire.explanation import (
    Candidate,
    Connection,
    Decision,
    Explanation,
    Layer,
    Packet,
    Template,
)

ETHERNET = Layer(name="ethernet", fields={"source": "02:01", "destination": "02:02"})
IP = Layer(name="ipv4", fields={"source": "1.2.3.4", "destination": "10.0.0.1", "ttl": "64"})
TCP = Layer(name="tcp", fields={"source": "5", "destination": "80", "flags": "S"})
PACKET = Packet(
    title="tcp 1.2.3.4:5 > 10.0.0.1:80 [S]",
    interface="eth0",
    hook="xdp",
    frame=[ETHERNET, IP, TCP],
    chosen=["the client's port 5 is made up"],
)
CONNECTION = Connection(
    protocol="tcp",
    state="SYN_RECV",
    client="1.2.3.4:5",
    virtual="10.0.0.1:80",
    server="10.1.0.1:80",
    method="nat",
    expires=59.6,
    flags=["half-open", "active"],
)
PLAIN = Explanation(packet=PACKET, roles=["virtual"], reason="fwd_nat", verdict="send")


def changed(layer: Layer, **fields: str) -> Layer:
    return Layer(name=layer.name, fields={**layer.fields, **fields})


def said(explanation: Explanation, title: str) -> list[str]:
    return next((s.lines for s in sections(explanation) if s.title == title), [])


def of(**changes: object) -> Explanation:
    return msgspec.structs.replace(PLAIN, **changes)


def test_what_is_not_reached_is_not_mentioned() -> None:
    assert [s.title for s in sections(PLAIN)] == ["addresses", "outcome"]
    assert text(PLAIN).splitlines() == [
        "tcp 1.2.3.4:5 > 10.0.0.1:80 [S]",
        "  the client's port 5 is made up",
        "  addresses    10.0.0.1 is a virtual address",
        "  outcome      translated and sent to the real server (fwd_nat)",
    ]


def test_strangers() -> None:
    assert said(of(roles=[], reason="pass_no_service"), "addresses") == [
        "neither 1.2.3.4 nor 10.0.0.1 is an address of a service"
    ]
    assert said(of(roles=["server"]), "addresses") == ["1.2.3.4 may be a real server"]


def test_marks() -> None:
    assert said(of(mark=16, marked_by=[2, 5]), "mark") == ["16 (0x10), by xlvs mark's rules 2, 5"]
    assert said(of(mark=0), "mark") == ["0 (0x0), as it came: no rule of xlvs mark is for it"]


def test_a_known_connection_moves_on() -> None:
    after = msgspec.structs.replace(
        CONNECTION, state="ESTABLISHED", expires=900.0, flags=["active"]
    )
    assert said(of(known=CONNECTION, after=after), "connection") == [
        "known: tcp 1.2.3.4:5 > 10.0.0.1:80 at 10.1.0.1:80 by nat, SYN_RECV, 60 s left, "
        "half-open, active",
        "becomes ESTABLISHED, for 900 s",
        "its client has proved itself: no longer half-open",
    ]
    assert said(of(known=CONNECTION, after=CONNECTION), "connection")[1] == (
        "stays SYN_RECV, for 60 s from now"
    )


def test_candidates() -> None:
    decision = Decision(
        scheduler="wlc",
        servers=80,
        looked=80,
        candidates=[
            Candidate(
                server="10.1.0.1:80", weight=2, active=1, inactive=3, position=0, overhead=259,
                chosen=True,
            ),
            Candidate(server="10.1.0.22:80", weight=0, active=0, inactive=0, position=1,
                      unfit="weight 0"),
        ],
        chosen="10.1.0.1:80",
    )  # fmt: skip
    assert said(of(decision=decision), "scheduler") == [
        f"wlc: {RULES['wlc']}",
        "> [0] 10.1.0.1:80   weight 2, active 1, inactive 3, compared 259 / 2",
        "  [1] 10.1.0.22:80  weight 0, active 0, inactive 0: not fit, weight 0",
        "… 80 looks at 80 servers, not all are shown",
        "chosen: 10.1.0.1:80",
    ]


def test_cursor_and_current_weight() -> None:
    decision = Decision(
        scheduler="wrr",
        servers=2,
        looked=1,
        candidates=[],
        cursor=(None, 1),
        current_weight=(3, 2),
    )
    lines = said(of(decision=decision), "scheduler")
    assert "cursor: at the head of the list before, position 1 after" in lines
    assert "current weight: 3 before, 2 after" in lines
    assert lines[-1] == "no server is fit"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("found", ["1.2.3.0/24 has a template: 10.1.0.1:80",
                   "its time runs anew, 300 s; connections under it: 4"]),
        ("none", ["1.2.3.0/24 has no template", "one would be made: 10.1.0.1:80 for 300 s"]),
        ("over", ["the time of 1.2.3.0/24's template is over",
                  "one would be made: 10.1.0.1:80 for 300 s"]),
    ],
)  # fmt: skip
def test_templates(found: str, words: list[str]) -> None:
    template = Template(found=found, client="1.2.3.0/24", entry=CONNECTION, connections=4)
    assert said(of(template=template, persistence=300.0), "persistence") == words


def test_each_scheduler_has_its_rule() -> None:
    assert set(SCHEDULERS) <= RULES.keys()


def test_rewrites() -> None:
    after = [changed(ETHERNET, destination="02:03"), changed(IP, ttl="63"), TCP]
    assert list(rewrite(PACKET.frame, after)) == [
        "ethernet: destination 02:02 to 02:03",
        "ipv4: ttl 64 to 63",
    ]
    outer = Layer(name="ipv4", fields={"source": "10.9.0.1", "destination": "10.1.0.1"})
    assert list(rewrite(PACKET.frame, [ETHERNET, outer, IP, TCP])) == [
        "a header in front: ipv4 source 10.9.0.1, destination 10.1.0.1"
    ]
    icmp = Layer(name="icmp", fields={"message": "port unreachable"})
    assert list(rewrite(PACKET.frame, [ETHERNET, changed(IP, source="10.0.0.1"), icmp])) == [
        "an ICMP error takes its place:",
        "  ipv4 source 10.0.0.1, destination 10.0.0.1, ttl 64",
        "  icmp message port unreachable",
    ]
    assert list(rewrite(PACKET.frame, [])) == []
