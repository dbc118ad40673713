# SPDX-License-Identifier: Apache-2.0
"""Any words, any rules: an exit status and a sentence, nothing half done, no traceback."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Literal

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.oracle.desired_director import DesiredDirector, Run, TableNames

from xlvs.cli.ipvsadm import arguments
from xlvs.cli.ipvsadm.errors import NOT_LISTED, Fatal, Refused
from xlvs.cli.ipvsadm.lines import lines, words_of
from xlvs.cli.ipvsadm.options import OPTIONS, Takes, Verb
from xlvs.model.edit import AnyEdit
from xlvs.wire import codec
from xlvs.wire.messages import EditRequest, ErrorBody

STATUSES = {0, 1, 2, 255}


class WiredDirector(DesiredDirector):
    """Its edits travel as JSON, as to the daemon: what cannot travel is found here."""

    def edit(
        self, edits: Sequence[AnyEdit], on_error: Literal["abort", "continue"] = "abort"
    ) -> list[ErrorBody | None]:
        sent = EditRequest(edits=list(edits), on_error=on_error)
        got = codec.decode(codec.encode(sent), EditRequest)
        assert got == sent
        return super().edit(got.edits, got.on_error)


_bytes = st.binary(max_size=12).map(os.fsdecode).filter(lambda word: "\0" not in word)
_addresses = st.sampled_from(
    ["10.0.0.1", "vip.example", "192.168.200.11", "0", "[fd00::1]", "fd00::1", "224.0.0.1", ""]
)
_ports = st.sampled_from(["", ":", ":80", ":0", ":http", ":65535", ":65536", ":-1"])
_endpoints = st.builds(str.__add__, _addresses, _ports)
_numbers = st.one_of(
    st.integers(-2, 400), st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64])
).map(str)
_names = st.sampled_from(
    [
        *("rr", "wrr", "sh", "mh", "nosuch", "sip", "sh-port,sh-fallback", "mh-port", "flag-1"),
        *("gue", "gre", "ipip", "255.255.255.0", "64"),
        *("master", "backup", "eth0", "lo", "nosuch0", "224.0.0.81", "ff02::51"),
    ]
)
_values = st.one_of(_endpoints, _numbers, _names, _bytes)


@st.composite
def _options(draw: st.DrawFn) -> list[str]:
    option = draw(st.sampled_from(OPTIONS))
    value = draw(_values)
    takes = option.takes is Takes.VALUE or draw(st.integers(0, 9)) == 0
    if option.letter and draw(st.booleans()):
        joint = draw(st.sampled_from(["", "="]))
        short = f"-{option.letter}"
        return [f"{short}{joint}{value}"] if takes and joint else [short, *[value] * takes]
    if takes and draw(st.booleans()):
        return [f"--{option.name}={value}"]
    return [f"--{option.name}", *[value] * takes]


_commands = st.sampled_from(
    [
        ["-A", "-t", "10.0.0.1:80"],
        ["-A", "-f", "5", "-6"],
        ["-E", "-t", "10.0.0.1:80"],
        ["-a", "-t", "10.0.0.1:80", "-r", "192.168.200.11:8080"],
        ["-e", "-t", "10.0.0.1:80", "-r", "192.168.200.11:8080"],
        ["-d", "-t", "10.0.0.1:80", "-r", "192.168.200.11:8080"],
        ["-D", "-t", "10.0.0.1:80"],
        ["--start-daemon", "backup"],
        ["--stop-daemon", "backup"],
        ["--set", "1", "2", "3"],
        ["-L"],
        ["-S"],
        ["-Z"],
        ["-C"],
        ["-h"],
    ]
)
_words = st.one_of(
    st.builds(
        lambda command, more: [*command, *(word for words in more for word in words)],
        _commands,
        st.lists(_options(), max_size=4),
    ),
    st.lists(st.one_of(_options(), _values.map(lambda word: [word])), max_size=6).map(
        lambda found: [word for words in found for word in words]
    ),
)
_lines = st.one_of(
    _words.map(" ".join), st.sampled_from(["", "# words", "ipvsadm", "\t-L\r", "-R", "- -L"])
)


def _director() -> WiredDirector:
    director = WiredDirector()
    rules = "-A -t 10.0.0.1:80 -s wrr\n-a -t 10.0.0.1:80 -r 192.168.200.11:8080 -m -w 3\n"
    assert Run(director, ["-R"], rules).status == 0
    return director


@settings(max_examples=400)
@given(_words)
@example(["-A", "-t", "10.0.0.1:81", "-s", "\udcff"])
@example(["--start-daemon", "master", "--mcast-interface", "\udcff"])
def test_any_words(words: list[str]) -> None:
    director = _director()
    before = director.desired
    run = Run(director, words)
    assert run.status in STATUSES
    if run.status:
        assert director.desired == before
        assert run.err.endswith("\n")
        assert "Traceback" not in run.err
    else:
        assert run.err == ""


def _ends(words: list[str], status: int) -> bool:
    """Whether what follows this line is not read any more."""
    try:
        verb = arguments.parse(words, TableNames()).verb
    except (Fatal, Refused) as error:
        return isinstance(error, Fatal)
    return verb in {Verb.HELP, Verb.VERSION, Verb.RESTORE} or status == NOT_LISTED


@settings(max_examples=200)
@given(st.lists(_lines, max_size=6).map("\n".join))
def test_rules_together_are_rules_one_by_one(text: str) -> None:
    together, single = _director(), _director()
    run = Run(together, ["-R"], text)
    status, out, err = 0, "", ""
    for words in filter(None, map(words_of, lines(text))):
        one = Run(single, ["-R"], " ".join(words))
        status, out, err = one.status, out + one.out, err + one.err
        if _ends(words, status):
            break
    assert (run.status, run.out, run.err) == (status, out, err)
    assert together.desired == single.desired


@settings(max_examples=200)
@given(st.lists(_lines, max_size=8).map("\n".join))
def test_what_is_saved_comes_back(text: str) -> None:
    director = _director()
    Run(director, ["-R"], text)
    saved = Run(director, ["-Sn"]).out
    # Two things ipvsadm writes so that it cannot read them: marks from 2^31 on are negative, and
    # flags that have no name of that scheduler are nothing.
    assume(not re.search(r"-f -|-b $", saved, re.MULTILINE))
    fresh = WiredDirector()
    run = Run(fresh, [], saved, "ipvsadm-restore")
    assert (run.status, run.err) == (0, "")
    assert Run(fresh, ["-Sn"]).out == saved
