# SPDX-License-Identifier: Apache-2.0
"""Comments, conditions, parameters, repetitions, braces. Where the comment says "keepalived",
its 2.2.7 was asked (``keepalived -n -l -d`` in a network namespace)."""

from __future__ import annotations

import pytest
from tests.unit.config.keepalived.reading import MAIN, tree

from xlvs.config.keepalived.places import ConfigurationError, Findings, Place
from xlvs.config.keepalived.reader import Reader


def words(text, **more):
    found, findings = tree(text, **more)
    assert not findings.problems, findings.problems
    return found


def problems(text, **more):
    try:
        _, findings = tree(text, **more)
    except ConfigurationError as error:
        return [f"{each.where.removeprefix(MAIN + ':')}: {each.message}" for each in error.problems]
    return [f"{place.line}:{place.column}: {each.message}" for place, each in findings.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b # c", [["a", "b"]]),
        ("a b ! c\n\n  # d\n!e", [["a", "b"]]),
        ('a "b # c" d', [["a", "b # c", "d"]]),
        (r"a b\#c \!d", [["a", "b#c", "!d"]]),
        ('a "b  c"d', [["a", "b  c", "d"]]),
        ("a 'b c'", [["a", "'b", "c'"]]),  # only commands see single quotes
        ('a ""', [["a", ""]]),
        ("a\r\nb\r\n", [["a"], ["b"]]),
        ("a \\\n b\n", [["a", "b"]]),
        ("a \\\n\nb\n", [["a"], ["b"]]),
    ],
)
def test_a_line_becomes_words(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a b {\n c\n}",
        "a b\n{\n c\n}",
        "a b { c }",
        "a b{c}",
        "a b { c\n}\n",
        "a b\n# comment\n\n{ c\n}",
        "a b { # comment\n c # another\n } ! end",
    ],
)
def test_braces_stand_wherever_they_like(text):
    assert words(text) == [["a", "b", [["c"]]]]


def test_braces_in_double_quotes_are_text():
    assert words('a "{x}" {\n b\n}') == [["a", "{x}", [["b"]]]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a {\n b", "1:1: the { of this line is never closed"),
        ("a\n  }", "2:3: this } closes nothing"),
        (" { a", "1:2: this { belongs to no keyword"),
        ("a {\n}\n{\n}", "3:1: the keyword before this { has its block already"),
        ('a "b', '1:3: the closing " is missing'),
    ],
)
def test_what_does_not_match_is_a_problem(text, problem):
    assert problem in problems(text)


def test_blocks_have_a_deepest():
    assert "deep in each other" in problems("a {\n" * 20)[-1]


# ---- conditions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@main a\n@other b", [["a"]]),
        ("@^main a\n@^other b", [["b"]]),
        ("@main\na", [["a"]]),  # nothing after the id
        ("x {\n  @main\ta 1\n}", [["x", [["a", "1"]]]]),
        ("@main @main a", [["a"]]),
    ],
)
def test_a_condition_asks_the_configuration_s_id(text, expected):
    assert words(text) == expected


# ---- parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A=1\na $A", [["a", "1"]]),
        ("$A = 1 2 \na $A b", [["a", "1", "2", "b"]]),
        ("$A=1\na ${A}0", [["a", "10"]]),
        ("$A=1\na $A0 x$A-", [["a", "$A0", "x$A-"]]),  # the name must end there
        ("$A=\na $A b", [["a", "b"]]),
        ("a $B", [["a", "$B"]]),  # undefined: it stays
        ("$A=${B}.1\n$B=0\na ${A}\n$B=10\na ${A}", [["a", "0.1"], ["a", "10.1"]]),
        ("$C=@main\n$C a\n$D=@^main\n$D b", [["a"]]),
        ("$A=x # y\na $A", [["a", "x"]]),
        ("a ${_INSTANCE} ${_PWD}", [["a", "main", "/etc"]]),
        ("a ${_HASH}b ${_BANG}", [["a"]]),  # comments after replacement, as in keepalived
        ("a ${_RANDOM 7 7}", [["a", "7"]]),
        ("@main $A=1\n@other $A=2\na $A", [["a", "1"]]),
    ],
)
def test_parameters_are_replaced(text, expected):
    assert words(text) == expected


