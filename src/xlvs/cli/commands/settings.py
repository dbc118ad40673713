# SPDX-License-Identifier: Apache-2.0
"""``xlvs settings``: sysctl for a director."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from xlvs.cli import completing
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import from_environment
from xlvs.model import settings
from xlvs.model.edit import SetSettings
from xlvs.model.problem import Code, Problem
from xlvs.wire.messages import SettingList, SettingView

REFUSED = 1
NO_ANSWER = 255
_CHANGED = "*"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names, or names with values."""
    names = parser.add_argument(
        "settings",
        nargs="*",
        metavar="KEY[=VALUE]",
        help="a setting to show, such as net.ipv4.vs.sloppy_tcp, or to change; several change "
        "together or not at all; the value 'default' gives up what was asked for",
    )
    completing.completed(names, completing.setting_names)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused, 255 no answer."""
    try:
        found = _settings(args.settings)
    except Problem as problem:
        print(f"xlvs settings: {problem.message}", file=sys.stderr)
        return NO_ANSWER if problem.code is Code.INTERNAL else REFUSED
    if wants_json(args):
        print_json(SettingList(settings=found))
    elif args.settings:
        for each in found:
            print(f"{each.name} = {each.value}")
    else:
        _table(found)
    return 0


def _settings(words: Sequence[str]) -> list[SettingView]:
    """What was asked for, after it was changed. Raises Problem."""
    wanted = dict(map(settings.split, filter(lambda word: "=" in word, words)))
    names = [settings.full_name(settings.find(word.partition("=")[0])) for word in words]
    client = from_environment()
    if wanted:
        client.edit([SetSettings(values=wanted)])
    found = client.settings().settings
    if not words:
        return found
    by_name = {each.name: each for each in found}
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name]


def _table(found: Sequence[SettingView]) -> None:
    names = max(len(each.name) for each in found)
    values = max(len(each.value) for each in found)
    for each in found:
        changed = each.value != each.default
        words = [f"(default {each.default})"] if changed else []
        words += [f"no effect: {each.remark}"] if each.remark else []
        mark = _CHANGED if changed else " "
        line = f"{mark} {each.name:<{names}}  {each.value:<{values}}  {'; '.join(words)}"
        print(line.rstrip())
