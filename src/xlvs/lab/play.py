# SPDX-License-Identifier: Apache-2.0
"""``xlvs lab``: a lab that stays up for a person to play with."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xlvs.lab import state
from xlvs.lab.cleanup import namespaces, remove
from xlvs.lab.lab import Lab
from xlvs.lab.plan import METHODS, Plan
from xlvs.lab.problem import LabError
from xlvs.lab.run import need_root

MAP = """\
  clients 10.1.0.0/24        servers 10.2.0.0/24        far 10.3.0.0/24
  client .2 ---+--- .1 director .1 ---+--- .11 .12 .13   .14 .15 .16
               |                      |    rs1 rs2 rs3   rs4 rs5 rs6
               +--- .254 router .254 -+                      |
                           +---------------- .254 -----------+"""
"""IPv6 is the same with fd00:1:: for 10.1.0. and so on."""


def up(prefix: str, topology: str, hook: str | None) -> None:
    """Build it, start the director unless ``hook`` is None, and say how to play."""
    with Lab(topology, prefix=prefix, keep=True) as lab:
        lab.prepare_real_servers()
        if hook is not None:
            lab.director.start_xlvsd(hook)
        lab.leave_up()
    print(MAP)
    print(_how_to_play(lab.plan, prefix))


def down(prefix: str) -> None:
    """Remove it; says what there was."""
    need_root()
    done = remove(prefix)
    print("; ".join(done) if done else f"{prefix} is not up")


def status(prefix: str) -> int:
    """Exit code 0 if it is up and whole."""
    record = state.load(prefix)
    left = namespaces(prefix)
    if record is None:
        if left:
            raise LabError(f"{prefix} is broken: `xlvs lab down` removes what is left of it")
        print(f"{prefix} is not up: `xlvs lab up` builds it")
        return 1
    lab = Lab(prefix=prefix)
    lab.attach()
    print(MAP)
    running: dict[str, list[str]] = {}
    for process in record.running():
        name, _, what = process.what.partition(": ")
        running.setdefault(name, []).append(what)
    whole = True
    for host in lab.plan.hosts:
        there = lab.hosts[host.name].path.exists()
        whole = whole and there
        runs = ", ".join(sorted(running.get(host.name, []))) or "nothing runs"
        addresses = "  ".join(host.addresses)
        print(f"  {host.name:<9}{addresses:<26}{runs if there else 'its namespace is gone'}")
    return 0 if whole else 1


def shell(prefix: str, host: str, command: Sequence[str]) -> int:
    """Become a shell, or a command, on a host; returns only if that is impossible."""
    need_root()
    lab = Lab(prefix=prefix)
    lab.attach()
    if host not in lab.hosts:
        raise LabError(f"no host {host}: there are {', '.join(lab.hosts)}")
    namespace = lab.hosts[host]
    # Our ipvsadm, not the machine's own.
    ours = str(Path(sys.executable).parent)
    env = namespace.environment()
    env["PATH"] = f"{ours}:{env.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
    argv = list(command) or ["bash", "--rcfile", str(_prompt(lab.folder, prefix, host))]
    sys.stdout.flush()
    enter = namespace.enter(argv)
    os.execvpe(enter[0], enter, env)  # noqa: S606  # becoming the shell is the point


def _prompt(folder: Path, prefix: str, host: str) -> Path:
    path = folder / f"{host}.bashrc"
    path.write_text(f"[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='[{prefix} {host}] \\w\\$ '\n")
    return path


def _how_to_play(plan: Plan, prefix: str) -> str:
    name = "" if prefix == "xlvs-lab" else f" --name {prefix.removeprefix('xlvs-')}"
    methods = [m for m in METHODS if any(m in host.methods for host in plan.real_servers)]
    vips = "  ".join(f"{method} {plan.vips[method][0]}" for method in methods)
    first = next(host for host in plan.real_servers if methods[0] in host.methods)
    vip, server = plan.vips[methods[0]][0], first.addresses[0]
    flag = "-m" if methods[0] == "nat" else "-i"
    return f"""
virtual addresses, one per method: {vips}

  xlvs lab{name} shell director     ipvsadm -A -t {vip}:80 -s rr
  {" " * len(f"xlvs lab{name} shell director")}     ipvsadm -a -t {vip}:80 -r {server} {flag}
  xlvs lab{name} shell client       curl http://{vip}/
  xlvs lab{name} down"""
