# SPDX-License-Identifier: Apache-2.0
"""Services of every kind, and clients that say who answered and what it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from xlvs.lab import Lab
from xlvs.lab.director import Director
from xlvs.lab.servers import UDP_PORT

FLAG = {"nat": "-m", "dr": "-g", "tun": "-i", "fullnat": "--fullnat"}
HTTP, NAT_HTTP = 80, 8080


def bracket(address: str) -> str:
    """An address before a colon."""
    return f"[{address}]" if ":" in address else address


def vip(world: Lab, method: str, family: int) -> str:
    """The lab's virtual address of a method."""
    return world.plan.vips[method][family == 6]


def service(
    world: Lab,
    method: str,
    family: int,
    protocol: str,
    weights: Sequence[int],
    *,
    scheduler: str = "wrr",
    vport: int = HTTP,
) -> str:
    """Add a virtual service with the method's three real servers; returns its address.

    Removed real servers come back with their old connections (as in IPVS): a test
    that counts takes a ``vport`` that nobody else has.
    """
    director: Director = world.director
    address = vip(world, method, family)
    flag, port = ("-t", vport) if protocol == "tcp" else ("-u", UDP_PORT)
    name = f"{flag} {bracket(address)}:{port}"
    director.ipvsadm(f"-A {name} -s {scheduler}")
    # NAT and FULLNAT may change the port as well.
    translated = protocol == "tcp" and method in ("nat", "fullnat")
    target = NAT_HTTP if translated else port
    for server, weight in zip(world.servers_for(method), weights, strict=True):
        real = f"{bracket(server.address(family))}:{target}"
        director.ipvsadm(f"-a {name} -r {real} {FLAG[method]} -w {weight}")
    return address


def ask(world: Lab, address: str, protocol: str, times: int, *, vport: int = HTTP) -> list[str]:
    """Ask so often, each time from a new port; the answers: ``rs1 saw 10.1.0.2``.

    The first one that gets no answer is the last.
    """
    if protocol == "tcp":
        # One transfer after the other, a connection for each.
        url = f"http://{bracket(address)}:{vport}/"
        script = f"for i in $(seq {times}); do curl -sS -m 3 {url} || break; done"
    else:
        once = f"echo hello | nc -u -W 1 -w 3 {address} {UDP_PORT} | grep ."
        script = f"for i in $(seq {times}); do {once} || break; done"
    done = world.client.run(["sh", "-c", script], check=False, timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if line]


def who(answers: Sequence[str]) -> dict[str, int]:
    """How often each real server answered."""
    return dict(Counter(answer.split(" ")[0] for answer in answers))


def whom(answers: Sequence[str]) -> set[str]:
    """The client addresses that the real servers saw."""
    return {answer.rpartition(" saw ")[2] for answer in answers}
