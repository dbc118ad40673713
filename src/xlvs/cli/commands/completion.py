# SPDX-License-Identifier: Apache-2.0
"""``xlvs completion``: what a shell is to read to complete words of ``xlvs`` and ``ipvsadm``."""

from __future__ import annotations

import argparse

from xlvs.cli.ipvsadm.completion import SHELLS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=tuple(SHELLS))


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 written."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["xlvs"], shell=args.shell))
    print(SHELLS[args.shell](), end="")
    return 0
