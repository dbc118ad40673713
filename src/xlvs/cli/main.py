# SPDX-License-Identifier: Apache-2.0
"""``xlvs``: finds the command and runs it. Each is loaded only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from xlvs.cli import completing

USAGE_ERROR = 2

COMMANDS = {
    "status": ("xlvs.cli.commands.status", "services, rates and the health of the data path"),
    "services": ("xlvs.cli.commands.services", "services and real servers, and what they carry"),
    "connections": ("xlvs.cli.commands.connections", "the connection table: list, count, close"),
    "connection": ("xlvs.cli.commands.connection", "close one connection"),
    "settings": ("xlvs.cli.commands.settings", "list and change settings of a running director"),
    "destination": ("xlvs.cli.commands.destination", "drain a real server, or end that"),
    "local-ports": ("xlvs.cli.commands.local_ports", "FULLNAT's local ports, used and free"),
    "explain": ("xlvs.cli.commands.explain", "what would happen to this packet"),
    "down": ("xlvs.cli.commands.down", "end a director: daemon, programs, connections"),
    "lab": ("xlvs.cli.commands.lab", "a small LVS world in network namespaces"),
    "demo": ("xlvs.cli.commands.demo", "the main job, shown in the lab"),
    "pool": ("xlvs.cli.commands.pool", "pools of local addresses for FULLNAT"),
    "list": ("xlvs.cli.commands.list_", "lists of clients that services allow or deny"),
    "mark": ("xlvs.cli.commands.mark", "rules that give packets a firewall mark"),
    "check-config": ("xlvs.cli.commands.check_config", "whether a keepalived.conf can be used"),
    "plan": ("xlvs.cli.commands.plan", "what a reload with this keepalived.conf would change"),
    "apply": ("xlvs.cli.commands.apply", "make what a keepalived.conf says so, now"),
    "watch": ("xlvs.cli.commands.watch", "what happens, as it happens"),
    "import": ("xlvs.cli.commands.import_", "an ldirectord.cf as a keepalived.conf"),
    "completion": ("xlvs.cli.commands.completion", "words that a shell completes"),
    "realserver": ("xlvs.cli.commands.realserver", "prepare this machine as a real server"),
}
"""Name -> module with ``add_arguments(parser)`` and ``run(args) -> int``, and one line of help."""


class _Parser(argparse.ArgumentParser):
    """Says one sentence instead of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``xlvs``; its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(prog="xlvs", description="The Linux Virtual Server with an eBPF data plane.")
    parser.add_argument(
        "--instance",
        default=os.environ.get("XLVS_INSTANCE", "") or "default",
        metavar="NAME",
        help="which director, if several run here (default: $XLVS_INSTANCE or 'default')",
    )
    found = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # An instance may have a command's name, so every word that is one counts.
    wanted = COMMANDS.keys() & {*words, *(completing.line() if completing.is_asked() else ())}
    for name, (module, text) in COMMANDS.items():
        below = found.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name in wanted:
            loaded = importlib.import_module(module)
            loaded.add_arguments(below)
            below.set_defaults(run=loaded.run)
    if completing.is_asked():
        completing.answer(parser)
    args = parser.parse_args(words)
    # What a command starts itself talks to the same director.
    os.environ["XLVS_INSTANCE"] = args.instance
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
