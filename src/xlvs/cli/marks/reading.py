# SPDX-License-Identifier: Apache-2.0
"""Mark rules out of what iptables-save, ip6tables-save or nft list ruleset print. Pure."""

from __future__ import annotations

from xlvs.cli.marks import iptables, nftables
from xlvs.cli.marks.found import Found, Refused


def read(text: str, *, inet6: bool = False) -> Found:
    """The rules in this text, and what of it cannot be one.

    ``inet6``: iptables' rules are ip6tables', if the text does not say so itself.
    """
    lines = text.splitlines()
    for line in lines:
        word = line.strip()
        if word.startswith("*"):
            return iptables.read(lines, inet6=inet6)
        if word.startswith("table "):
            return nftables.read(text)
    first = next((i for i, line in enumerate(lines, 1) if line.strip()), 1)
    why = "this is neither iptables-save's (*mangle) nor nft's text (table ... {)"
    return Found((), (Refused(first, _first_word(lines, first), why),))


def _first_word(lines: list[str], number: int) -> str:
    words = lines[number - 1].split() if lines else []
    return words[0] if words else "(empty)"
