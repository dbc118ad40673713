# SPDX-License-Identifier: Apache-2.0
"""What is wrong, and what one should know, in words."""

from __future__ import annotations

import pytest

from xlvs.realserver.client_address.findings import (
    Findings,
    Listener,
    State,
    findings,
    missing,
    parse_listeners,
    too_old,
)
from xlvs.realserver.client_address.wanted import wanted

BOTH = wanted(["10.2.0.0/24", "fd00:2::/64"])
NAMES = "by_syn by_ack later without not_believed malformed second no_memory"
NONE = dict.fromkeys(NAMES.split(), 0)
GOOD = State((), BOTH, NONE | {"by_syn": 5, "by_ack": 3, "later": 1})


def about(
    state: State, cookies: str | None = "1", listeners: list[Listener] | None = None
) -> Findings:
    settings = {"net/ipv4/tcp_syncookies": cookies}
    return findings("all cgroups", state, settings.get, listeners or [])


def test_nothing_is_wrong() -> None:
    assert about(GOOD) == Findings([], [])
    assert about(GOOD, None) == Findings([], [])


@pytest.mark.parametrize(
    ("release", "others", "sentence"),
    [
        ("6.1.0-18-amd64", [], "programs in all cgroups are not told their clients: run"),
        ("6.18", ["cgroup /a", "cgroup /b"], "clients (those in cgroup /a, cgroup /b are): run"),
        ("odd", [], "programs in all cgroups are not told"),
        ("5.18.9", [], "needs Linux 6.1"),
        ("4.19.0", ["cgroup /a"], "needs Linux 6.1"),
    ],
)
def test_nothing_is_there(release: str, others: list[str], sentence: str) -> None:
    assert sentence.removeprefix("needs ") in missing("all cgroups", release, others)
    assert too_old(release) == sentence.startswith("needs")


def test_programs_that_are_gone() -> None:
    (problem,) = about(GOOD._replace(detached=("xlvs_client_peer4",))).problems
    assert problem.startswith("xlvs_client_peer4 is not attached to all cgroups any more: run")


def test_nobody_is_believed() -> None:
    (problem,) = about(GOOD._replace(wanted=BOTH._replace(believed=()))).problems
    assert problem.startswith("no local address is believed")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("without", "7 connections from local addresses without the option: does the director's"
         " service send it, with kind 254?"),
        ("not_believed", "7 connections with the option from addresses that are not believed"),
        ("malformed", "7 connections from local addresses with an option of kind 254 that is no"),
        ("second", "7 connections with a further option"),
        ("no_memory", "7 connections for whose client there was no memory"),
    ],
)  # fmt: skip
def test_counted(name: str, words: str) -> None:
    found = about(GOOD._replace(counts=NONE | {name: 7}))
    assert not found.problems
    (note,) = found.notes
    assert note.startswith(words)


def test_syn_cookies_always() -> None:
    (note,) = about(GOOD, "2").notes
    assert note.startswith("net.ipv4.tcp_syncookies is 2")


def test_listeners_of_one_family() -> None:
    listeners = [
        Listener("10.2.0.11", 80),
        Listener("::", 80),
        Listener("::", 443),
        Listener("10.2.0.11", 8080),
        Listener("127.0.0.1", 25),
        Listener("10.2.0.11", 22),
    ]
    notes = about(GOOD, listeners=listeners).notes
    assert [note.partition(":")[0] for note in notes] == [
        "port 22 is listened on for IPv4 alone", "port 8080 is listened on for IPv4 alone",
    ]  # fmt: skip
    only4 = GOOD._replace(wanted=wanted(["10.2.0.0/24"]))
    assert not about(only4, listeners=listeners).notes


def test_the_kernels_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")
    four = (
        "  sl  local_address rem_address   st tx_queue rx_queue\n"
        "   0: 0B00020A:1F90 00000000:0000 0A 00000000:00000000\n"
        "   1: 0100007F:0019 0100007F:8000 01 00000000:00000000\n"
    )
    six = (
        "  sl  local_address                         remote_address\n"
        "   0: 000000FD000000000000000011000000:0050 00000000000000000000000000000000:0000 0A x\n"
    )
    assert parse_listeners(four) == [Listener("10.2.0.11", 8080)]
    assert parse_listeners(six) == [Listener("fd00::11", 80)]
    monkeypatch.setattr("sys.byteorder", "big")
    assert parse_listeners(four) == [Listener("11.0.2.10", 8080)]
