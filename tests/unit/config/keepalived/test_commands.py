# SPDX-License-Identifier: Apache-2.0
"""Commands in the file, as keepalived 2.2.7 takes them."""

from __future__ import annotations

import pytest
from tests.unit.config.keepalived.reading import problems, read, remarks, with_instance

from xlvs.model.notification import Command


def notify(text):
    return read(with_instance(f"notify {text}")).instances[0].notify.any


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/bin/x", Command(("/bin/x",))),
        ("/bin/x me us", Command(("/bin/x",), "me", "us")),
        ("/bin/x me :us", Command(("/bin/x",), "me", "us")),
        ('"/bin/x a b" me', Command(("/bin/x", "a", "b"), "me")),
        ("'/bin/x a b'", Command(("/bin/x", "a", "b"))),
        (r'"/bin/x \'a b\' c\x41 \"q\""', Command(("/bin/x", "a b", "cA", "q"))),
        ('"/bin/x {a} #b" # comment', Command(("/bin/x", "{a}", "#b"))),
        ('"</dev/tcp/127.0.0.1/80"', Command(("/bin/sh", "-c", "</dev/tcp/127.0.0.1/80"))),
    ],
)
def test_a_command(text, expected):
    assert notify(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "notify wants a command"),
        ('""', "notify wants a command"),
        ('" "', "notify wants a command"),
        ("/bin/x me us too", "put the command with its arguments in quotes"),
        ("'/bin/x", "the closing ' is missing"),
        ('"/bin/x \'a"', "the closing ' is missing"),
    ],
)
def test_a_command_that_cannot_be(text, problem):
    assert any(problem in each for each in problems(with_instance(f"notify {text}")))


@pytest.mark.parametrize(
    "text", ['"/bin/a; /bin/b"', '"/bin/a | b"', '"[[ -f /x ]] && exit 1"', '"echo $(date)"']
)
def test_a_shell_s_words_are_remarked(text):
    (remark,) = remarks(with_instance(f"notify {text}"))
    assert "no shell runs this command" in remark


@pytest.mark.parametrize("text", ["\"sh -c 'a; b'\"", '"</dev/tcp/::1/80"', "/bin/x"])
def test_a_shell_that_is_said_is_not(text):
    assert remarks(with_instance(f"notify {text}")) == []