def test_the_environment_is_a_parameter():
    assert words("a ${_ENV HOME} ${_ENV NONE}", environment={"HOME": "/root"}) == [["a", "/root"]]


def test_chance_has_bounds():
    (line,) = words("a " + "${_RANDOM 3 5} " * 50)
    assert set(line[1:]) == {"3", "4", "5"}
    assert "9 is greater than 5" in problems("a ${_RANDOM 9 5}")[0]


def test_a_parameter_of_several_lines():
    text = r"""
$RS= \
real_server 10.0.${N}.${M} 80 { \
    weight 1 \
    @other weight 2 \
    @main weight 3 \
}
$VS= \
virtual_server 10.0.${N}.1 80 { \
    $M=2 \
    $RS \
    $M=3 \
    $RS \
}
$N=0
$VS
$N=1
$VS
"""
    server = [["weight", "1"], ["weight", "3"]]
    assert words(text) == [
        [
            *("virtual_server", f"10.0.{n}.1", "80"),
            [["real_server", f"10.0.{n}.{m}", "80", server] for m in (2, 3)],
        ]
        for n in (0, 1)
    ]


def test_a_parameter_of_several_lines_ends_at_an_empty_one():
    assert words("$A= \\\na \\\n\nb\n$A") == [["b"], ["a"]]


def test_places_are_those_of_the_definition_and_say_who_used_it():
    findings = Findings()
    from tests.unit.config.keepalived.reading import surroundings  # noqa: PLC0415

    text = "$A= \\\na { \\\n   b c \\\n}\n\n $A\n"
    (node,) = Reader(surroundings({MAIN: text}), findings).read(MAIN)
    (inner,) = node.children
    assert inner.place(1) == Place(MAIN, 3, 6, Place(MAIN, 6, 2))


@pytest.mark.parametrize("text", ["$A=$A\na $A", "$A=${B}${B}\n$B=${A}${A}\na ${A}"])
def test_parameters_without_an_end_are_a_problem(text):
    assert "without an end" in problems(text)[0]


def test_parameters_of_several_lines_that_mean_themselves_are_a_problem():
    assert "deep in each other" in problems("$A= \\\nb \\\n$A\n$A")[-1]


# ---- repetitions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~SEQ(X, 0, 3) a.${X}", ["a.0", "a.1", "a.2", "a.3"]),
        ("~SEQ(X, 3) a.${X}", ["a.1", "a.2", "a.3"]),
        ("~SEQ(X, -2) a${X}", ["a-1", "a-2"]),
        ("~SEQ(X, 3, 1) a$X", ["a3", "a2", "a1"]),
        ("~SEQ(X, 3, -2, 0) a${X}", ["a3", "a1"]),
        ("~SEQx(Y, 0x10, 4, 0x18) ${Y}", ["10", "14", "18"]),
        ("~SEQx(Y, 144, 16, 192) ${Y}", ["90", "a0", "b0", "c0"]),
        ("$N=2\n~SEQ(X, ${N}) ${X}", ["1", "2"]),
        ("~SEQ(A,1,2) ~SEQ(B,5,6) ${A}.${B}", ["1.5", "1.6", "2.5", "2.6"]),
        ("~LST(A, x, y) ${A}", ["x", "y"]),
        ("~LST({A,B},{1,2},{3}) ${A}.1${B}", ["1.12", "3.1"]),
        ("~LST({A, B}, {10,1},{20,4}) ~SEQ(C,168,2,170) ${C}.${A}.${B}",
         ["168.10.1", "170.10.1", "168.20.4", "170.20.4"]),
    ],
)  # fmt: skip
def test_a_line_is_repeated(text, expected):
    assert words(text) == [[each] for each in expected]


