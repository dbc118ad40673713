# SPDX-License-Identifier: Apache-2.0
"""A real server is drained while curl talks to it, by the commands that an operator types."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.lab.small import REAL, VIP, Small, eventually


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path) as small:
        small.start()
        small.serve_both()
        yield small


def xlvs(small, *words):
    """A command that is being run; it ends by itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "xlvs.cli.main", "--instance", small.instance, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=small.environment,
    )


def done(small, *words):
    """What a command said, and its exit status."""
    process = xlvs(small, *words)
    return process.communicate(timeout=20)[0], process.returncode


def talk(small):
    """A curl that is connected and has not asked yet: whoever it is connected to waits for it."""
    curl = subprocess.Popen(
        small.within("c", "curl", "-s", "--no-buffer", f"telnet://{VIP}:80"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: sum(each["active"] for each in small.service()["destinations"]) == 1)
    (found,) = [each for each in small.service()["destinations"] if each["active"]]
    return curl, found["destination"]["key"]["address"]


def weights(small):
    return {
        each["destination"]["key"]["address"]: each["destination"]["weight"]
        for each in small.service()["destinations"]
    }


def test_its_clients_stay_nobody_comes_and_at_the_deadline_it_is_removed(small):
    curl, server = talk(small)
    other = next(address for address in REAL if address != server)
    drain = xlvs(small, "destination", "drain", f"{VIP}:80", f"{server}:80", "--for", "4s")
    title = f"tcp {VIP}:80 {server}:80: "
    assert drain.stdout.readline().startswith(f"{title}weight 0 (was 1), removed at ")
    assert drain.stdout.readline().startswith("  1 active, 0 inactive, 0 persistent, 0:0")
    assert small.ask(3) == [other] * 3
    assert drain.poll() is None
    said, _ = drain.communicate(timeout=20)
    assert drain.returncode == 0
    assert said.splitlines()[-1] == (
        f"{title}the time is over and it is removed; "
        "left at the end: 1 active, 0 inactive, 0 persistent"
    )
    assert weights(small) == {other: 1}
    assert "removed with 1 connections left" in small.said()
    curl.kill()
    curl.communicate()


def test_a_client_that_was_there_is_answered_while_its_server_drains(small):
    curl, server = talk(small)
    said, status = done(
        small, "destination", "drain", f"{VIP}:80", f"{server}:80", "--for", "10m", "--detach"
    )
    assert status == 0, said
    assert weights(small)[server] == 0
    assert curl.communicate("anything\n", timeout=10)[0].endswith(server)
    # A daemon that was killed goes on with it.
    small.stop(signal.SIGKILL)
    small.start()
    said, status = done(small, "destination", "drain", "--list")
    before, _, left = said.rpartition(", ")
    assert before == f"tcp {VIP}:80 {server}:80: 0 active, 1 inactive, 0 persistent"
    assert left.startswith(("9:", "10:00")), "ten minutes from before the restart"
    said, status = done(small, "destination", "undrain", f"{VIP}:80", f"{server}:80")
    assert (said, status) == (f"tcp {VIP}:80 {server}:80: weight 1 again\n", 0)
    assert set(small.ask(2)) == set(REAL)
    assert done(small, "destination", "drain", "--list") == (
        "no real server is being drained\n",
        0,
    )


def test_a_server_without_connections_is_drained_at_once(small):
    said, status = done(small, "destination", "drain", f"{VIP}:80", f"{REAL[0]}:80")
    assert status == 0
    assert said.endswith("no connections are left; its weight stays 0\n")


def test_settings_and_profile_of_a_running_director(small):
    said, status = done(small, "settings", "net.xlvs.profile=modern", "net.ipv4.vs.sloppy_tcp=1")
    assert (said, status) == ("net.xlvs.profile = modern\nnet.ipv4.vs.sloppy_tcp = 1\n", 0)
    said, status = done(small, "settings", "net.ipv4.vs.sloppy_tcp=0", "net.ipv4.vs.drop_entry=x")
    assert status == 1
    small.stop(signal.SIGTERM)
    small.start("--set", "net.xlvs.reset=0", "--profile", "modern")
    shown = {each["name"]: each["value"] for each in small.api("GET", "/v1/settings")["settings"]}
    assert shown["net.ipv4.vs.sloppy_tcp"] == "1"
    assert (shown["net.xlvs.reset"], shown["net.xlvs.reschedule"]) == ("0", "1")
    small.stop(signal.SIGTERM)
    small.start("--profile", "ipvs")
    shown = {each["name"]: each["value"] for each in small.api("GET", "/v1/settings")["settings"]}
    assert (shown["net.xlvs.profile"], shown["net.xlvs.reschedule"]) == ("ipvs", "0")
