# SPDX-License-Identifier: Apache-2.0
"""``xlvs mark`` in front of a director that is a value."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.datapath.test_marks import rules as rules_

from xlvs import client
from xlvs.cli import main
from xlvs.cli.marks.spelling import words
from xlvs.model.desired import Desired, apply_all
from xlvs.model.edit import AnyEdit
from xlvs.model.mark import MarkRule, settled_rule
from xlvs.model.problem import Code, Problem
from xlvs.wire.resources import MarkRules


class Director:
    """What a client talks to."""

    def __init__(self) -> None:
        self.desired = Desired()
        self.requests = 0

    def edit(self, edits: Sequence[AnyEdit]) -> None:
        self.requests += 1
        self.desired, _ = apply_all(self.desired, edits, "abort")

    def marks(self) -> MarkRules:
        return MarkRules(rules=self.desired.marks)


class Said:
    """What a command said; what the director has then."""

    def __init__(self, status: int, out: str, err: str, director: Director) -> None:
        self.status, self.out, self.err = status, out, err
        self.rules = [words(each) for each in director.desired.marks]


Mark = Callable[..., Said]


@pytest.fixture
def director(monkeypatch: pytest.MonkeyPatch) -> Director:
    made = Director()
    monkeypatch.setattr(client, "from_environment", lambda: made)
    return made


@pytest.fixture
def mark(director: Director, capsys: pytest.CaptureFixture[str]) -> Mark:
    """Run ``xlvs mark`` with these words."""

    def run(line: str) -> Said:
        try:
            status = main.main(["mark", *line.split()])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err, director)

    return run


def test_rules_are_added_listed_and_deleted(mark: Mark) -> None:
    for line in (
        "add 1 --to 10.9.0.0/16",
        "add 0x200 --to fd00::/8 --from 2001:db8::/32 --protocol tcp --ports 80,443,8000-8999",
        "add 0x10/0xf0 --ipv4 --protocol icmp --at 1",
        "add 3 --to any --protocol 99",
    ):
        said = mark(line)
        assert (said.status, said.out, said.err) == (0, "", "")
    said = mark("list")
    assert said.out.splitlines() == [
        "No.  Mark       To           From           Protocol  Ports",
        "1    0x10/0xf0  any IPv4     any            icmp      any",
        "2    1          10.9.0.0/16  any            any       any",
        "3    0x200      fd00::/8     2001:db8::/32  tcp       80,443,8000-8999",
        "4    3          any          any            99        any",
    ]
    assert mark("delete 2").status == 0
    said = mark(
        "delete 0x200 --to fd00::/8 --from 2001:db8::/32 --protocol 6 --ports 8000-8999,80,443"
    )
    assert said.status == 0
    assert said.rules == ["0x10/0xf0 --ipv4 --protocol icmp", "3 --protocol 99"]
    rules = json.loads(mark("list --json").out)["rules"]
    assert rules == [
        {"mark": 16, "mask": 240, "family": "inet", "protocol": 1},
        {"mark": 3, "protocol": 99},
    ]
    assert mark("delete --all").rules == []
    assert "xlvs mark add" in mark("list").out


@pytest.mark.parametrize(
    ("line", "words_"),
    [
        ("add", "mark"),
        ("add 1", "which packets"),
        ("add one --to any", "one: a mark is a number"),
        ("add -1 --to any", "-1"),
        ("add 4294967296 --to any", "4294967296: a mark is 0 to 4294967295"),
        ("add 1_0 --to any", "1_0: a mark is a number"),
        ("add 0x3/0x1 --to any", "0x3/0x1: the mark 0x3 has bits"),
        ("add 1 --to 10.9.0.1/16", "10.9.0.1/16: this is no network; do you mean 10.9.0.0/16?"),
        ("add 1 --to nonsense", "nonsense: this is no network, as 10.9.0.0/16"),
        ("add 1 --from 10.0.0.0/33", "10.0.0.0/33: this is no network"),
        ("add 1 --to 10.0.0.0/8 --from fd00::/8", "one family"),
        ("add 1 --to 10.0.0.0/8 --ipv6", "one family"),
        ("add 1 --protocol ftp", "ftp: a protocol is one of tcp"),
        ("add 1 --protocol 256", "256: a protocol is one of tcp"),
        ("add 1 --to any --ports 80", "ports need one of the protocols"),
        ("add 1 --protocol tcp --ports 80-", "80-: '' is no port"),
        ("add 1 --protocol tcp --ports 90-80", "90-80: a range"),
        ("add 1 --protocol tcp --ports 70000", "70000: '70000' is no port"),
        ("add 1 --to any --at 3", "number is 1 to 2 here"),
        ("delete", "which rule"),
        ("delete 0", "by its number or by its words"),
        ("delete x", "x: a rule is named by its number"),
        ("delete 1 --all", "--all: all of them or one"),
    ],
)
def test_wrong_words_change_nothing(mark: Mark, line: str, words_: str) -> None:
    mark("add 9 --to any")
    said = mark(line)
    assert said.status == 2
    assert said.err.startswith("xlvs mark")
    assert words_ in said.err
    assert said.err.count("\n") == 1
    assert said.rules == ["9 --to any"]


@pytest.mark.parametrize("line", ["delete 2", "delete 8 --to any"])
def test_what_is_not_there_is_refused(mark: Mark, line: str) -> None:
    mark("add 9 --to any")
    said = mark(line)
    assert (said.status, said.rules) == (1, ["9 --to any"])
    assert "No such mark rule" in said.err


DUMP = """*mangle
-A PREROUTING -d 10.9.0.0/16 -j MARK --set-mark 1
-A PREROUTING -i eth0 -j MARK --set-mark 2
-A PREROUTING -d 10.8.0.0/16 -j MARK --set-mark 3
COMMIT
"""


def test_an_import_is_whole_or_refused(mark: Mark, director: Director, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.write_text(DUMP)
    mark("add 9 --to any")
    said = mark(f"import {file}")
    assert (said.status, said.out, said.rules) == (1, "", ["9 --to any"])
    assert f"{file}:3: -i: " in said.err
    said = mark(f"import {file} --skip --dry-run")
    assert said.out.splitlines() == [
        "xlvs mark add 1 --to 10.9.0.0/16",
        "xlvs mark add 3 --to 10.8.0.0/16",
    ]
    assert director.requests == 1
    said = mark(f"import {file} --skip")
    assert said.rules == ["9 --to any", "1 --to 10.9.0.0/16", "3 --to 10.8.0.0/16"]
    assert said.out == "2 rules added, 1 skipped\n"
    assert f"{file}:3: -i: " in said.err
    said = mark(f"import {file} --skip --replace")
    assert said.rules == ["1 --to 10.9.0.0/16", "3 --to 10.8.0.0/16"]
    assert director.requests == 3, "one request for all of it"


def test_a_text_without_rules_replaces_nothing(mark: Mark, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    mark("add 9 --to any")
    for text in ("", "nonsense"):
        file.write_text(text)
        assert mark(f"import {file} --replace").status == 1
    file.write_text("*mangle\nCOMMIT\n")
    said = mark(f"import {file} --replace")
    assert (said.status, said.rules) == (1, ["9 --to any"])
    assert "no mark rules" in said.err
    assert mark(f"import {tmp_path}/nowhere").status == 1


def test_standard_input(mark: Mark, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer: Any = io.BytesIO(DUMP.replace("-i eth0 ", "").encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert mark("import - --ipv6").status == 1, "addresses of IPv4"
    Stdin.buffer.seek(0)
    assert mark("import -").rules == ["1 --to 10.9.0.0/16", "2 --ipv4", "3 --to 10.8.0.0/16"]


@given(st.lists(rules_(), min_size=1, max_size=5))
def test_a_rules_words_make_the_rule(wanted: list[MarkRule]) -> None:
    made = Director()
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "from_environment", lambda: made)
        for each in wanted:
            if each.mark & ~each.mask:
                continue  # flips bits: only an import makes such a rule
            said.append(each)
            assert main.main(["mark", "add", *words(each).split()]) == 0
    assert made.desired.marks == tuple(settled_rule(each) for each in said)
    for each in said:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "from_environment", lambda: made)
            if words(each).split()[1:]:
                main.main(["mark", "delete", *words(each).split()])
    assert made.desired.marks == ()


def test_a_refusal_of_the_daemon_is_told(
    mark: Mark, director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refuse(_edits: object) -> None:
        raise Problem(Code.NO_SPACE, "there is no room for these mark rules", "/edits/0/rule")

    monkeypatch.setattr(director, "edit", refuse)
    said = mark("add 1 --to any")
    assert (said.status, said.err) == (1, "xlvs mark: there is no room for these mark rules\n")
