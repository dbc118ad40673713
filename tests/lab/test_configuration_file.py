# SPDX-License-Identifier: Apache-2.0
"""A director that follows a keepalived.conf: real servers die and return, files change."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xlvs.lab import Lab
from xlvs.lab.director import Director
from xlvs.lab.lab import realserver_up
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

    def __init__(self, director: Director, hook: str, folder: Path) -> None:
        self.director = director
        self.hook = hook
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
    found = Following(director, hook, tmp_path)
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


def test_health_outlives_the_daemon(following: Following, prepared: Lab) -> None:
    """A restarted daemon neither sends clients to a dead server nor tells anybody again."""
    first, director = prepared.real_servers[0], following.director
    following.until_rotation(s11=1, s12=2)
    mute(first, on=True)
    try:
        following.until_rotation(s12=2)
        # What it knows is written down every few seconds, and at its end.
        director.end_xlvsd()
        director.start_xlvsd(following.hook, extra=["-f", str(following.file)])
        assert following.rotation() == {"12": 2}
        assert "is down" not in director.said().partition("ready")[0].rpartition("ended")[2]
    finally:
        mute(first, on=False)
    following.until_rotation(s11=1, s12=2)


def test_status_says_why_a_server_is_down(following: Following, prepared: Lab) -> None:
    first = prepared.real_servers[0]
    following.until_rotation(s11=1, s12=2)
    mute(first, on=True)
    try:
        following.until_rotation(s12=2)
        said = following.director.xlvs("status", check=False).stdout
        assert str(following.file) in " ".join(said.split())
        assert "1 of 2 servers up" in said
        assert "timed out" in said
        status = json.loads(following.director.xlvs("status --json", check=False).stdout)
        (service,) = status["file"]["services"]
        down = next(each for each in service["servers"] if not each["up"])
        assert not down["in_rotation"]
        assert "timed out" in down["last_failure"]["cause"]
        assert abs(down["last_failure"]["at"] - time.time()) < 60
    finally:
        mute(first, on=False)
    following.until_rotation(s11=1, s12=2)


def test_plan_says_what_a_reload_would_do(following: Following, tmp_path: Path) -> None:
    following.until_rotation(s11=1, s12=2)
    other = tmp_path / "other.conf"
    other.write_text(text(tmp_path, (1, 5), (3, 1)))
    said = following.director.xlvs(["plan", str(other)]).stdout
    assert said.splitlines() == [
        "remove 10.2.0.12:80 of tcp 10.0.0.2:80",
        "change 10.2.0.11:80 of tcp 10.0.0.2:80: weight 1 becomes 5",
        "add 10.2.0.13:80 of tcp 10.0.0.2:80: method dr, weight 1",
    ]
    assert following.rotation() == {"11": 1, "12": 2}
    assert following.director.xlvs(["plan", str(following.file)]).stdout == "nothing changes\n"
    other.write_text("virtual_server 10.0.0.2 80 {\n    lb_algo none\n}\n")
    refused = following.director.xlvs(["plan", str(other)], check=False)
    assert refused.returncode == 1
    assert f"{other}:2:" in refused.stderr


def test_a_probe_takes_clients_way(following: Following, prepared: Lab) -> None:
    """A DR server that answers its own address, but has the virtual one no more."""
    first = prepared.real_servers[0]
    way = text(following.folder, (1, 1), (2, 2)).replace(
        "connect_timeout 1\n", "connect_timeout 1\n            through_datapath\n"
    )
    following.write(way)
    time.sleep(1)
    following.until_rotation(s11=1, s12=2)
    first.realserver("down")
    try:
        following.until_rotation(s12=2)
        said = following.director.xlvs("status", check=False).stdout
        assert VIP in said.partition("last failure")[2]
    finally:
        first.realserver(*realserver_up(prepared.plan, "dr"))
    following.until_rotation(s11=1, s12=2)
