# SPDX-License-Identifier: Apache-2.0
"""Which words ipvsadm knows, and how it takes a command line apart.

It reads its words with popt: letters may be clustered (``-Ln``), the last of a cluster
may have its value behind it (``-p90``, ``-p=90``) or in the next word, long names are
never abbreviated, options and other words mix freely, ``--`` ends the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Verb(StrEnum):
    """The commands, by the name that messages give them."""

    ADD_SERVICE = "add-service"
    EDIT_SERVICE = "edit-service"
    DELETE_SERVICE = "delete-service"
    CLEAR = "flush"
    LIST = "list"
    ADD_SERVER = "add-server"
    EDIT_SERVER = "edit-server"
    DELETE_SERVER = "delete-server"
    SET = "set"
    START_DAEMON = "start-daemon"
    STOP_DAEMON = "stop-daemon"
    RESTORE = "restore"
    SAVE = "save"
    ZERO = "zero"
    HELP = "help"
    VERSION = "version"
    ADD_LOCAL_ADDRESS = "add-laddr"
    DELETE_LOCAL_ADDRESS = "del-laddr"
    LIST_LOCAL_ADDRESSES = "get-laddr"


class Takes(StrEnum):
    """Whether an option has a value."""

    NOTHING = "nothing"
    VALUE = "value"
    OPTIONAL = "optional"


class Option(NamedTuple):
    """One option: its long name, its letter if any, its value, the command if it is one."""

    name: str
    letter: str = ""
    takes: Takes = Takes.NOTHING
    verb: Verb | None = None


OPTIONS = (
    Option("add-service", "A", verb=Verb.ADD_SERVICE),
    Option("edit-service", "E", verb=Verb.EDIT_SERVICE),
    Option("delete-service", "D", verb=Verb.DELETE_SERVICE),
    Option("clear", "C", verb=Verb.CLEAR),
    Option("list", "L", verb=Verb.LIST),
    Option("list", "l", verb=Verb.LIST),
    Option("zero", "Z", verb=Verb.ZERO),
    Option("add-server", "a", verb=Verb.ADD_SERVER),
    Option("edit-server", "e", verb=Verb.EDIT_SERVER),
    Option("delete-server", "d", verb=Verb.DELETE_SERVER),
    Option("set", verb=Verb.SET),
    Option("help", "h", verb=Verb.HELP),
    Option("version", "v", verb=Verb.VERSION),
    Option("restore", "R", verb=Verb.RESTORE),
    Option("save", "S", verb=Verb.SAVE),
    Option("start-daemon", takes=Takes.VALUE, verb=Verb.START_DAEMON),
    Option("stop-daemon", takes=Takes.VALUE, verb=Verb.STOP_DAEMON),
    Option("tcp-service", "t", Takes.VALUE),
    Option("udp-service", "u", Takes.VALUE),
    Option("sctp-service", "", Takes.VALUE),
    Option("fwmark-service", "f", Takes.VALUE),
    Option("scheduler", "s", Takes.VALUE),
    Option("persistent", "p", Takes.OPTIONAL),
    Option("netmask", "M", Takes.VALUE),
    Option("real-server", "r", Takes.VALUE),
    Option("masquerading", "m"),
    Option("ipip", "i"),
    Option("gatewaying", "g"),
    Option("weight", "w", Takes.VALUE),
    Option("u-threshold", "x", Takes.VALUE),
    Option("l-threshold", "y", Takes.VALUE),
    Option("numeric", "n"),
    Option("timeout"),
    Option("connection", "c"),
    Option("mcast-interface", "", Takes.VALUE),
    Option("mcast-group", "", Takes.VALUE),
    Option("mcast-port", "", Takes.VALUE),
    Option("mcast-ttl", "", Takes.VALUE),
    Option("syncid", "", Takes.VALUE),
    Option("sync-maxlen", "", Takes.VALUE),
    Option("daemon"),
    Option("stats"),
    Option("rate"),
    Option("thresholds"),
    Option("persistent-conn"),
    Option("tun-info"),
    Option("nosort"),
    Option("sort"),
    Option("exact", "X"),
    Option("ipv6", "6"),
    Option("ops", "o"),
    Option("pe", "", Takes.VALUE),
    Option("sched-flags", "b", Takes.VALUE),
    Option("tun-type", "", Takes.VALUE),
    Option("tun-port", "", Takes.VALUE),
    Option("tun-nocsum"),
    Option("tun-csum"),
    Option("tun-remcsum"),
    Option("stateless"),  # ours, see docs/how-to/stateless.md
    # Ours: a service's own time-outs, in seconds.
    Option("tcp-timeout", "", Takes.VALUE),
    Option("tcpfin-timeout", "", Takes.VALUE),
    Option("udp-timeout", "", Takes.VALUE),
    # Ours: how FULLNAT's real servers learn who the client is, see docs/how-to/fullnat.md.
    Option("toa"),
    Option("proxy-protocol", "", Takes.VALUE),
    Option("proxy-tlv", "", Takes.VALUE),
    # Ours: who may open connections, see docs/how-to/limits.md.
    Option("allow", "", Takes.VALUE),
    Option("deny", "", Takes.VALUE),
    Option("client-connections", "", Takes.VALUE),
    Option("client-rate", "", Takes.VALUE),
    Option("client-prefix", "", Takes.VALUE),
    Option("service-connections", "", Takes.VALUE),
    Option("service-rate", "", Takes.VALUE),
    # Ours: see docs/how-to/syn-flood.md.
    Option("syn-proxy", "", Takes.VALUE),
    Option("syn-threshold", "", Takes.VALUE),
    Option("syn-mss", "", Takes.VALUE),
    Option("syn-wscale", "", Takes.VALUE),
    Option("syn-sack"),
    Option("syn-no-sack"),
    Option("syn-timestamps"),
    Option("syn-no-timestamps"),
    # FULLNAT, see docs/adr/0003-fullnat-options.md: long names only.
    Option("fullnat"),
    Option("local-address", "", Takes.VALUE),
    Option("local-pool", "", Takes.VALUE),
    Option("add-laddr", verb=Verb.ADD_LOCAL_ADDRESS),
    Option("del-laddr", verb=Verb.DELETE_LOCAL_ADDRESS),
    Option("get-laddr", verb=Verb.LIST_LOCAL_ADDRESSES),
)

_BY_NAME = {option.name: option for option in OPTIONS}
_BY_LETTER = {option.letter: option for option in OPTIONS if option.letter}
_BY_WORD = {f"-{letter}": option for letter, option in _BY_LETTER.items()}
"""Letters by themselves: nearly all words of saved rules."""

UNKNOWN = "unknown option"
MISSING = "missing argument"
UNWANTED = "option does not take an argument"


class OptionError(Exception):
    """A word that is no option, or an option with too few or too many words."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Words:
    """The words of a command line, taken option by option."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._next = 0
        self._cluster = ""
        self._only_rest = False
        self.rest: list[str] = []
        self.value: str | None = None

    @property
    def word(self) -> str:
        """The word taken last."""
        return self._words[self._next - 1] if self._next else ""

    def option(self) -> Option | None:
        """The next option, its value in ``value``; None at the end. Raises OptionError."""
        while not self._cluster:
            if self._next == len(self._words):
                return None
            word = self._words[self._next]
            self._next += 1
            plain = None if self._only_rest else _BY_WORD.get(word)
            if plain is not None:
                return self._with_value(plain, None)
            if self._only_rest or not word.startswith("-") or word == "-":
                self.rest.append(word)
            elif word == "--":
                self._only_rest = True
            elif word.startswith("--"):
                return self._long(word[2:])
            else:
                self._cluster = word[1:]
        return self._short()

    def _long(self, word: str) -> Option:
        name, equals, behind = word.partition("=")
        option = _BY_NAME.get(name)
        if option is None:
            raise self._error(UNKNOWN)
        return self._with_value(option, behind if equals else None)

    def _short(self) -> Option:
        letter, self._cluster = self._cluster[0], self._cluster[1:]
        option = _BY_LETTER.get(letter)
        if option is None:
            raise self._error(UNKNOWN)
        attached: str | None = None
        if option.takes is Takes.NOTHING:
            if self._cluster.startswith("="):
                raise self._error(UNWANTED)
        elif self._cluster:
            attached, self._cluster = self._cluster.removeprefix("="), ""
        return self._with_value(option, attached)

    def _with_value(self, option: Option, attached: str | None) -> Option:
        self.value = attached
        if option.takes is Takes.NOTHING:
            if attached is not None:
                raise self._error(UNWANTED)
        elif attached is None:
            following = self._words[self._next] if self._next < len(self._words) else None
            if option.takes is Takes.OPTIONAL:
                if following is None or following.startswith("-"):
                    return option
            elif following is None:
                raise self._error(MISSING)
            self.value = following
            self._next += 1
        return option

    def _error(self, text: str) -> OptionError:
        return OptionError(f"{self.word}: {text}")
