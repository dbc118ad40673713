# SPDX-License-Identifier: Apache-2.0
"""Files of tokens: what is refused, and that no token is ever shown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.api.caller import Caller, Scope
from xlvs.api.tokens import known, parse, read
from xlvs.model.problem import Problem

A, B = "a" * 32, "b" * 64


def test_names_scopes_and_tokens():
    found = parse(f"# who may\n\nscrape read {A}\n  deploy\twrite {B}\n", "f")
    assert known(found, A) == Caller("scrape", Scope.READ)
    assert known(found, B) == Caller("deploy", Scope.WRITE)
    assert known(found, A[:-1]) is None
    assert known(found, "") is None
    assert known(found, "\udcff") is None
    assert A not in repr(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no tokens"),
        ("# nobody", "has no tokens"),
        (f"scrape {A}", "f:1: a line is NAME read|write TOKEN"),
        (f"\nx admin {A}", "f:2: a scope is read or write"),
        (f"x root {A}", "a scope is read or write"),
        (f"x read {A}\nx write {B}", "f:2: there is a token x already"),
        (f"x read {A[1:]}", "at least 32 letters"),
        (f"x read {A}ä", "at least 32 letters"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(Problem) as caught:
        parse(text, "f")
    assert words in caught.value.message
    assert A[1:] not in caught.value.message


@given(st.text())
def test_any_file_is_read_or_refused(text):
    with suppress(Problem):
        assert parse(text, "f")


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"x read {A}\n")
    for mode in (0o640, 0o604, 0o622):
        path.chmod(mode)
        with pytest.raises(Problem, match=r"is for others too .*chmod 600"):
            read(str(path))
    path.chmod(0o600)
    assert known(read(str(path)), A) == Caller("x", Scope.READ)
    with pytest.raises(Problem, match="No such file"):
        read(str(tmp_path / "none"))
    with pytest.raises(Problem):
        read(str(tmp_path))
