# SPDX-License-Identifier: Apache-2.0
"""The daemon's life: start, stop, kill, adopt, repair, down. On real packets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests import tc_programs
from tests.lab.small import REAL, SERVICE, Small, destination, eventually

from xlvs.datapath import pins

pytestmark = pytest.mark.alone  # it says how long things take


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path) as world:
        yield world


def pinned(world):
    found = pins.find(pins.folder(world.instance))
    return found is not None and found.exists()


def on_ingress(world):
    return subprocess.run(
        world.within("d", sys.executable, tc_programs.__file__, "eth0", "ingress"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_it_says_when_it_is_ready(small, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(10)
        small.environment["NOTIFY_SOCKET"] = str(path)
        said = small.start(hook="auto")
        assert manager.recv(64) == b"READY=1"
        assert re.search(r"eth0: hook tc \(driver veth: .*GSO", said)
        assert "xlvsd: ready: instance" in said
        small.stop(signal.SIGTERM)
        assert manager.recv(64) == b"STOPPING=1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_data_path_outlives_the_daemon(small, number):
    small.start()
    small.serve_both((3, 1))
    assert small.ask(2) == [REAL[1], REAL[0]]
    before = small.service()
    connections = small.api("GET", "/v1/connections")
    status = small.stop(number)
    assert status == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    assert small.ask(3) == [REAL[1], REAL[0], REAL[1]]
    said = small.start()
    assert "adopted the running data path: 1 services, 5 connections" in said
    assert small.ask(1) == [REAL[0]]  # rr goes on where it was
    after = small.service()
    assert after["service"] == before["service"]
    assert [d["destination"] for d in after["destinations"]] == [
        d["destination"] for d in before["destinations"]
    ]
    assert after["live"]["connections"] == before["live"]["connections"] + 4
    ports = {each["client_port"] for each in small.api("GET", "/v1/connections")}
    assert ports >= {each["client_port"] for each in connections}
    assert len(ports) == 6


def test_no_request_is_lost_while_it_is_killed_and_started(small):
    small.start()
    small.serve_both()
    load = subprocess.Popen(
        small.within(
            "c", "sh", "-c", "for i in $(seq 150); do curl -s -m 2 http://10.0.0.1/; echo; done"
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(2):
        small.stop(signal.SIGKILL)
        small.start()
    answers = load.communicate()[0].split()
    assert len(answers) == 150
    assert answers.count(REAL[0]) == answers.count(REAL[1]) == 75


def test_what_was_asked_for_last_is_repaired_after_a_kill(small):
    small.start()
    small.serve_both()
    small.stop(signal.SIGKILL)
    # Killed after the file was written and before the maps were.
    state = small.run_folder / "run" / small.instance / "desired.json"
    lines = state.read_text().splitlines()
    change = json.loads(lines[-1])
    change["services"][0]["destinations"][0]["weight"] = 7
    del change["services"][0]["destinations"][1]
    state.write_text("\n".join([*lines, json.dumps(change), '{"cut off']))
    said = small.start()
    assert "repaired: Commit" in said
    assert [d["destination"]["weight"] for d in small.service()["destinations"]] == [7]
    assert set(small.ask(3)) == {REAL[1]}


@pytest.mark.parametrize("content", [None, "{half"])
def test_without_its_file_it_reads_the_services_off_the_maps(small, content):
    small.start()
    small.serve_both((5, 2))
    small.stop(signal.SIGKILL)
    state = small.run_folder / "run" / small.instance / "desired.json"
    state.unlink()
    if content is not None:
        state.write_text(content)
    said = small.start()
    assert "services were read off the running data path" in said
    found = small.service()
    assert found["service"]["scheduler"] == "rr"
    shown = [
        (d["destination"]["key"]["address"], d["destination"]["weight"])
        for d in found["destinations"]
    ]
    assert shown == [(REAL[1], 2), (REAL[0], 5)]
    assert set(small.ask(2)) == set(REAL)


def test_down_leaves_nothing(small):
    small.start()
    small.serve_both()
    assert pinned(small)
    assert "xlvs_tc_ingress" in on_ingress(small)
    done = small.down()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert small.daemon.wait(5) == 0
    small.daemon = None
    assert not pinned(small)
    assert on_ingress(small).strip() == ""
    assert "clsact" not in small.on("d", "-d", "link", "show")
    assert list((small.run_folder / "run").iterdir()) == []
    assert small.down().returncode == 0


def test_down_after_a_kill_from_another_namespace(small):
    small.start()
    small.stop(signal.SIGKILL)
    assert "xlvs_tc_ingress" in on_ingress(small)
    assert small.down().returncode == 0
    assert on_ingress(small).strip() == ""
    assert not pinned(small)


def test_one_daemon_per_instance(small):
    small.start()
    status, words = small.refused()
    assert status == 1
    assert words == (
        f"xlvsd: another xlvsd runs this instance (process {small.daemon.pid}): "
        "end it, or choose another --instance\n"
    )
    assert small.daemon.poll() is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--table-size", "none"], "--table-size: wants a number from 1 to"),
        (["--set", "net.ipv4.vs.nonsense=1"], "there is no setting net.ipv4.vs.nonsense"),
        (["--local-addresses", "1.2.3"], "wants IP addresses between commas"),
        (["--hook", "nonsense"], "invalid choice: 'nonsense'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--instance", "a/b"], "an instance's name is 1 to 32 letters"),
    ],
)
def test_wrong_options_are_one_sentence(small, options, words):
    status, said = small.refused(*options)
    assert status == 2
    assert said.startswith("xlvsd: ")
    assert words in said
    assert said.count("\n") == 1


def test_interfaces_are_needed_and_must_be_there(small):
    status, said = small.refused(interfaces="")
    assert status == 2
    assert "--interfaces" in said
    status, said = small.refused(interfaces="eth0,eth7")
    assert status == 1
    assert said == ("xlvsd: there is no interface eth7 in this network namespace: see ip link\n")


def test_lo_is_no_interface_of_clients_elsewhere(small):
    status, said = small.refused(interfaces="eth0,lo")
    assert status == 1
    assert "--local-clients" in said
    assert said.count("\n") == 1


def test_without_privilege_it_says_what_it_needs(small):
    command = small.xlvsd()
    at = command.index("exec") + 2
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    done = subprocess.run(
        [*command[:at], *bare, *command[at:]],
        capture_output=True,
        text=True,
        env=small.environment,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "xlvsd: loading the data path needs root (CAP_BPF and CAP_NET_ADMIN): run it as root\n"
    )


def test_a_setting_without_effect_is_told(small):
    said = small.start("--set", "net.ipv4.vs.conntrack=1", "net.ipv4.vs.sloppy_tcp=1")
    assert "net.ipv4.vs.conntrack has no effect: " in said
    assert "sloppy_tcp" not in said
    assert small.api("GET", "/v1/status")["settings"]["sloppy_tcp"] == 1


def test_next_hops_are_known_at_once_and_followed(small):
    small.start()
    small.serve_both()
    assert all("resolved via eth1" in d["next_hop"] for d in small.service()["destinations"])
    # Another machine takes the address over.
    small.on("r", "link", "set", "w1", "address", "02:00:00:00:99:99")
    small.on("r", "neigh", "flush", "all")
    small.on("d", "neigh", "flush", "all")
    eventually(lambda: all("99:99" in d["next_hop"] for d in small.service()["destinations"]), 10)
    assert "" not in small.ask(4)
    # A dead one is told, and welcomed back.
    small.on("r", "addr", "del", f"{REAL[0]}/24", "dev", "w1")
    small.on("d", "neigh", "flush", "all")
    dead = f"unresolved: no answer from {REAL[0]} on eth1"
    eventually(lambda: dead in [d["next_hop"] for d in small.service()["destinations"]])
    assert any(dead in problem for problem in small.api("GET", "/v1/status")["problems"])
    small.on("r", "addr", "add", f"{REAL[0]}/24", "dev", "w1")
    eventually(lambda: dead not in [d["next_hop"] for d in small.service()["destinations"]])


def test_an_interface_that_comes_back_is_attached_again(small):
    small.start()
    small.serve_both()
    small.on("d", "link", "del", "eth0")
    eventually(lambda: not all(i["attached"] for i in small.api("GET", "/v1/status")["interfaces"]))
    small.cable("c", "w0", "eth0")
    small.on("c", "addr", "add", "192.168.100.254/24", "dev", "w0")
    small.on("c", "route", "add", "default", "via", "192.168.100.1")
    small.on("d", "addr", "add", "192.168.100.1/24", "dev", "eth0")
    eventually(lambda: all(i["attached"] for i in small.api("GET", "/v1/status")["interfaces"]))
    assert small.ask(2) == [REAL[1], REAL[0]]


def test_zeroed_counters_stay_zero_over_a_restart(small):
    small.start()
    small.serve_both()
    small.ask(2)
    small.edit({"op": "counters.zero"})
    assert small.service()["live"]["connections"] == 0
    small.stop(signal.SIGKILL)
    small.start()
    small.ask(1)
    assert small.service()["live"]["connections"] == 1


def test_a_server_that_is_removed_and_comes_back_has_its_connections(small):
    small.start()
    small.serve_both()
    small.ask(2)
    key = {"address": REAL[0], "port": 80}
    small.edit({"op": "destination.delete", "service": SERVICE, "destination": key})
    small.stop(signal.SIGKILL)
    small.start()
    small.edit(destination(REAL[0]))
    first = small.service()["destinations"][0]
    assert first["destination"]["key"] == key
    assert first["inactive"] == 1
    assert first["live"]["connections"] == 1


def test_local_addresses_change_under_traffic_and_over_a_restart(small):
    for n in (100, 101, 102):
        small.on("d", "addr", "add", f"192.168.200.{n}/32", "dev", "eth1")
    small.start("--local-addresses", "192.168.200.101")
    small.serve_both()
    small.edit(*(destination(address, op="destination.edit", method="fullnat") for address in REAL))
    assert set(small.ask(4)) == set(REAL)
    added = {"op": "local_address.add", "service": SERVICE, "address": "192.168.200.100"}
    small.edit(added)
    assert "" not in small.ask(4)
    small.edit({"op": "local_address.delete", "service": SERVICE, "address": "192.168.200.100"})
    assert "" not in small.ask(4)
    small.stop(signal.SIGKILL)
    assert "" not in small.ask(2)
    small.start("--local-addresses", "192.168.200.101,192.168.200.102")
    assert "" not in small.ask(4)
    connections = small.api("GET", "/v1/connections")
    assert len(connections) == 18
    ends = [(c["local"], c["local_port"], c["destination"]) for c in connections]
    assert len(set(ends)) == len(ends)
    assert {local for local, _, _ in ends} >= {"192.168.200.100", "192.168.200.101"}
    used = small.api("GET", "/v1/status")["local_ports"]
    assert {each["local"] for each in used if not each["retired"]} == {
        "192.168.200.101",
        "192.168.200.102",
    }
    assert {each["local"] for each in used if each["retired"]} == {"192.168.200.100"}


def test_a_director_that_does_not_forward_is_told(small):
    small.start()
    small.serve_both()
    assert small.api("GET", "/v1/status")["problems"] == []
    command = small.within("d", "sysctl", "-qw", "net.ipv4.ip_forward=0")
    subprocess.run(command, check=True)
    problems = small.api("GET", "/v1/status")["problems"]
    assert len(problems) == 2
    assert problems[0].startswith("eth0 does not forward IPv4")


def test_the_socket_is_roots(small):
    small.start()
    path = Path(small.environment["XLVS_RUN"]) / f"{small.instance}.sock"
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.stat().st_uid == os.getuid()
