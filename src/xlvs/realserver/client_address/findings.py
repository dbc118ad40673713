# SPDX-License-Identifier: Apache-2.0
"""What is wrong with telling client addresses, and what it cannot do here, in words. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

from xlvs.realserver.client_address.wanted import Wanted, family

_ALWAYS = "2"
_LEAST = (5, 19)  # bpf_skc_to_mptcp_sock(); bpf_loop() is of 5.17
_LISTENING = "0A"
OLD_KERNEL = "this kernel is too old for client addresses: they need Linux 6.1"
AGAIN = "run the same `xlvs realserver up --client-address` again"


class State(NamedTuple):
    """What there is of a cgroup. ``detached``: programs that are not on it any more."""

    detached: tuple[str, ...]
    wanted: Wanted
    counts: dict[str, int]


class Findings(NamedTuple):
    """``problems``: what should be put right; ``notes``: what one should know."""

    problems: list[str]
    notes: list[str]


class Listener(NamedTuple):
    """A TCP socket that waits for connections."""

    address: str
    port: int


def findings(
    place: str,
    state: State,
    read: Callable[[str], str | None],
    listeners: list[Listener],
) -> Findings:
    """About the programs of the cgroup ``place``; ``read`` gives settings below /proc/sys."""
    wanted = state.wanted
    problems = [f"{name} is not attached to {place} any more: {AGAIN}" for name in state.detached]
    if not wanted.believed:
        problems.append(f"no local address is believed, so no client is shown: {AGAIN}")
    notes = _counted(wanted, state.counts)
    if read("net/ipv4/tcp_syncookies") == _ALWAYS:
        notes.append(
            "net.ipv4.tcp_syncookies is 2, so no SYN is kept: clients are known only if the"
            " director repeats the option in the handshake's last packet"
        )
    if {family(prefix) for prefix in wanted.believed} == {4, 6}:
        notes += [
            f"port {port} is listened on for {there} alone: {missing} clients of a director find"
            " nobody there"
            for port, there, missing in _one_family(listeners)
        ]
    return Findings(problems, notes)


def missing(place: str, release: str, others: list[str]) -> str:
    """What is wrong where nothing is attached; ``others``: cgroups where something is."""
    if too_old(release):
        return OLD_KERNEL
    elsewhere = f" (those in {', '.join(others)} are)" if others else ""
    return (
        f"programs in {place} are not told their clients{elsewhere}:"
        " run `xlvs realserver up --client-address --from ...`"
    )


def too_old(release: str) -> bool:
    """Of uname's release: before 5.19, which brought the last helper that is needed.

    Nothing before 6.1 is tried, so that is what users are told.
    """
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < _LEAST


def _counted(wanted: Wanted, counts: dict[str, int]) -> list[str]:
    sentences = {
        "without": "connections from local addresses without the option: does the director's"
        f" service send it, with kind {wanted.kind}?",
        "not_believed": "connections with the option from addresses that are not believed: a"
        " local address that --from lacks, or clients who say that they are somebody else",
        "malformed": f"connections from local addresses with an option of kind {wanted.kind} that"
        " is no client's address of that family: does somebody else use this kind?",
        "second": "connections with a further option of the kind, which was ignored",
        "no_memory": "connections for whose client there was no memory",
    }
    return [f"{counts[name]} {text}" for name, text in sentences.items() if counts[name]]


def _one_family(listeners: list[Listener]) -> list[tuple[int, str, str]]:
    """(port, family that is listened on, family that is not) of ports open to others."""
    four: set[int] = set()
    both: set[int] = set()
    for listener in listeners:
        address = ip_address(listener.address)
        if not address.is_loopback:
            (four if address.version == 4 else both).add(listener.port)  # noqa: PLR2004
    return [(port, "IPv4", "IPv6") for port in sorted(four - both)]


def parse_listeners(text: str) -> list[Listener]:
    """Of /proc/net/tcp or tcp6: addresses are words in the machine's byte order."""
    step = -1 if sys.byteorder == "little" else 1
    found = []
    for line in text.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state != _LISTENING:
            continue
        address, _, port = local.rpartition(":")
        raw = bytes.fromhex(address)
        swapped = b"".join(raw[at : at + 4][::step] for at in range(0, len(raw), 4))
        found.append(Listener(str(ip_address(swapped)), int(port, 16)))
    return found
