# SPDX-License-Identifier: Apache-2.0
"""``xlvs plan``: what a reload with this file would change, in words."""

from __future__ import annotations

import argparse

from xlvs.cli.commands import files

add_arguments = files.add_arguments


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 and what would change, 1 the file is refused, 255 no answer."""
    return files.run(args, "xlvs plan", lambda client, wanted: client.plan(wanted))
