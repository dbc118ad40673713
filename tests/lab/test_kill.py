# SPDX-License-Identifier: Apache-2.0
"""The data path does not need the daemon: killed, stopped, restarted under load."""

from __future__ import annotations

import signal

import pytest
from tests.lab.traffic import ask, service, who

from xlvs.lab import Lab
from xlvs.lab.demo.survival import established, listed
from xlvs.lab.director import Director
from xlvs.lab.load import Load

pytestmark = pytest.mark.alone  # it says how long things take

CONNECTIONS = 16
EACH_ONCE = {"rs1": 1, "rs2": 1, "rs3": 1}


def test_kill_and_adoption_under_load(prepared: Lab, director: Director, hook: str) -> None:
    """Zero failed requests; the same connections, services and counters afterwards."""
    address = service(prepared, "nat", 4, "tcp", (1, 1, 1), scheduler="rr")
    with Load(prepared.client, f"http://{address}/", seconds=12, connections=CONNECTIONS) as load:
        load.wait_until(1)
        before = listed(established(director.ipvsadm("-Lnc").stdout))
        services = director.ipvsadm("-Sn").stdout
        director.end_xlvsd(signal.SIGKILL)
        dead = director.ipvsadm("-Ln", check=False)
        assert dead.returncode == 255
        assert len(dead.stderr.strip().splitlines()) == 1
        load.wait_until(2.5)
        director.start_xlvsd(hook)
        after = listed(established(director.ipvsadm("-Lnc").stdout))
        assert director.ipvsadm("-Sn").stdout == services
    assert load.outcome.failed == 0, load.outcome.text
    assert load.outcome.requests > 1000
    assert len(before) == CONNECTIONS
    assert before == after


def test_counters_go_on(prepared: Lab, director: Director, hook: str) -> None:
    vport = 85
    address = service(prepared, "nat", 4, "tcp", (1, 1, 1), scheduler="rr", vport=vport)
    assert len(ask(prepared, address, "tcp", 3, vport=vport)) == 3
    director.end_xlvsd(signal.SIGKILL)
    assert len(ask(prepared, address, "tcp", 3, vport=vport)) == 3
    director.start_xlvsd(hook)
    assert who(ask(prepared, address, "tcp", 3, vport=vport)) == EACH_ONCE
    listing = director.ipvsadm("-Ln").stdout.splitlines()[-3:]
    # Nine closed connections, three per server: none was forgotten or counted twice.
    assert [row.split()[-2:] for row in listing] == [["0", "3"]] * 3


@pytest.mark.parametrize("method", ["dr", "tun", "fullnat"])
def test_new_connections_without_a_daemon(
    prepared: Lab, director: Director, hook: str, method: str
) -> None:
    """Also schedulers, local ports and next hops work alone; SIGTERM ends nothing else."""
    address = service(prepared, method, 4, "tcp", (1, 1, 1), scheduler="rr")
    assert director.end_xlvsd() == 0
    answers = ask(prepared, address, "tcp", 6)
    assert sorted(who(answers).values()) == [2, 2, 2]
    director.start_xlvsd(hook)
    assert sorted(who(ask(prepared, address, "tcp", 3)).values()) == [1, 1, 1]


def test_another_hook_takes_over_while_traffic_flows(
    prepared: Lab, director: Director, hook: str
) -> None:
    """A restart with another hook keeps the connections."""
    other = "tc" if hook == "xdp" else "xdp"
    vport = 86
    address = service(prepared, "nat", 4, "tcp", (1, 1, 1), scheduler="rr", vport=vport)
    for then in (other, hook):
        assert who(ask(prepared, address, "tcp", 3, vport=vport)) == EACH_ONCE
        director.end_xlvsd()
        director.start_xlvsd(then)
    assert who(ask(prepared, address, "tcp", 3, vport=vport)) == EACH_ONCE
    assert director.ipvsadm("-Lnc").stdout.count(f" {address}:{vport} ") == 9
