# SPDX-License-Identifier: Apache-2.0
"""The demo counts broken promises, and paces only for somebody who watches."""

from __future__ import annotations

import io

from rich.console import Console

from xlvs.lab.demo.show import Show, seen, tally

ANSWERS = ["rs3 saw 10.1.0.2", "rs1 saw 10.1.0.2", "rs3 saw fd00:1::2", ""]


def show() -> tuple[Show, io.StringIO]:
    text = io.StringIO()
    return Show(fast=False, console=Console(file=text, width=100)), text


def test_a_broken_promise_is_the_exit_status() -> None:
    good, _ = show()
    good.promise("it works", kept=True)
    assert good.end(1.0) == 0
    bad, text = show()
    bad.promise("it works", kept=False, instead="it does not")
    assert bad.end(1.0) == 1
    assert "✗ it works  but: it does not" in text.getvalue()


def test_without_a_terminal_there_are_no_pauses_and_no_colours() -> None:
    plain, text = show()
    assert not plain.paced
    plain.command("director", "ipvsadm -a -t [fd00::1]:80 -r [fd00:2::11]:80 -m")
    plain.command("client", "curl http://10.0.0.1/")
    assert text.getvalue().splitlines() == [
        "director# ipvsadm -a -t [fd00::1]:80 -r [fd00:2::11]:80 -m",
        "client$ curl http://10.0.0.1/",
    ]


def test_long_answers_are_cut() -> None:
    short, text = show()
    short.output("a\nb\nc\nd\n", limit=3)
    assert text.getvalue().splitlines() == ["a", "b", "... 2 more"]


def test_who_answered_and_whom_they_saw() -> None:
    assert tally(ANSWERS) == {"rs1": 1, "rs3": 2}
    assert seen(ANSWERS) == {"10.1.0.2", "fd00:1::2"}
