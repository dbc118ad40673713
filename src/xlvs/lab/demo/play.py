# SPDX-License-Identifier: Apache-2.0
"""The order of the demo, from an empty machine to an empty machine."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from xlvs.lab.cleanup import PINS, namespaces
from xlvs.lab.demo import flood, methods, survival
from xlvs.lab.demo.show import Show
from xlvs.lab.lab import Lab
from xlvs.lab.play import MAP
from xlvs.lab.problem import LabError
from xlvs.lab.run import need, need_root


def play(show: Show, hook: str, acts: Sequence[str]) -> int:
    """These acts; the demo's exit status. Raises LabError if the lab cannot be built."""
    need_root()
    need("wrk", "curl", "nc")
    began = time.monotonic()
    lab = Lab("full", prefix=f"xlvs-demo{os.getpid()}")
    try:
        with lab:
            _scene(show, lab, hook)
            show.say(f"ready after {time.monotonic() - began:.1f} s")
            for act in methods.ACTS:
                if act.method in acts:
                    methods.play(show, lab, act)
            if "flood" in acts:
                flood.play(show, lab)
            if "kill" in acts:
                survival.play(show, lab, hook)
            _removal(show, lab)
    except LabError as problem:
        show.promise("everything works", kept=False, instead=str(problem))
    left = namespaces(lab.prefix)
    show.promise(
        "nothing is left: no namespace, no process, no pin", kept=not left, instead=", ".join(left)
    )
    return show.end(time.monotonic() - began)


def _scene(show: Show, lab: Lab, hook: str) -> None:
    show.act(
        "xlvs demo",
        "A client, a director, a router and six real servers with nginx, each in a network"
        " namespace of its own.",
    )
    show.console.print(MAP, style="dim", highlight=False)
    show.command("director", f"xlvsd {' '.join(lab.director.arguments(hook))} &")
    lab.director.start_xlvsd(hook)
    show.output(lab.director.said(), limit=6)


def _removal(show: Show, lab: Lab) -> None:
    show.act("Cleaning up")
    show.command("director", "xlvs down")
    lab.director.down()
    pins = PINS / lab.instance
    links = lab.director.run(["ip", "-br", "link"]).stdout
    show.promise(
        "xlvs down took the data path off the interfaces",
        kept=not pins.exists() and "xdp" not in links,
        instead=f"{pins} or a program is left",
    )
