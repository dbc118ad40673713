# SPDX-License-Identifier: Apache-2.0
"""How the demo speaks: headings, typed commands, answers, kept and broken promises."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

_KEYSTROKE = 0.012  # seconds
_BREATH = 0.5

_HOST_STYLE = {"director": "bold magenta", "client": "bold blue"}


class Show:
    """Prints to the terminal; remembers whether everything was as promised.

    Paced only if somebody watches: ``fast``, or an output that is no terminal,
    leaves the pauses out.
    """

    def __init__(self, *, fast: bool, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.paced = self.console.is_terminal and not fast
        self.broken: list[str] = []
        self.kept = 0

    def act(self, title: str, *sentences: str) -> None:
        """Begin a new part."""
        self.console.print()
        self.console.rule(f"[bold cyan]{escape(title)}", align="left", style="cyan")
        for sentence in sentences:
            self.say(sentence)
        self.breathe()

    def say(self, sentence: str) -> None:
        """Something that the audience should know."""
        self.console.print(Text(sentence, style="italic"))

    def command(self, host: str, words: str) -> None:
        """A command as somebody types it on a host."""
        root = "$" if host == "client" else "#"
        style = _HOST_STYLE.get(host, "bold green")
        self.console.print(Text.assemble((host, style), f"{root} "), end="")
        if not self.paced:
            self.console.print(Text(words, style="bold"))
            return
        for letter in words:
            self.console.print(Text(letter, style="bold"), end="")
            sys.stdout.flush()
            time.sleep(_KEYSTROKE)
        self.console.print()

    def output(self, text: str, *, limit: int = 0) -> None:
        """What a command answered; at most ``limit`` lines of it."""
        lines = text.rstrip().splitlines()
        shown = lines if not limit or len(lines) <= limit else lines[: limit - 1]
        for line in shown:
            self.console.print(Text(line))
        if len(shown) < len(lines):
            self.console.print(Text(f"... {len(lines) - len(shown)} more", style="dim"))

    def promise(self, sentence: str, *, kept: bool, instead: str = "") -> None:
        """Something that has to be true: a tick, or a cross and what was there instead."""
        if kept:
            self.kept += 1
            self.console.print(Text.assemble(("  ✓ ", "bold green"), sentence))
        else:
            self.broken.append(sentence)
            self.console.print(
                Text.assemble(
                    ("  ✗ ", "bold red"), sentence, (f"  but: {instead}" if instead else "", "red")
                )
            )
        self.breathe(0.5)

    def breathe(self, times: float = 1.0) -> None:
        """Leave time to read."""
        if self.paced:
            time.sleep(_BREATH * times)

    def end(self, seconds: float) -> int:
        """The last lines; the demo's exit status."""
        self.console.print()
        if self.broken:
            self.console.print(f"[bold red]{len(self.broken)} promises were broken:")
            for sentence in self.broken:
                self.console.print(Text(f"  ✗ {sentence}"))
            return 1
        self.console.print(
            f"[bold green]All {self.kept} promises kept[/], in {seconds:.0f} s. "
            "Play yourself: xlvs lab up"
        )
        return 0


def tally(answers: Sequence[str]) -> dict[str, int]:
    """How often each first word occurs, in order of names: ``rs1 saw 10.1.0.2``."""
    count: dict[str, int] = {}
    for name in sorted(answer.split(" ")[0] for answer in answers if answer):
        count[name] = count.get(name, 0) + 1
    return count


def seen(answers: Sequence[str]) -> set[str]:
    """The client addresses that real servers saw."""
    return {answer.rpartition(" saw ")[2] for answer in answers if " saw " in answer}
