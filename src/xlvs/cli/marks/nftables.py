# SPDX-License-Identifier: Apache-2.0
"""Rules with ``meta mark set`` out of the text of nft list ruleset. Pure."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network, summarize_address_range
from typing import TypeVar

from xlvs.cli.marks import spelling
from xlvs.cli.marks.found import Change, Foreign, Found, Match, Refused, number
from xlvs.cli.marks.nft_chains import XT, Chain, chains
from xlvs.model.mark import MARK_MAX, WITH_PORTS, MarkRule
from xlvs.model.problem import Problem
from xlvs.model.service import Family, Network

T = TypeVar("T")

_VERDICTS = frozenset(
    ("accept", "drop", "return", "jump", "goto", "queue", "reject", "vmap", "dnat", "redirect")
)
"""What may end the search, or go on elsewhere."""

_FAMILIES = {"ip": Family.INET, "ip6": Family.INET6}
_NFPROTO = {"ipv4": Family.INET, "ipv6": Family.INET6, **_FAMILIES}
_TRANSPORTS = {name: number_ for number_, name in WITH_PORTS.items()}


def read(text: str) -> Found:
    """The rules in this text."""
    rules: list[MarkRule] = []
    try:
        found = chains(text)
    except Foreign as foreign:
        line, _, word = foreign.word.partition(":")
        return Found((), (Refused(int(line), word, foreign.why),))
    refused: list[Refused] = []
    # Chains of a hook run in the order of their priorities, whatever table they are in.
    for chain in sorted(found, key=lambda each: each.priority):
        _read_chain(chain, rules, refused)
    return Found(tuple(rules), tuple(sorted(refused)))


def _read_chain(chain: Chain, rules: list[MarkRule], refused: list[Refused]) -> None:
    ends: list[Refused] = []
    for rule in chain.rules:
        if XT in rule.words and chain.hook == "prerouting":
            why = "this is an extension of iptables: read the text of iptables-save"
            refused.append(Refused(rule.line, XT, why))
            continue
        marks = _sets_mark(rule.words)
        if marks:
            refused += ends
            ends = []
            try:
                _check_place(chain)
                rules += _Reader(chain, rule.words).read()
            except Foreign as foreign:
                refused.append(Refused(rule.line, foreign.word, foreign.why))
        ending = next((word for word in rule.words if word in _VERDICTS), "")
        if ending and not (marks and ending not in _AFTERWARDS):  # that one was refused just now
            why = "it may end the search before the mark rules behind it, ours never do"
            ends.append(Refused(rule.line, ending, why))


def _sets_mark(words: list[str]) -> bool:
    return any(
        words[i : i + 2] == ["mark", "set"] and words[i - 1 : i] != ["ct"]
        for i in range(len(words))
    )


def _check_place(chain: Chain) -> None:
    if chain.family not in ("ip", "ip6", "inet"):
        raise Foreign(chain.family, "only tables ip, ip6 and inet are read")
    if chain.hook != "prerouting" or chain.type != "filter":
        what = f"in the chain {chain.name}"
        raise Foreign("mark", f"{what}: only chains of type filter hook prerouting are read")


class _Reader:
    """One rule under the eye."""

    def __init__(self, chain: Chain, words: list[str]) -> None:
        self._rest = list(reversed(words))
        self._sets = chain.sets
        self._match = Match()
        self._match.family = _FAMILIES.get(chain.family)
        self._outcomes: list[tuple[Match, Change]] = []

    def read(self) -> list[MarkRule]:
        """The rules of ours. Raises Foreign."""
        while self._rest:
            word = self._rest.pop()
            take = _WORDS.get(word)
            if take is None:
                raise Foreign(word, "there is nothing like it here")
            if self._outcomes and word not in _AFTERWARDS:
                raise Foreign(word, "it comes after the mark is set")
            take(self, word)
        if not self._outcomes:
            raise Foreign("mark", "it does not say which mark")
        found: list[MarkRule] = []
        for match, change in self._outcomes:
            if match.ports is not None and not match.protocols:
                raise Foreign("th", "ports need a protocol (meta l4proto)")
            found += match.rules(change, "mark")
        return found

    def _next(self, after: str) -> str:
        if not self._rest:
            raise Foreign(after, "something is missing behind it")
        return self._rest.pop()

    def network_header(self, word: str) -> None:
        self._for_family(word, _FAMILIES[word])
        field = self._next(word)
        if field == "daddr":
            self._match.to = self._addresses(field, self._match.to)
        elif field == "saddr":
            self._match.source = self._addresses(field, self._match.source)
        elif field in ("protocol", "nexthdr"):
            self._protocols(field)
        else:
            raise Foreign(field, "there is nothing like it here")

    def transport_header(self, word: str) -> None:
        if word != "th":
            self._of_protocols(word, [_TRANSPORTS[word]])
        field = self._next(word)
        if field != "dport" or self._match.ports is not None:
            raise Foreign(field, "rules here ask for the destination's ports, once")
        self._match.ports = self._spelled(
            field, lambda values: spelling.ports(",".join(values), "-")
        )

    def meta(self, word: str) -> None:
        field = self._next(word)
        if field == "l4proto":
            self._protocols(field)
        elif field in ("nfproto", "protocol"):
            (name, *more) = self._values(field)
            if more or name not in _NFPROTO:
                raise Foreign(name, "the family is ipv4 or ipv6")
            self._for_family(name, _NFPROTO[name])
        elif field == "mark":
            self.mark(field)
        else:
            raise Foreign(field, "there is nothing like it here")

    def mark(self, word: str) -> None:
        if self._next(word) != "set":
            raise Foreign(word, "rules here do not ask for the mark that a packet has")
        first = self._next("set")
        if first == "meta":
            first = self._next(first)
        if first in (*_FAMILIES, *_TRANSPORTS, "th"):
            self._mapped(first)
        else:
            change = self._changed() if first == "mark" else Change(0, number(first))
            self._outcomes.append((self._match, change))

    def _mapped(self, word: str) -> None:
        """``ip daddr map { 10.0.0.1 : 0x1 }``: one rule for each pair."""
        field = self._next(word)
        if (operator := self._next(field)) != "map":
            raise Foreign(operator, "there is nothing like it here")
        without = self._match
        for key, value in self._pairs():
            self._match = copy(without)
            self._rest += [key, field]
            _WORDS[word](self, word)
            self._outcomes.append((self._match, Change(0, number(value))))

    def _pairs(self) -> list[tuple[str, str]]:
        if (word := self._open("map")) != "{":
            raise Foreign(word, "there is nothing like it here")
        found: list[tuple[str, str]] = []
        while (key := self._next("map")) != "}":
            if found and key == ",":
                continue
            if (colon := self._next(key)) != ":":
                raise Foreign(colon, "there is nothing like it here")
            found.append((key, self._next(colon)))
        if not found:
            raise Foreign("map", "it is empty")
        return found

    def _open(self, after: str) -> str:
        """The next word; a set's name is replaced by what is in the set."""
        word = self._next(after)
        if word.startswith("@"):
            elements = self._sets.get(word[1:])
            if elements is None:
                raise Foreign(word, "it is not in this text, or packets may change it")
            self._rest += ["}", *reversed(elements)]
            return "{"
        return word

    def _changed(self) -> Change:
        """``and`` with a number, then ``or`` or ``xor`` with one: nft's own order."""
        keep, value = MARK_MAX, 0
        if self._rest and self._rest[-1] in ("and", "&"):
            keep = number(self._next(self._rest.pop()))
        if self._rest and self._rest[-1] in ("or", "|", "xor", "^"):
            word = self._rest.pop()
            value = number(self._next(word))
            if word in ("or", "|"):
                keep &= ~value
        return Change(keep, value)

    def counter(self, word: str) -> None:
        for unit in ("packets", "bytes"):
            if self._rest and self._rest[-1] == unit:
                self._rest.pop()
                self._next(word)

    def comment(self, word: str) -> None:
        self._next(word)

    def verdict(self, word: str) -> None:
        """For this packet nothing more is asked; what comes behind it is looked at there."""
        if word in ("jump", "goto", "queue"):
            raise Foreign(word, "there is nothing like it here")

    def _for_family(self, word: str, family: Family) -> None:
        if self._match.family not in (None, family):
            raise Foreign(word, "it is of another family than the table or the rest")
        self._match.family = family

    def _of_protocols(self, word: str, protocols: list[int]) -> None:
        if self._match.protocols not in (None, protocols):
            raise Foreign(word, "it is of another protocol than the rest")
        self._match.protocols = protocols

    def _protocols(self, field: str) -> None:
        found = self._spelled(field, lambda values: [spelling.protocol(each) for each in values])
        self._of_protocols(field, found)

    def _addresses(self, field: str, before: list[Network] | None) -> list[Network]:
        if before is not None:
            raise Foreign(field, "a second one")
        found: list[Network] = []
        for each in self._values(field):
            found += _networks(each)
        ours = IPv4Network if self._match.family is Family.INET else IPv6Network
        if not all(isinstance(each, ours) for each in found):
            raise Foreign(field, "an address of another family")
        return found

    def _spelled(self, field: str, spelled: Callable[[list[str]], T]) -> T:
        values = self._values(field)
        try:
            return spelled(values)
        except Problem as problem:
            raise Foreign(",".join(values), problem.message) from None

    def _values(self, field: str) -> list[str]:
        """One value, or those between braces."""
        word = self._open(field)
        if word == "==":
            word = self._open(field)
        if word in ("!=", "<", ">", "<=", ">=", "&", "and", "map", "vmap", "."):
            raise Foreign(word, "rules here say which values match, and nothing else")
        if word.startswith("$"):
            raise Foreign(word, "there is nothing like it here")
        if word != "{":
            return [word]
        found: list[str] = []
        while (word := self._next("{")) != "}":
            if found and word == ",":
                continue
            if word == "*" or (found and self._rest and self._rest[-1] not in (",", "}")):
                raise Foreign(word, "there is nothing like it here")
            found.append(word)
        if not found:
            raise Foreign(field, "its set is empty")
        return found


def _networks(text: str) -> list[Network]:
    """An address, a prefix or a range."""
    first, dash, last = text.partition("-")
    try:
        if not dash:
            return [ip_network(text, strict=False)]
        ends = ip_address(first), ip_address(last)
        found: list[Network] = list(summarize_address_range(*ends))
    except (ValueError, TypeError):
        raise Foreign(text, "this is no address, network or range of addresses") from None
    return found


_WORDS: dict[str, Callable[[_Reader, str], None]] = {
    **dict.fromkeys(_FAMILIES, _Reader.network_header),
    **dict.fromkeys((*_TRANSPORTS, "th"), _Reader.transport_header),
    **dict.fromkeys(("accept", "drop", "return", "jump", "goto", "queue"), _Reader.verdict),
    "continue": _Reader.verdict,
    "meta": _Reader.meta,
    "mark": _Reader.mark,
    "counter": _Reader.counter,
    "comment": _Reader.comment,
}

_AFTERWARDS = frozenset(("counter", "comment", "accept", "return", "continue"))
"""What may follow once the mark is set."""
