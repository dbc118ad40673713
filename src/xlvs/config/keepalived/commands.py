# SPDX-License-Identifier: Apache-2.0
"""Commands: ``notify_master "/path with arguments" user group`` and their like.

The command is one word of its line, and is split again: blanks part arguments, quotes keep
them together. No shell is run, but for a command that begins with ``<`` (a redirection).
"""

from __future__ import annotations

import re

from xlvs.config.keepalived.lines import split_quoted
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values
from xlvs.config.keepalived.tree import Node
from xlvs.model.notification import Command

_SHELL = re.compile(r"[|&;<>`]|\$\(")

_USER_AND_GROUP = 2


def command(node: Node, *, user: bool = True) -> Command:
    """The command of a line, with the user and group after it. Raises Wrong."""
    words = split_quoted(node.raw)
    if len(words) < _USER_AND_GROUP or not words[1].text.strip():
        raise Wrong(f"{node.words[0]} wants a command", 1)
    text = words[1].text.strip()
    # keepalived gives only this kind to the shell; a program "[[" it does not find.
    argv = (
        ("/bin/sh", "-c", text)
        if text.startswith("<")
        else tuple(each.text for each in split_quoted(text))
    )
    if not argv:
        raise Wrong(f"{node.words[0]} wants a command", 1)
    who = [each.text for each in words[2:]]
    if not user and who:
        raise Wrong(
            f"{node.words[0]} takes one word: put the command with its arguments in quotes", 2
        )
    if len(who) > _USER_AND_GROUP:
        raise Wrong(
            f"{node.words[0]} takes a command, a user and a group: "
            "put the command with its arguments in quotes",
            4,
        )
    return Command(
        argv=argv,
        user=who[0] if who else "",
        group=who[1].removeprefix(":") if len(who) > 1 else "",
    )


def warn_of_shell(reading: Reading, node: Node, found: Command) -> None:
    """A remark if the command looks as if a shell should run it."""
    program = found.argv[0].rpartition("/")[2]
    if program in ("sh", "bash", "dash", "env"):
        return
    if any(_SHELL.search(each) for each in found.argv):
        reading.findings.remark(
            node.place(1), "no shell runs this command: write sh -c '…' if one is meant"
        )


def command_keyword(name: str, into: str = "", note: str = "") -> Keyword:
    """A keyword with a command, for the field of its name, or ``into``."""
    field = into or name

    def read(reading: Reading, node: Node, values: Values) -> None:
        if field in values:
            raise Wrong(f"{name} is said twice")
        values[field] = command(node)
        warn_of_shell(reading, node, values[field])

    return Keyword(name, read, "COMMAND [USER [GROUP]]", note=note)


def user_and_group(words: list[str], index: int) -> tuple[str, str]:
    """``user USER [GROUP]``."""
    if index >= len(words) or not words[index]:
        raise Wrong(f"{words[0]} wants the name of a user", index)
    return words[index], words[index + 1].removeprefix(":") if index + 1 < len(words) else ""
