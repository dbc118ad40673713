# SPDX-License-Identifier: Apache-2.0
"""One act per forwarding method: commands, traffic, what the real servers saw, counters."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xlvs.lab.demo.show import Show, seen, tally
from xlvs.lab.lab import Lab, client_address_up, realserver_up
from xlvs.lab.plan import LOCAL_ADDRESSES
from xlvs.lab.problem import LabError
from xlvs.lab.servers import UDP_PORT

_ROUNDS = 2
_ESTIMATOR = 5.0  # seconds; IPVS's counters in listings are as old as its last 2 s tick


@dataclass(frozen=True)
class Act:
    """What one method promises."""

    method: str
    title: str
    story: str
    flag: str
    server_port: int = 80


ACTS = (
    Act(
        "nat",
        "NAT  (ipvsadm -m)",
        "The director rewrites the destination; replies come back through it.",
        "-m",
        8080,
    ),
    Act(
        "dr",
        "Direct routing  (ipvsadm -g)",
        "The director changes only the MAC address; replies go straight to the client.",
        "-g",
    ),
    Act(
        "tun",
        "Tunnel  (ipvsadm -i)",
        "The real servers are behind a router; packets reach them in IPIP, replies go straight"
        " to the client.",
        "-i",
    ),
    Act(
        "fullnat",
        "FULLNAT  (ipvsadm --fullnat)",
        "Both addresses are rewritten; the real servers need no route to the clients at all.",
        "--fullnat",
    ),
)


def bracket(address: str) -> str:
    """An address before a colon."""
    return f"[{address}]" if ":" in address else address


def play(show: Show, lab: Lab, act: Act) -> None:
    """The whole act."""
    show.act(act.title, act.story)
    if act.method in ("dr", "tun"):
        _real_servers(show, lab, act)
    v4, v6 = lab.plan.vips[act.method]
    _service(show, lab, act, f"-t {v4}:80", (1, 1, 1))
    first = lab.servers_for(act.method)[0]
    with first.capture() as seen_there:
        _http(show, lab, act, v4, (1, 1, 1), rounds=_ROUNDS)
    show.command(first.name, "tcpdump -n    # what arrived: the first packet of a connection")
    show.output(next(map(without_link, seen_there.with_word("Flags [S]")), "nothing"))
    _service(show, lab, act, f"-t [{v6}]:80", (3, 2, 1))
    _http(show, lab, act, v6, (3, 2, 1), rounds=1)
    _service(show, lab, act, f"-u {v4}:{UDP_PORT}", (1, 1, 1))
    _udp(show, lab, act, v4)
    _stats(show, lab, act, v4)
    # Without cgroups of version 2 on this machine nobody can be told.
    if act.method == "fullnat" and first.cgroup:
        _client_addresses(show, lab, act)


def _real_servers(show: Show, lab: Lab, act: Act) -> None:
    first = lab.servers_for(act.method)[0]
    for server in lab.servers_for(act.method):
        words = realserver_up(lab.plan, act.method)
        show.command(server.name, "xlvs realserver " + " ".join(words))
        done = server.realserver(*words)
        if server is first:
            show.output(done.stdout)
    show.command(first.name, f"xlvs realserver check --client {lab.client.v4}")
    check = first.realserver("check", "--client", lab.client.v4, check=False)
    show.output(check.stdout)
    show.promise("every real server takes the virtual address", kept=check.returncode == 0)


def _client_addresses(show: Show, lab: Lab, act: Act) -> None:
    """The same service once more; now the director tells who the client is."""
    show.say("The director can tell the real servers who the client is, in an option of TCP.")
    v4, v6 = lab.plan.vips[act.method]
    servers = lab.servers_for(act.method)
    for server in servers:
        words = client_address_up(lab.plan, server)
        show.command(server.name, "xlvs realserver " + " ".join(words))
        done = server.realserver(*words)
        if server is servers[0]:
            show.output(done.stdout)
    answers = []
    for vip in (v4, v6):
        service = f"-t {bracket(vip)}:80"
        type_command(show, lab, f"-A {service} -s rr --toa")
        for server in servers:
            address = bracket(server.address(6 if ":" in vip else 4))
            type_command(show, lab, f"-a {service} -r {address}:{act.server_port} {act.flag}")
        url = f"http://{bracket(vip)}/"
        for _ in servers:
            show.command("client", f"curl {url}")
            done = lab.client.run(["curl", "-sS", "-m", "3", url], check=False)
            show.output(done.stdout + done.stderr)
            answers.append(done.stdout.strip())
    clients = seen(answers)
    show.promise(
        f"the real servers saw the client itself ({', '.join(sorted(clients))})",
        kept=clients == set(lab.client.addresses),
        instead=str(clients),
    )
    for server in servers:
        server.realserver("down")
    type_command(show, lab, "-C")


def type_command(show: Show, lab: Lab, arguments: str) -> str:
    """Type an ipvsadm command and show what it says."""
    show.command("director", f"ipvsadm {arguments}")
    done = lab.director.ipvsadm(arguments, check=False)
    show.output(done.stdout + done.stderr)
    if done.returncode:
        raise LabError(f"ipvsadm {arguments}: exit {done.returncode}")
    return done.stdout


def _service(show: Show, lab: Lab, act: Act, service: str, weights: Sequence[int]) -> None:
    scheduler = "rr" if len(set(weights)) == 1 else "wrr"
    type_command(show, lab, f"-A {service} -s {scheduler}")
    for server, weight in zip(lab.servers_for(act.method), weights, strict=True):
        address = server.address(6 if "[" in service else 4)
        port = act.server_port if service.startswith("-t") else UDP_PORT
        weighted = f" -w {weight}" if scheduler == "wrr" else ""
        type_command(show, lab, f"-a {service} -r {bracket(address)}:{port} {act.flag}{weighted}")


def _http(show: Show, lab: Lab, act: Act, vip: str, weights: Sequence[int], *, rounds: int) -> None:
    url = f"http://{bracket(vip)}/"
    answers = []
    for _ in range(rounds * sum(weights)):
        show.command("client", f"curl {url}")
        done = lab.client.run(["curl", "-sS", "-m", "3", url], check=False)
        show.output(done.stdout + done.stderr)
        answers.append(done.stdout.strip())
    _promises(show, lab, act, answers, weights)


def _udp(show: Show, lab: Lab, act: Act, vip: str) -> None:
    answers = []
    command = f"echo hello | nc -u -W 1 -w 3 {vip} {UDP_PORT}"
    for _ in range(len(lab.servers_for(act.method))):
        show.command("client", command)
        done = lab.client.run(["sh", "-c", command], check=False)
        show.output(done.stdout + done.stderr)
        answers.append(done.stdout.strip())
    _promises(show, lab, act, answers, (1, 1, 1))


def _promises(
    show: Show, lab: Lab, act: Act, answers: Sequence[str], weights: Sequence[int]
) -> None:
    servers = lab.servers_for(act.method)
    rounds = len(answers) // sum(weights)
    want = {server.name: rounds * weight for server, weight in zip(servers, weights, strict=True)}
    got = tally(answers)
    spread = ", ".join(f"{name} {number}" for name, number in want.items())
    show.promise(f"exactly as the weights say: {spread}", kept=got == want, instead=str(got))
    clients = seen(answers)
    if act.method == "fullnat":
        show.promise(
            f"the real servers saw a local address of the director ({', '.join(sorted(clients))})",
            kept=bool(clients) and clients <= set(LOCAL_ADDRESSES),
            instead=str(clients),
        )
    else:
        show.promise(
            f"the real servers saw the client itself ({', '.join(sorted(clients))})",
            kept=bool(clients) and clients <= set(lab.client.addresses),
            instead=str(clients),
        )


def _stats(show: Show, lab: Lab, act: Act, vip: str) -> None:
    arguments = "-Ln --stats"
    servers = len(lab.servers_for(act.method))
    want = {f"-t {vip}:80": _ROUNDS * servers, f"-u {vip}:{UDP_PORT}": servers}
    deadline = time.monotonic() + _ESTIMATOR
    while (got := _counted(lab, want)) != want and time.monotonic() < deadline:
        time.sleep(0.1)
    show.command("director", f"ipvsadm {arguments}")
    show.output(lab.director.ipvsadm(arguments).stdout)
    total = " and ".join(f"{number} connections for {name}" for name, number in want.items())
    show.promise(f"the counters agree: {total}", kept=got == want, instead=str(got))
    type_command(show, lab, "-C")


def _counted(lab: Lab, services: Iterable[str]) -> dict[str, int]:
    return {
        service: connections(lab.director.ipvsadm(f"-Ln --stats {service}").stdout)
        for service in services
    }


def without_link(line: str) -> str:
    """A line of tcpdump without its Ethernet header."""
    return line.partition(", length ")[2].partition(": ")[2]


def connections(listing: str) -> int:
    """The first service's Conns column of ``ipvsadm -Ln --stats``; -1 if there is none."""
    for line in listing.splitlines():
        if line.startswith(("TCP", "UDP")):
            return int(line.split()[2])
    return -1
