# SPDX-License-Identifier: Apache-2.0
"""MARK rules out of the text of iptables-save and ip6tables-save. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from itertools import pairwise

from xlvs.cli.marks import spelling
from xlvs.cli.marks.found import Change, Foreign, Found, Match, Refused, number
from xlvs.model.mark import MARK_MAX, MarkRule
from xlvs.model.problem import Problem
from xlvs.model.service import Family, Network

_HARMLESS = frozenset(
    (
        *("AUDIT", "CHECKSUM", "CLASSIFY", "CT", "DSCP", "ECN", "HL", "LOG"),
        *("NFLOG", "NOTRACK", "TCPMSS", "TOS", "TRACE", "TTL", "ULOG"),
    )
)
"""Targets after which the search goes on, and the mark is as before."""

_MATCHES = frozenset(("comment", "tcp", "udp", "sctp", "multiport"))
_IPV6 = 6


def read(lines: Sequence[str], *, inet6: bool) -> Found:
    """The rules in these lines; ``inet6``: of ip6tables if no line says which."""
    reader = _Reader(inet6=inet6)
    for count, line in enumerate(lines, 1):
        reader.line(count, line.strip())
    return Found(tuple(reader.rules), tuple(sorted(reader.refused)))


class _Reader:
    def __init__(self, *, inet6: bool) -> None:
        self.rules: list[MarkRule] = []
        self.refused: list[Refused] = []
        self._inet6 = inet6
        self._table = ""
        self._ends: list[Refused] = []

    def line(self, count: int, line: str) -> None:
        if line.startswith("#"):
            if "tables-save" in line:
                self._inet6 = "ip6tables-save" in line
        elif line.startswith("*"):
            self._table = line[1:]
            self._ends = []
        elif line == "COMMIT":
            self._table = ""
        elif line and not line.startswith(":"):
            self._rule(count, line)

    def _rule(self, count: int, line: str) -> None:
        try:
            words = _words(line)
            if words[:1] and words[0].startswith("["):  # packets and bytes, iptables-save -c
                words = words[1:]
            if len(words) < 2 or words[0] not in ("-A", "--append"):  # noqa: PLR2004 - -A CHAIN
                raise Foreign(words[0] if words else line, "this is no line of iptables-save")  # noqa: TRY301
            self._append(count, words[1], words[2:])
        except Foreign as foreign:
            self.refused.append(Refused(count, foreign.word, foreign.why))

    def _append(self, count: int, chain: str, words: list[str]) -> None:
        target = _target(words)
        here = self._table == "mangle" and chain == "PREROUTING"
        if target == "MARK":
            if not here:
                where = f"in {chain} of the table {self._table or '(none)'}"
                raise Foreign("MARK", f"{where}: only rules in PREROUTING of mangle are read")
            rules = _Rule(inet6=self._inet6).read(words)
            # Whatever ends the search before this rule changes what it means.
            self.refused += self._ends
            self._ends = []
            self.rules += rules
        elif here and target and target not in _HARMLESS:
            if target in ("CONNMARK", "TPROXY"):
                raise Foreign(target, "it may set the mark, and there is nothing like it here")
            why = "it may end the search before the MARK rules behind it, ours never do"
            self._ends.append(Refused(count, target, why))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise Foreign(line, "a quotation mark is not closed") from None


def _target(words: Sequence[str]) -> str:
    for word, after in pairwise(words):
        if word in ("-j", "--jump", "-g", "--goto"):
            return after
    return ""


class _Rule:
    """One MARK rule under the eye."""

    def __init__(self, *, inet6: bool) -> None:
        self._match = Match()
        self._match.family = Family.INET6 if inet6 else Family.INET
        self._change: Change | None = None
        self._seen: set[str] = set()

    def read(self, words: list[str]) -> list[MarkRule]:
        """The rules of ours. Raises Foreign."""
        rest = list(reversed(words))
        while rest:
            option = rest.pop()
            if option == "!":
                raise Foreign("!", "rules here say what matches, not what does not")
            take = _OPTIONS.get(option)
            if take is None:
                why = (
                    "rules here do not ask for interfaces"
                    if option in ("-i", "--in-interface", "-o", "--out-interface")
                    else "there is nothing like it here"
                )
                raise Foreign(option, why)
            if not rest:
                raise Foreign(option, "its value is missing")
            value = rest.pop()
            if value == "!":
                raise Foreign("!", "rules here say what matches, not what does not")
            try:
                take(self, value)
            except Problem as problem:
                raise Foreign(value, problem.message) from None
        if self._change is None:
            raise Foreign("MARK", "it does not say which mark")
        if self._match.ports is not None and not self._match.protocols:
            raise Foreign("MARK", "ports need a protocol (-p)")
        return self._match.rules(self._change, "MARK")

    def _once(self, what: str, word: str) -> None:
        if what in self._seen:
            raise Foreign(word, f"a second {what}")
        self._seen.add(what)

    def to(self, word: str) -> None:
        self._once("destination", word)
        self._match.to = [self._network(word)]

    def source(self, word: str) -> None:
        self._once("source", word)
        self._match.source = [self._network(word)]

    def _network(self, word: str) -> Network:
        try:
            found = ip_network(word, strict=False)  # iptables drops the host's bits too
        except ValueError:
            raise Foreign(word, "this is no address or network") from None
        if (found.version == _IPV6) is not (self._match.family is Family.INET6):
            raise Foreign(word, "the address is of another family than these tables")
        return found

    def protocol(self, word: str) -> None:
        self._once("protocol", word)
        if word not in ("all", "0"):
            self._match.protocols = [spelling.protocol(word)]

    def ports(self, word: str) -> None:
        self._once("list of ports", word)
        whole = []
        for each in word.split(","):
            first, colon, last = each.partition(":")
            whole.append(f"{first or 0}:{last or 65535}" if colon else each)
        self._match.ports = spelling.ports(",".join(whole), ":")

    def loaded(self, word: str) -> None:
        if word not in _MATCHES:
            raise Foreign(word, "there is no such match here")

    def target(self, word: str) -> None:
        self._once("target", word)
        if word != "MARK":
            raise Foreign(word, "a second target")

    def nothing(self, word: str) -> None:
        del word

    def set_mark(self, word: str) -> None:
        value, mask = _value_and_mask(word)
        self._changed(word, Change(MARK_MAX & ~(value | mask), value))

    def set_xmark(self, word: str) -> None:
        value, mask = _value_and_mask(word)
        self._changed(word, Change(MARK_MAX & ~mask, value))

    def and_mark(self, word: str) -> None:
        self._changed(word, Change(number(word), 0))

    def or_mark(self, word: str) -> None:
        self._changed(word, Change(MARK_MAX & ~number(word), number(word)))

    def xor_mark(self, word: str) -> None:
        self._changed(word, Change(MARK_MAX, number(word)))

    def _changed(self, word: str, change: Change) -> None:
        self._once("mark", word)
        self._change = change


def _value_and_mask(word: str) -> tuple[int, int]:
    value, slash, mask = word.partition("/")
    return number(value), number(mask) if slash else MARK_MAX


_OPTIONS: dict[str, Callable[[_Rule, str], None]] = {
    **dict.fromkeys(("-d", "--destination", "--dst"), _Rule.to),
    **dict.fromkeys(("-s", "--source", "--src"), _Rule.source),
    **dict.fromkeys(("-p", "--protocol", "--proto"), _Rule.protocol),
    **dict.fromkeys(("-m", "--match"), _Rule.loaded),
    **dict.fromkeys(("--dport", "--destination-port"), _Rule.ports),
    **dict.fromkeys(("--dports", "--destination-ports"), _Rule.ports),
    **dict.fromkeys(("-j", "--jump"), _Rule.target),
    "--comment": _Rule.nothing,
    "--set-mark": _Rule.set_mark,
    "--set-xmark": _Rule.set_xmark,
    "--and-mark": _Rule.and_mark,
    "--or-mark": _Rule.or_mark,
    "--xor-mark": _Rule.xor_mark,
}
