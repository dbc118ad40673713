# SPDX-License-Identifier: Apache-2.0
"""FULLNAT's real server: unmodified programs are told who their client is.

The eBPF programs act on a cgroup of the test's own, with the servers in it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client_option import option
from tests.lab.small import eventually
from tests.lab.toa_carrier import CLIENT, LOCAL, Carrier
from tests.lab.told import LOGS, MPTCP, OLD, PYTHON, Told, within

from xlvs.datapath import libbpf
from xlvs.realserver.client_address import agent, cgroup

BELIEVED = "10.92.0.96/28,fd92::101"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A cgroup with nothing in it."""
    folder = Path(cgroup.find(None).path) / f"xlvs-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    eventually(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


@pytest.fixture(scope="module")
def world(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """All kinds of servers; one listener is older than the programs."""
    folder = tmp_path_factory.mktemp("client-address")
    before = set(agent.ROOT.glob("*")) if agent.ROOT.exists() else set()
    with Carrier() as carrier:
        world = Told(carrier, place, folder, BELIEVED)
        try:
            world.python(OLD)
            assert "1 listeners that are older" in world.up()
            assert "older" not in world.up()
            world.start_all()
            yield world
            assert "see the director's address" in world.realserver("down").stdout
            assert "nothing was set up" in world.realserver("down").stdout
        finally:
            world.realserver("down")
            world.stop_all()
    after = set(agent.ROOT.glob("*")) if agent.ROOT.exists() else set()
    assert not after - before
    assert not (folder / "run" / "realserver").exists()


@pytest.fixture(autouse=True)
def _as_usual(world: Told) -> Iterator[None]:
    """A good director before and after."""
    usual = (frozenset({"syn", "ack"}), 254, False, world.net.told)
    carrier = world.net
    carrier.where, carrier.kind, carrier.direct, carrier.told = usual
    yield
    carrier.where, carrier.kind, carrier.direct, carrier.told = usual


FAMILIES = pytest.mark.parametrize("family", [4, 6])
WHERE = pytest.mark.parametrize("where", ["syn", "ack"])


@FAMILIES
@WHERE
@pytest.mark.parametrize("port", [PYTHON, MPTCP, OLD])
def test_accept_and_getpeername(world: Told, family: int, where: str, port: int) -> None:
    """Also of a listener that is for MPTCP, and of one that is older than the programs."""
    world.net.where = frozenset({where})
    before = world.counts()
    seen, true = world.ask(family, port)
    assert seen == true
    after = world.counts()
    assert after[f"by_{where}"] == before[f"by_{where}"] + 1
    assert sum(after.values()) == sum(before.values()) + 1


@FAMILIES
@WHERE
@pytest.mark.parametrize(("port", "log", "name"), LOGS)
def test_web_servers_log_the_client(
    world: Told, family: int, where: str, port: int, log: str, name: str
) -> None:
    """nginx on one socket for both families writes IPv4 as it does without a director."""
    world.net.where = frozenset({where})
    line, true = world.logged(family, port, log, name)
    assert line == true


@FAMILIES
@WHERE
def test_redis_lists_the_client(world: Told, family: int, where: str) -> None:
    world.net.where = frozenset({where})
    seen, true = world.listed(family)
    assert seen == true


@FAMILIES
@pytest.mark.parametrize("port", [PYTHON, MPTCP, OLD])
def test_syn_cookies(world: Told, family: int, port: int) -> None:
    """The SYN is forgotten: the handshake's last packet tells."""
    setting = "net.ipv4.tcp_syncookies"
    inside_server = lambda *words: subprocess.run(within(world.net.server, *words), check=True)
    before = world.counts()
    inside_server("sysctl", "-qw", f"{setting}=2")
    try:
        seen, true = world.ask(family, port)
        assert seen == true
        assert world.counts()["by_ack"] == before["by_ack"] + 1
        world.net.where = frozenset({"syn"})
        seen, _ = world.ask(family, port)
        assert LOCAL[family] in seen
        assert "net.ipv4.tcp_syncookies is 2" in world.realserver("check").stdout
    finally:
        inside_server("sysctl", "-qw", f"{setting}=1")


def test_mptcp_clients(world: Told) -> None:
    """What accept() gives is the MPTCP socket, not the first subflow.

    With IPv6 only those are shown whom the server answers without MPTCP: else no packet of
    theirs has room for the option.
    """
    for family, port in ((4, MPTCP), (4, PYTHON), (6, PYTHON)):
        seen, true = world.ask(family, port, socket.IPPROTO_MPTCP)
        assert seen == true
    before = world.counts()
    assert LOCAL[6] in world.ask(6, MPTCP, socket.IPPROTO_MPTCP)[0]
    assert world.counts()["without"] == before["without"] + 1


@FAMILIES
def test_a_later_packet(world: Told, family: int) -> None:
    """What did not fit into the handshake is known as soon as it comes."""
    world.net.where = frozenset({"data"})
    before = world.counts()
    with world.connect(family, PYTHON) as channel, channel.makefile("rwb", 0) as lines:
        assert LOCAL[family] in lines.readline().decode()
        for _ in range(2):
            lines.write(b"again\n")
            assert f"{CLIENT[family]} " in lines.readline().decode()
    after = world.counts()
    assert after["later"] == before["later"] + 1
    assert after["without"] == before["without"]


@FAMILIES
def test_a_client_who_says_to_be_somebody_else(world: Told, family: int) -> None:
    forged = option("203.0.113.9" if family == 4 else "2001:db8::9", 99)
    world.net.told = lambda *_: forged
    world.net.direct = True
    world.net.where = frozenset({"syn", "ack", "data"})
    before = world.counts()
    seen, true = world.ask(family, PYTHON)
    assert seen == true
    after = world.counts()
    assert after["not_believed"] == before["not_believed"] + 1
    assert "addresses that are not believed" in world.realserver("check").stdout


def test_the_first_of_two_options_counts(world: Told) -> None:
    forged = option("203.0.113.9", 99)
    world.net.told = lambda address, port: option(address, port) + forged
    before = world.counts()
    seen, true = world.ask(4, PYTHON)
    assert seen == true
    assert world.counts()["second"] == before["second"] + 1


@pytest.mark.parametrize("other", [option("2001:db8::9", 99), b"\xfe\x04\xf9\x89\1\1\1\1"])
def test_another_use_of_the_kind(world: Told, other: bytes) -> None:
    """Of the wrong family; of RFC 6994, with a client's option of ours behind it."""
    world.net.told = lambda address, port: other + option(address, port)[: 28 - len(other)]
    world.net.where = frozenset({"ack"})
    before = world.counts()
    seen, _ = world.ask(4, PYTHON)
    assert LOCAL[4] in seen
    assert world.counts()["malformed"] == before["malformed"] + 1


def test_another_up_and_a_restarted_server(world: Told) -> None:
    """What is remembered lasts; whom to believe changes at once."""
    try:
        with world.connect(4, PYTHON) as channel, channel.makefile("rwb", 0) as lines:
            known = lines.readline()
            assert CLIENT[4].encode() in known
            world.up("fd92::/64", "--toa-kind", "253")
            lines.write(b"again\n")
            assert lines.readline() == known
            assert LOCAL[4] in world.ask(4, OLD)[0]
        world.net.kind = 253
        seen, true = world.ask(6, PYTHON)
        assert seen == true
        assert "from fd92::/64 by option 253" in world.realserver("check").stdout
        told = json.loads(world.realserver("check", "-o", "json").stdout)["client_address"]
        assert told == [
            {
                "cgroup": str(world.place),
                "believed": ["fd92::/64"],
                "kind": 253,
                "connections": world.counts(),
            }
        ]
    finally:
        world.up()
    world.net.kind = 254
    before = world.counts()
    server = world.python(9000)
    world.stop(server)
    server = world.python(9000)
    seen, true = world.ask(4, 9000)
    assert seen == true
    assert world.counts()["by_syn"] == before["by_syn"] + 1
    world.stop(server)


def test_down_and_up_while_a_connection_lives(world: Told) -> None:
    """What was remembered is forgotten, and nothing is known of connections in between."""
    with world.connect(4, PYTHON) as channel, channel.makefile("rwb", 0) as lines:
        assert CLIENT[4].encode() in lines.readline()
        try:
            assert not world.realserver("down", "--client-address").returncode
            lines.write(b"again\n")
            assert LOCAL[4].encode() in lines.readline()
        finally:
            world.up()
        lines.write(b"again\n")
        assert LOCAL[4].encode() in lines.readline()
    assert world.counts()["by_syn"] == 0
    seen, true = world.ask(4, PYTHON)
    assert seen == true


def test_a_refused_up_changes_nothing(world: Told) -> None:
    for words, sentence in (
        ((), "name the directors' local addresses"),
        (("--from", "0.0.0.0/0"), "is everybody"),
        (("--from", "10.92.0.1/24"), "10.92.0.0/24?"),
        (("--from", "::/4"), "write them as IPv4"),
        (("--from", "fd92::1", "--toa-kind", "200"), "252 to 254"),
        (("--from", "fd92::1", "--cgroup", "/proc"), "/proc is not a cgroup"),
        (("--from", "fd92::1", "--vip", "10.0.0.1"), "required: --vip, --method"),
    ):
        done = world.realserver("up", "--client-address", "--cgroup", str(world.place), *words)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    seen, true = world.ask(4, PYTHON)
    assert seen == true


def test_check_names_what_is_gone(world: Told) -> None:
    """A program that somebody took off; a cgroup without any; one that was removed."""
    pinned = agent.ROOT / str(world.place.stat().st_ino) / "xlvs_client_peer4"
    link = libbpf.get(str(pinned))
    libbpf.link_detach(link)
    os.close(link)
    try:
        done = world.realserver("check")
        assert done.returncode == 1
        assert f"xlvs_client_peer4 is not attached to cgroup {world.place} any more" in done.stdout
    finally:
        world.up()
    assert world.realserver("check").returncode == 0
    other = world.place / "below"
    other.mkdir()
    done = world.realserver("check", "--client-address", "--cgroup", str(other))
    assert done.returncode == 1
    assert (
        f"programs in cgroup {other} are not told their clients"
        f" (those in cgroup {world.place} are): run" in done.stdout
    )
    assert not world.realserver(
        "up", "--client-address", "--from", BELIEVED, "--cgroup", str(other)
    ).returncode
    other.rmdir()
    assert f"the cgroup {other} is gone" in world.realserver("check").stdout
    assert (
        "is gone" not in (world.realserver("down"), world.up(), world.realserver("check"))[2].stdout
    )


def test_the_root_is_found_by_the_mount_table(world: Told, tmp_path: Path) -> None:
    """In a cgroup namespace, whose root is one of ours; the machine's own is not touched."""
    root, mount = world.place / "root", tmp_path / "cgroups"
    for folder in (root, mount):
        folder.mkdir()
    xlvs = f"{sys.executable} -m xlvs.cli.main realserver"
    script = (
        f"set -e; mount -t cgroup2 none {mount}; {xlvs} up --client-address --from 10.2.0.101;"
        f" {xlvs} check; {xlvs} down; {xlvs} down"
    )
    enter = f"echo $$ > {root}/cgroup.procs; exec unshare --cgroup --mount sh -c '{script}'"
    environment = world.environment | {"XLVS_RUN": str(tmp_path / "run")}
    command = within(world.net.server, "sh", "-c", enter)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    root.rmdir()
    assert done.stderr == ""
    told, fine, _, gone, nothing = done.stdout.splitlines()
    assert told.startswith("programs in all cgroups are told the client's address (TCP) that")
    assert fine == "nothing wrong: client addresses in all cgroups from 10.2.0.101 by option 254"
    assert gone == "programs in all cgroups see the director's address as the client's again"
    assert nothing == "nothing was set up here"
