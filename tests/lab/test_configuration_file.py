# SPDX-License-Identifier: Apache-2.0
"""A director that follows a keepalived.conf: real servers die and return, files change."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xlvs.lab import Lab
from xlvs.lab.director import Director
from xlvs.lab.realserver import RealServer

VIP = "10.0.0.2"  # DR's
FILE = """
! A comment
global_defs {{
    router_id LAB
    lvs_notify_fifo {folder}/fifo
}}
virtual_server {vip} 80 {{
    delay_loop 0.3
    lb_algo rr
    lb_kind DR
    protocol TCP
    sorry_server 10.2.0.13 80
    {servers}
}}
"""
SERVER = """
    real_server 10.2.0.1{n} 80 {{
        weight {weight}
        HTTP_GET {{
            url {{
                path /
                status_code 200
            }}
            connect_timeout 1
            retry 1
            delay_before_retry 0.2
        }}
    }}
"""


def text(folder: Path, *servers: tuple[int, int]) -> str:
    body = "".join(SERVER.format(n=n, weight=weight) for n, weight in servers)
    return FILE.format(folder=folder, vip=VIP, servers=body)


class Following:
    """A director with a file."""

    def __init__(self, director: Director, folder: Path) -> None:
        self.director = director
        self.folder = folder
        self.file = folder / "keepalived.conf"

    def write(self, content: str, *, reload: bool = True) -> None:
        self.file.write_text(content)
        if reload and self.director.daemon is not None:
            self.director.daemon.send_signal(signal.SIGHUP)

    def rotation(self) -> dict[str, int]:
        """Real servers of the service and their weights, as ipvsadm lists them."""
        lines = self.director.ipvsadm("-Ln").stdout.splitlines()
        found = {}
        for line in lines:
            words = line.split()
            if words and words[0] == "->" and words[1] != "RemoteAddress:Port":
                found[words[1].removeprefix("10.2.0.").removesuffix(":80")] = int(words[3])
        return found

    def until(self, what: Callable[[], bool], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"{self.rotation()}\n{self.director.said()}"
            time.sleep(0.05)

    def until_rotation(self, **wanted: int) -> None:
        expected = {name.removeprefix("s"): weight for name, weight in wanted.items()}
        self.until(lambda: self.rotation() == expected)


@pytest.fixture
def following(prepared: Lab, hook: str, tmp_path: Path) -> Iterator[Following]:
    director = prepared.director
    found = Following(director, tmp_path)
    found.write(text(tmp_path, (1, 1), (2, 2)), reload=False)
    director.start_xlvsd(hook, extra=["-f", str(found.file)])
    yield found
    director.down()


def mute(server: RealServer, *, on: bool) -> None:
    """Its web server's answers do not leave any more, or do again."""
    does = "add" if on else "del"
    words = f"ip rule {does} pref 5 ipproto tcp sport 80 from {server.v4} blackhole"
    server.run(words.split())


def test_a_dead_server_leaves_and_returns(following: Following, prepared: Lab) -> None:
    first = prepared.real_servers[0]
    following.until_rotation(s11=1, s12=2)
    mute(first, on=True)
    try:
        following.until_rotation(s12=2)
        saved = following.director.ipvsadm("-Sn").stdout
        assert "-r 10.2.0.11:80 -g -w 1" in saved, "what is asked for is saved"
    finally:
        mute(first, on=False)
    following.until_rotation(s11=1, s12=2)


def test_without_a_quorum_the_sorry_server_answers(following: Following, prepared: Lab) -> None:
    both = prepared.real_servers[:2]
    following.until_rotation(s11=1, s12=2)
    for each in both:
        mute(each, on=True)
    try:
        following.until_rotation(s13=1)
        assert prepared.client.run(["curl", "-s", "-m", "2", f"http://{VIP}/"]).stdout.startswith(
            "rs3"
        )
    finally:
        for each in both:
            mute(each, on=False)
    following.until_rotation(s11=1, s12=2)


def test_a_reload_touches_what_differs(following: Following) -> None:
    following.until_rotation(s11=1, s12=2)
    following.director.ipvsadm(f"-d -t {VIP}:80 -r 10.2.0.12:80")
    following.director.ipvsadm("-A -t 10.0.0.9:99 -s rr")
    following.write(text(following.folder, (1, 7), (2, 2)))
    following.until_rotation(s11=7, s12=2)
    assert "10.0.0.9:99" in following.director.ipvsadm("-Ln").stdout, "what commands made stays"
    following.write(text(following.folder, (2, 2)))
    following.until_rotation(s12=2)


def test_a_wrong_file_changes_nothing_and_says_why(following: Following) -> None:
    following.until_rotation(s11=1, s12=2)
    wrong = text(following.folder, (1, 9)).replace("lb_algo rr", "lb_algo roundrobin")
    following.write(wrong)
    following.until(lambda: "is refused" in following.director.said())
    assert following.rotation() == {"11": 1, "12": 2}
    said = following.director.said()
    assert f"{following.file}:9:" in said
    assert "roundrobin" in said
    following.write(text(following.folder, (1, 9)))
    following.until_rotation(s11=9)
