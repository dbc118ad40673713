# SPDX-License-Identifier: Apache-2.0
"""The last act: the daemon is killed under load, and nothing is lost."""

from __future__ import annotations

import shlex
import signal

from xlvs.lab.demo.methods import ACTS, bracket
from xlvs.lab.demo.show import Show
from xlvs.lab.lab import Lab
from xlvs.lab.load import Load

SECONDS = 10
CONNECTIONS = 24


def listed(text: str) -> set[tuple[str, ...]]:
    """``ipvsadm -Lnc`` without what changes by itself: the timer and the state."""
    found: set[tuple[str, ...]] = set()
    for line in text.splitlines():
        fields = line.split()
        if fields and fields[0] in ("TCP", "UDP"):
            protocol, _, _, source, virtual, destination = fields[:6]
            found.add((protocol, source, virtual, destination))
    return found


def established(text: str) -> str:
    """``ipvsadm -Lnc`` reduced to its head and the established connections."""
    lines = text.splitlines()
    return "\n".join(lines[:2] + [line for line in lines if " ESTABLISHED " in line])


def play(show: Show, lab: Lab, hook: str) -> None:
    """Kill, look, restart, compare."""
    act = ACTS[0]
    vip = lab.plan.vips[act.method][0]
    show.act(
        "kill -9 under load",
        "The data path lives in the kernel: it does not need the daemon.",
    )
    for arguments in [f"-A -t {vip}:80 -s rr"] + [
        f"-a -t {vip}:80 -r {bracket(server.v4)}:{act.server_port} {act.flag}"
        for server in lab.servers_for(act.method)
    ]:
        show.command("director", f"ipvsadm {arguments}")
        lab.director.ipvsadm(arguments)
    with Load(lab.client, f"http://{vip}/", seconds=SECONDS, connections=CONNECTIONS) as load:
        show.command("client", shlex.join(load.argv) + " &")
        load.wait_until(1)
        show.command("director", "ipvsadm -Lnc")
        before = established(lab.director.ipvsadm("-Lnc").stdout)
        show.output(before, limit=6)

        daemon = lab.director.daemon
        show.command("director", f"kill -9 {daemon.pid if daemon else '?'}    # xlvsd")
        lab.director.end_xlvsd(signal.SIGKILL)
        show.command("director", "ipvsadm -Ln")
        refused = lab.director.ipvsadm("-Ln", check=False)
        show.output(refused.stdout + refused.stderr)
        show.promise("nobody answers, but the load goes on", kept=refused.returncode != 0)
        load.wait_until(3)

        show.command("director", f"xlvsd {' '.join(lab.director.arguments(hook))} &")
        lab.director.start_xlvsd(hook)
        show.command("director", "ipvsadm -Lnc")
        after = established(lab.director.ipvsadm("-Lnc").stdout)
        show.output(after, limit=6)
        same = listed(before) == listed(after)
        show.promise(
            f"the new daemon adopted the same {len(listed(before))} connections",
            kept=same and len(listed(before)) == CONNECTIONS,
            instead=f"{len(listed(before))} before, {len(listed(after))} after,"
            f" {len(listed(before) & listed(after))} in both",
        )
        show.say("waiting for wrk to end ...")
    outcome = load.outcome
    show.output(outcome.text)
    show.promise(
        f"{outcome.requests} requests, none failed",
        kept=outcome.failed == 0 and outcome.requests > 0,
        instead=f"{outcome.failed} failed",
    )
    show.command("director", "ipvsadm -Ln")
    show.output(lab.director.ipvsadm("-Ln").stdout)
