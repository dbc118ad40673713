# SPDX-License-Identifier: Apache-2.0
"""A SYN flood: who is there is served, and of the rest nothing is kept."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Collection

from xlvs.lab.demo import methods
from xlvs.lab.demo.show import Show
from xlvs.lab.demo.survival import listed
from xlvs.lab.lab import Lab
from xlvs.lab.load import Load
from xlvs.lab.problem import LabError

SECONDS = 5
RATE = 20_000
CONNECTIONS = 8
PATIENCE = 10.0  # seconds for the flood to end by itself


def answered(status: str) -> int:
    """SYNs that were answered with a cookie, by ``xlvs status -o json``."""
    reasons: dict[str, dict[str, int]] = json.loads(status)["reasons"]
    return reasons.get("reply_syn_cookie", {}).get("packets", 0)


def strangers(listing: str, clients: Collection[str]) -> int:
    """Connections in ``ipvsadm -Lnc`` of anybody but these clients."""
    return sum(
        source.rpartition(":")[0].strip("[]") not in clients for _, source, _, _ in listed(listing)
    )


def play(show: Show, lab: Lab) -> None:
    """Requests under a flood."""
    act = next(act for act in methods.ACTS if act.method == "fullnat")
    vip = lab.plan.vips[act.method][0]
    show.act(
        "SYN flood  (ipvsadm --syn-proxy)",
        "The director answers SYNs itself and keeps nothing; who acknowledges its cookie gets a"
        " connection to a real server.",
    )
    methods.type_command(show, lab, f"-A -t {vip}:80 -s rr --syn-proxy on")
    for server in lab.servers_for(act.method):
        methods.type_command(
            show, lab, f"-a -t {vip}:80 -r {server.v4}:{act.server_port} {act.flag}"
        )
    before = answered(lab.director.xlvs("status -o json").stdout)
    words = [vip, "80", str(SECONDS + 1), str(RATE)]
    show.command("client", f"{RATE} SYNs a second from addresses that do not answer &")
    log = lab.folder / "flood.log"
    flood = lab.client.start([sys.executable, "-m", "xlvs.lab.flood", *words], "flood", log)
    close = ("Connection: close",)
    with Load(
        lab.client, f"http://{vip}/", seconds=SECONDS, connections=CONNECTIONS, headers=close
    ) as load:
        show.command("client", shlex.join(load.argv) + " &")
        load.wait_until(SECONDS / 2)
        show.command("director", "ipvsadm -Lnc")
        listing = lab.director.ipvsadm("-Lnc").stdout
        show.output(listing, limit=6)
        show.say("waiting for wrk to end ...")
    try:
        flood.wait(PATIENCE)
    except subprocess.TimeoutExpired as late:
        raise LabError("the flood does not end") from late
    sent = log.read_text().split()
    number = answered(lab.director.xlvs("status -o json").stdout) - before
    unknown = strangers(listing, lab.client.addresses)
    show.say(f"{sent[-1] if sent else '?'} SYNs of the flood were sent.")
    show.promise(
        f"{number} SYNs were answered, and none of the flood is a connection",
        kept=number > load.outcome.requests and unknown == 0,
        instead=f"{unknown} are",
    )
    show.output(load.outcome.text)
    show.promise(
        f"{load.outcome.requests} requests, each a connection of its own, none failed",
        kept=load.outcome.failed == 0 and load.outcome.requests > 0,
        instead=f"{load.outcome.failed} failed",
    )
    methods.type_command(show, lab, "-C")
