# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.model.checker import Url
from xlvs.model.problem import Problem
from xlvs.protocols.checks import regex


def found(pattern: str, body: bytes, *options: str, least: int = 0, most: int = 0) -> bool:
    url = Url(regex=pattern, regex_options=options, regex_min_offset=least, regex_max_offset=most)
    return regex.found(regex.search_of(url), body)


@pytest.mark.parametrize(
    ("pattern", "body", "options", "expected"),
    [
        ("ok", b"all ok", (), True),
        ("OK", b"all ok", (), False),
        ("OK", b"all ok", ("caseless",), True),
        ("a.b", b"a\nb", (), False),
        ("a.b", b"a\nb", ("dotall",), True),
        ("^b$", b"a\nb\nc", (), False),
        ("^b$", b"a\nb\nc", ("multiline",), True),
        ("o k # no", b"ok", ("extended",), True),
        ("b", b"a\nb", ("firstline",), False),
        ("a", b"a\nb", ("firstline",), True),
        (r"ok\Z", b"ok\n", (), True),
        (r"ok\z", b"ok\n", (), False),
        (r"ok\z", b"ok", (), True),
        (r"a\hb", b"a\tb", (), True),
        (r"a\Rb", b"a\r\nb", (), True),
        (r"\x{41}b", b"Ab", (), True),
        (r"\Qa.b\E", b"a.b", (), True),
        (r"\Qa.b\E", b"axb", (), False),
        (r"(?<x>a)\1", b"aa", (), True),
        (r"(?<=a)b", b"ab", (), True),
        (r"^[[:alpha:]_]+$", b"ab_c", (), True),
        (r"^[[:alpha:]]+$", b"ab1", (), False),
        (r"[[]x", b"[x", (), True),
        (r"[]x]+y", b"]xy", (), True),
        (r"[a[]", b"[", (), True),
        ("ü", "für".encode(), (), True),
        ("f.r", "für".encode(), (), False),
        ("f.r", "für".encode(), ("utf",), True),
        ("f", b"\xff f", ("utf",), False),
        ("a++b", b"aaab", (), True),
    ],
)
def test_found(pattern: str, body: bytes, options: tuple[str, ...], expected: bool) -> None:
    assert found(pattern, body, *options) is expected


def test_offsets() -> None:
    body = b"0123x56x"
    assert found("x", body, least=4)
    assert found("x", body, least=5)
    assert not found("x", body, least=8)
    assert found("x", body, most=4)
    assert not found("x", body, most=3)
    assert found("r", "üür".encode(), "utf", least=4, most=4)


@pytest.mark.parametrize(
    "pattern", ["(", r"a\Kb", r"\p{L}", r"\X", "(?R)", "(?|a|b)", "*", "(*UTF)a", "[[:nope:]]"]
)
def test_refused(pattern: str) -> None:
    with pytest.raises(Problem):
        regex.search_of(Url(regex=pattern))


@pytest.mark.parametrize("option", ["ungreedy", "ucp", "dollar_endonly", "nonsense"])
def test_refused_options(option: str) -> None:
    with pytest.raises(Problem, match=option):
        regex.search_of(Url(regex="a", regex_options=(option,)))


def test_quick_ones_are_told_from_those_that_may_take_for_ever() -> None:
    assert regex.search_of(Url(regex=r"^Status: \[ok\]$")).quick
    for pattern in ("a*", "a+", "a?", "a{2}", "a|b"):
        assert not regex.search_of(Url(regex=pattern)).quick


@given(st.text(alphabet="ab[]()\\QE^:{}?<>*+|xzZ-", max_size=20))
def test_any_pattern(pattern: str) -> None:
    try:
        search = regex.search_of(Url(regex=pattern))
    except Problem:
        return
    if search.quick:
        regex.found(search, b"abcabc\n")
