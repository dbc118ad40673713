# SPDX-License-Identifier: Apache-2.0
"""``xlvs mark`` and a mark service, from the command line to real connections."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.lab.small import REAL, Small

SERVICE = {"protocol": "fwm", "fwmark": 7}
LATER = 100
"""Rules that are exchanged while requests are on their way."""


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path) as world:
        yield world


def mark(small, *words, text=None):
    """``xlvs mark``; its status and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "xlvs.cli.main", "--instance", small.instance, "mark", *words],
        input=text,
        capture_output=True,
        text=True,
        env=small.environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def asked(small, address, port=80):
    """Who answered the client."""
    done = subprocess.run(
        small.within("c", "curl", "-s", "-m", "2", f"http://{address}:{port}/"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def serve(small):
    destinations = [
        {
            "op": "destination.add",
            "service": SERVICE,
            "destination": {"key": {"address": each, "port": 80}, "method": "nat", "weight": 1},
        }
        for each in REAL
    ]
    small.edit({"op": "service.add", "service": {"key": SERVICE, "scheduler": "rr"}}, *destinations)


def problems(small):
    return [each for each in small.api("GET", "/v1/status")["problems"] if "mark" in each]


@pytest.mark.parametrize("hook", ["tc", "xdp-generic"])
def test_a_network_and_several_ports_are_one_service(small, hook):
    small.start(hook=hook)
    serve(small)
    assert problems(small)
    assert asked(small, "10.77.1.1") == ""
    assert mark(
        small, "add", "7", "--to", "10.77.0.0/16", "--protocol", "tcp", "--ports", "80,8000-8999"
    ) == (0, "")
    assert problems(small) == []
    answers = [asked(small, "10.77.1.1"), asked(small, "10.77.200.9", 8080)]
    assert sorted(answers) == sorted(REAL), "one service, whatever address and port"
    assert asked(small, "10.77.1.1", 81) == ""
    assert mark(small, "delete", "1") == (0, "")
    assert asked(small, "10.77.1.1") == ""


def test_rules_outlive_the_daemon_and_clear(small):
    small.start()
    serve(small)
    mark(small, "add", "7", "--to", "10.77.0.0/16")
    small.stop(signal.SIGKILL)
    assert asked(small, "10.77.1.1") in REAL
    assert "repaired" not in small.start()
    small.edit({"op": "clear"})
    serve(small)
    assert asked(small, "10.77.1.1") in REAL


def test_no_request_is_lost_while_rules_are_exchanged(small):
    small.start()
    serve(small)
    mark(small, "add", "7", "--to", "10.77.0.0/16")
    load = subprocess.Popen(
        small.within(
            "c", "sh", "-c", "for i in $(seq 200); do curl -s -m 2 http://10.77.1.1/; echo; done"
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    rule = {"mark": 7, "to": "10.77.0.0/16"}
    other = {"mark": 7, "to": "10.77.1.1/32", "protocol": 6, "ports": [[80, 80]]}
    for i in range(LATER):
        noise = [{"mark": 9, "to": f"10.78.{each}.0/24"} for each in range(i)]
        rules = [*noise, other if i % 2 else rule]
        small.edit({"op": "mark.clear"}, *({"op": "mark.add", "rule": each} for each in rules))
    answers = load.communicate()[0].split()
    assert len(answers) == 200
    assert answers.count(REAL[0]) == answers.count(REAL[1]) == 100


def test_what_iptables_saved_is_taken_over(small):
    small.start()
    serve(small)
    within = small.within("d", "iptables", "-t", "mangle", "-A", "PREROUTING")
    for line in (
        "-d 10.77.0.0/16 -p tcp -m multiport --dports 80,8000:8999 -j MARK --set-mark 7",
        "-d 10.77.9.0/24 -j MARK --set-mark 8",
    ):
        subprocess.run([*within, *line.split()], check=True)
    dump = subprocess.run(
        small.within("d", "iptables-save"), capture_output=True, text=True, check=True
    ).stdout
    assert asked(small, "10.77.1.1") == "", "netfilter's own marks come too late"
    assert mark(small, "import", "-", text=dump) == (0, "2 rules added, 0 skipped\n")
    assert asked(small, "10.77.1.1", 8123) in REAL
    assert asked(small, "10.77.9.1") == ""
    refused = dump.replace("-d 10.77.9.0/24", "-i eth0")
    status, said = mark(small, "import", "-", "--replace", text=refused)
    assert status == 1
    assert "-i: rules here do not ask for interfaces" in said
    assert asked(small, "10.77.1.1") in REAL
