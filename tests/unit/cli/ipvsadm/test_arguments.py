# SPDX-License-Identifier: Apache-2.0
"""Command lines to requests. The recorded ones are replayed in tests/oracle."""

from __future__ import annotations

from ipaddress import ip_address

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.oracle.desired_director import TableNames

from xlvs.cli.ipvsadm import arguments
from xlvs.cli.ipvsadm.errors import TRY_HELP, Fatal, Refused
from xlvs.cli.ipvsadm.options import OPTIONS
from xlvs.model.service import Method

NAMES = TableNames()


def parse(line: str):
    return arguments.parse(line.split(), NAMES)


@pytest.mark.parametrize(
    "line", ["", "foo", "-", "--", "-n -L", "--nosuch", "-x", "-V", "--list=3"]
)
def test_a_command_comes_first(line) -> None:
    with pytest.raises(Fatal) as caught:
        parse(line)
    assert (caught.value.text, caught.value.status) == (TRY_HELP, 255)


def test_what_follows_help_does_not_matter() -> None:
    assert parse("-h --nosuch -A").verb == "help"


def test_later_words_that_are_no_options_end_one_command_only() -> None:
    with pytest.raises(Refused, match="--nosuch: unknown option"):
        parse("-L --nosuch")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-A -A", "invalid option `-A'"),
        ("-A --start-daemon master", "invalid option `master'"),
        ("-A -t 10.0.0.1:80 -s rr -s rr", "multiple 'scheduler' options specified"),
        ("-a -t 10.0.0.1:80 -r 1.1.1.1 -m --fullnat", "multiple 'forwarding-method' options"),
        ("-A -E -b nosuch", "invalid option `-E'"),
        ("-E -b sh-port", "incompatible scheduler flag `sh-port'"),
        ("-L -b nosuch", "invalid scheduler flag `nosuch'"),
        ("-A -t 10.0.0.1:80 --local-address x", "illegal local address specified"),
        ("-A -t 10.0.0.1:80 --local-address 1.1.1.1,1.1.1.1", "illegal local address"),
        ("-A -t 10.0.0.1:80 --local-address fd00::1", "of the service's address family"),
        ("-a -t 10.0.0.1:80 -r 1.1.1.1 --local-address 1.1.1.1", "Illegal 'local-address'"),
        ("--add-laddr -t 10.0.0.1:80", "supply the 'local-address' option for the 'add-laddr'"),
        ("--add-laddr --local-address 1.1.1.1", "You need to supply the 'service-address'"),
        ("-a -t 10.0.0.1:80 -r [fd00::1]:80 --fullnat", "Different address family"),
        ("-A -t 10.0.0.1:80 --stateless --stateless", "multiple 'stateless' options specified"),
        ("-a -t 10.0.0.1:80 -r 1.1.1.1 --stateless", "Illegal 'stateless' option with the"),
        ("-A -t 10.0.0.1:80 --tcp-timeout x", "invalid timeout value `x' specified"),
        ("-A -t 10.0.0.1:80 --tcp-timeout -1", "invalid timeout value `-1' specified"),
        ("-A -t 10.0.0.1:80 --tcp-timeout 2678401", "invalid timeout value `2678401' specified"),
        ("-A -t 10.0.0.1:80 --tcp-timeout 1 --tcp-timeout 1", "multiple 'tcp-timeout' options"),
        ("-a -t 10.0.0.1:80 -r 1.1.1.1 --tcp-timeout 1", "Illegal 'tcp-timeout' option with"),
        ("-L --udp-timeout 1", "Illegal 'udp-timeout' option with the 'list' command"),
    ],
)
def test_fatal_texts(line, text) -> None:
    with pytest.raises(Fatal) as caught:
        parse(line)
    assert text in caught.value.text
    assert caught.value.status == 2


def test_fullnat() -> None:
    request = parse("-a -t 10.0.0.1:80 -r 192.168.0.1:8080 --fullnat -w 3")
    assert (request.method, request.server_port, request.weight) == (Method.FULLNAT, 8080, 3)
    request = parse("-A -t [fd00::1]:80 --local-address fd00::2,fd00::3")
    assert request.local_addresses == (ip_address("fd00::2"), ip_address("fd00::3"))


def test_a_real_server_before_its_service_knows_no_port_of_it() -> None:
    assert parse("-a -r 192.168.0.1 -t 10.0.0.1:80 -m").server_port == 0
    assert parse("-a -t 10.0.0.1:80 -r 192.168.0.1 -m").server_port == 80
    assert parse("-a -r 192.168.0.1 -t 10.0.0.1:80").server_port == 80


WORDS = st.one_of(
    st.sampled_from([f"-{o.letter}" for o in OPTIONS if o.letter]),
    st.sampled_from([f"--{o.name}" for o in OPTIONS]),
    st.sampled_from(["10.0.0.1:80", "[fd00::1]:80", "7", "rr", "-1", "master", "gue", "x,y", "--"]),
    st.text(max_size=8),
)


@hypothesis.given(st.lists(WORDS, max_size=8))
def test_any_words_are_a_request_or_a_complaint(words) -> None:
    try:
        request = arguments.parse(words, NAMES)
    except (Fatal, Refused) as complaint:
        said = complaint.text
    else:
        said = request.verb
    assert said
