# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm`` in a shell that completes words: written from its own table of options.

Words that only a running director knows are not among them: starting a program for each
key would be slow for the smallest command of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xlvs.cli.ipvsadm.options import OPTIONS, Takes
from xlvs.datapath import support
from xlvs.model.service import TunnelType

PROGRAM = "ipvsadm"

_VALUES: Mapping[str, tuple[str, ...]] = {
    "scheduler": tuple(support.SCHEDULERS),
    "pe": (support.SIP,),
    "tun-type": tuple(each.value for each in TunnelType),
    "start-daemon": ("master", "backup"),
    "stop-daemon": ("master", "backup"),
}
"""Options whose value is one of few words."""


def _spellings() -> list[tuple[str, tuple[str, ...]]]:
    """Each option's name, and how it is written."""
    return [
        (each.name, (*(f"-{letter}" for letter in each.letter), f"--{each.name}"))
        for each in OPTIONS
    ]


def _words() -> str:
    return " ".join(dict.fromkeys(word for _, words in _spellings() for word in words))


def _cases(pattern: str, then: str) -> str:
    """Shell cases for the options whose values are known."""
    return "".join(
        pattern.format("|".join(words)) + then.format(" ".join(_VALUES[name]))
        for name, words in _spellings()
        if name in _VALUES
    )


def _bash() -> str:
    return f"""\
_{PROGRAM}() {{
    local words='{_words()}'
    case "${{COMP_WORDS[COMP_CWORD - 1]}}" in
{_cases("    {})", " words='{}' ;;" + chr(10))}    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _{PROGRAM} {PROGRAM}
"""


def _zsh() -> str:
    return f"""\
_{PROGRAM}() {{
    case "${{words[CURRENT - 1]}}" in
{_cases("    ({})", " compadd -- {} ;;" + chr(10))}    (*) compadd -- {_words()} ;;
    esac
}}
compdef _{PROGRAM} {PROGRAM}
"""


def _fish() -> str:
    lines = [f"complete -c {PROGRAM} -f"]
    for each in OPTIONS:
        words = [f"complete -c {PROGRAM} -l {each.name}"]
        words += [f"-s {each.letter}"] * bool(each.letter)
        words += ["-x"] * (each.takes is Takes.VALUE)
        if each.name in _VALUES:
            words.append(f"-a '{' '.join(_VALUES[each.name])}'")
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


SHELLS: Mapping[str, Callable[[], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""What each shell is to read."""
