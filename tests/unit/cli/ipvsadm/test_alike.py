# SPDX-License-Identifier: Apache-2.0
"""Lines that are read from what lines before them said mean what they mean by themselves."""

from __future__ import annotations

import io

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.oracle.desired_director import DesiredDirector, TableNames

from xlvs.cli.ipvsadm import arguments
from xlvs.cli.ipvsadm.alike import Alike
from xlvs.cli.ipvsadm.edits import edits
from xlvs.cli.ipvsadm.errors import Fatal, Refused
from xlvs.cli.ipvsadm.lines import words_of
from xlvs.cli.ipvsadm.program import Program

NAMES = TableNames()

_services = st.sampled_from(
    [
        *("-t 10.0.0.1:80", "-t 10.0.0.1", "-u 10.0.0.1:80", "--sctp-service 10.0.0.1:http"),
        *(
            "-t [fd00::1]:80",
            "-t vip.example:http",
            "-t 10.0.0.1:65536",
            "-t 10",
            "-f 5",
            "-f 5 -6",
        ),
        *(" -t 10.0.0.1:80", "-t 10.0.0.1:80\0x", "-t -r 10.0.0.2", "-t 10.0.0.1:80 -m"),
    ]
)
_servers = st.sampled_from(
    [
        *("10.3.0.1:8080", "10.3.0.1", "10.3.0.2:80", "010.3.1:0x50", "10.3.0.1:", "10.3.0.1:+80"),
        *("[fd00::2]:80", "fd00::2", "vip.example:http", "10.3.0.1:-1", "", "-m", "10.3.0.1:80\0"),
    ]
)
_options = st.sampled_from(
    [
        *("", "-m", "-g", "-i", "--fullnat", "-m -w 3", "-i -w 0 --tun-type gue --tun-port 9"),
        *(
            " -m",
            "-m ",
            "-m -x 5 -y 4",
            "-w",
            "-w x",
            "-6",
            "-p",
            "-m -- x",
            "-i --tun-port 9",
            "-n",
        ),
        *("-m\0 -w 3", "-r 10.3.0.3", "-m -r 10.3.0.3", "--weight=7 -m", "-mw8", "-h"),
    ]
)
_lines = st.builds(
    "{} {} -r {} {}".format,
    st.sampled_from(["-a", "-d", "-e", "-a -n", "ipvsadm -a"]) | st.just("-a"),
    _services,
    _servers,
    _options,
)


def alone(line: str):
    """The edit of a line by itself, None if it is refused or none."""
    try:
        found = edits(arguments.parse(words_of(line), NAMES))
    except (Fatal, Refused):
        return None
    return found[0] if found else None


@settings(max_examples=500)
@given(st.lists(_lines, max_size=20))
@example(["-a -t 10.0.0.1:80 -r 10.3.0.1:1 -g", "-a -t [fd00::1]:8 -r [fd00::2]:1 -g"])
@example(["-a -t 10.0.0.1:80 -r 10.3.0.1:1 -m", "-a -t 10.0.0.1:80 -r [fd00::2]:1 -m"])
def test_lines_mean_what_they_mean_alone(lines: list[str]) -> None:
    alike = Alike(NAMES)
    for line in lines:
        wanted, found = alone(line), alike.edit(line)
        assert found is None or found == wanted
        if found is None and wanted is not None:
            alike.learn(line, wanted)


def test_of_restored_lines_few_are_read_word_by_word(monkeypatch) -> None:
    """In a restore of 110,000 that takes most of the time."""
    read: list[str] = []
    parse = arguments.parse

    def reading(words, names):
        read.append(words[0])
        return parse(words, names)

    monkeypatch.setattr(arguments, "parse", reading)
    rules = [
        line
        for service in (f"-t 10.0.0.{vip}:80" for vip in range(5))
        for line in (
            f"-A {service} -s rr",
            *(f"-a {service} -r 10.3.0.{n}:80 -m -w {n % 2}" for n in range(9)),
        )
    ]

    class Streams:
        stdin = io.StringIO("\n".join(rules))
        stdout = stderr = io.StringIO()

    director = DesiredDirector()
    assert Program(director, NAMES, Streams()).restore() == 0
    assert [len(listed) for _, listed in director.desired.services.values()] == [9] * 5
    assert read == ["-A", "-a", "-a", "-A", "-A", "-A", "-A"]