def test_a_parameter_of_several_lines_is_repeated():
    text = "$V= \\\na${N} { \\\n b \\\n}\n~SEQ(N,2) $V\n"
    assert words(text) == [["a1", [["b"]]], ["a2", [["b"]]]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("~SEQ(X, 1, 0, 3) a", "never comes from 1 to 3"),
        ("~SEQ(X, 5, 1, 3) a", "never comes"),
        ("~SEQ(X) a", "wants ~SEQ"),
        ("~SEQ(X, y) a", "wants whole numbers"),
        ("~SEQx(X, -3) a", "0 and more"),
        ("~SEQ X", "wants ~SEQ"),
        ("~LST(A) a", "no values"),
        ("~LST({A},{1,2}) a", "sets 1 at a time"),
        ("~LST(A, x a", "wants ~LST"),
    ],
)
def test_a_repetition_that_cannot_be(text, problem):
    assert problem in problems(text)[0]


def test_repetitions_do_not_fill_the_memory():
    text = "".join(f"~SEQ(X{n}, 1, 1000000) " for n in range(4)) + "a"
    # Lines are only counted while they come: it stops at the bound.
    assert "more than" in _bounded(text)


def _bounded(text):
    from xlvs.config.keepalived import reader  # noqa: PLC0415

    before, reader.MOST_LINES = reader.MOST_LINES, 10_000
    try:
        return problems(text)[-1]
    finally:
        reader.MOST_LINES = before


# ---- includes


FILES = {
    "/etc/one.conf": "one",
    "/etc/two.conf": "two",
    "/etc/d/x": "dx ${_PWD}\ninclude y",
    "/etc/d/y": "dy",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include one.conf", [["one"]]),
        ("include /etc/*.conf # all", [["one"], ["two"]]),
        ("a {\n include {one,two}.conf\n}", [["a", [["one"], ["two"]]]]),
        ("include d/x\nb", [["dx", "/etc/d"], ["dy"], ["b"]]),
        ("include none\nb", [["b"]]),
        ("includer none*\nb", [["b"]]),
        ("includea {one,t{wo,wo}}.conf", [["one"], ["two"], ["two"]]),
        ("included 1", [["included", "1"]]),
        ("include_check\n", [["include_check"]]),
    ],
)
def test_files_are_included(text, expected):
    files = {name: each for name, each in FILES.items() if "k.conf" not in name}
    assert words(text.replace("/etc/*.conf", "/etc/[ot]*.conf"), files=files) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("includem none", "no file is none"),
        ("includew none*", "no file is none*"),
        ("includeb {one,none}.conf", "none.conf"),
        ("include_check +match\ninclude none", "no file is none"),
        ("include_check foo", "include_check knows"),
        ("include /etc/k.conf", "includes itself"),
        ("$F=one\ninclude $F.conf\ninclude ${F}.conf", "not replaced in an include line"),
        ("@main include one.conf", "does not work behind a condition"),
        ("includea {" + "a," * 2000 + "}", "more than 1000"),
        ("include " + "a" * 5000, "longer than 4096"),
    ],
)
def test_includes_that_cannot_be(text, problem):
    assert any(problem in each for each in problems(text, files=FILES))


def test_a_missing_file_is_remarked():
    _, findings = tree("include none")
    assert list(findings.remarks) == [f"{MAIN}:1:1: no file is none: nothing is included"]


def test_includes_in_a_circle_end():
    files = {"/etc/a": "include b", "/etc/b": "include a"}
    assert "includes itself" in problems("include a", files=files)[0]


def test_the_file_itself_must_be_there():
    findings = Findings()
    from tests.unit.config.keepalived.reading import surroundings  # noqa: PLC0415

    assert Reader(surroundings({}), findings).read("/none") == []
    assert "cannot be read: No such file" in findings.problems[0][1].message


def test_binary_is_no_text_and_latin_1_is_remarked():
    assert "NUL" in problems(b"a\nb\0")[0]
    found, findings = tree(b"a \xe9")
    assert found == [["a", "é"]]
    assert "not UTF-8" in next(iter(findings.remarks))
