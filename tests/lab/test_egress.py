# SPDX-License-Identifier: Apache-2.0
"""Real servers on the director itself: their answers need a program on egress, nobody else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from tests import tc_programs
from tests.lab.small import REAL, SERVICE, Small, destination, eventually

from xlvs.datapath import libbpf, pins

HOOKS = ["tc", "xdp"]
HERE = "192.168.200.1"
"""An address of the director's."""


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path) as world:
        for host, device in (("c", "w0"), ("r", "w1")):
            # What XDP wants of veth: see docs/how-to/hooks-and-nics.md.
            command = world.within(host, "ethtool", "-K", device, "tx", "off", "gro", "on")
            subprocess.run(command, check=True, capture_output=True)
        yield world


def tc(world, *words):
    command = world.within("d", "tc", *words)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def on_egress(world, name):
    command = world.within("d", sys.executable, tc_programs.__file__, name, "egress")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def take_off(world, name):
    """As somebody else would: the link, or the filter of a kernel without tcx."""
    pinned = pins.find(pins.folder(world.instance)) / "links" / f"{name}-egress"
    if pinned.exists():
        link = libbpf.get(str(pinned))
        libbpf.link_detach(link)
        os.close(link)
    else:
        tc(world, "filter", "del", "dev", name, "egress")


def egress(world):
    """Which interfaces have our program on egress."""
    return {name for name in ("eth0", "eth1") if "xlvs_tc_egress" in on_egress(world, name)}


def told(world):
    """What the status says of it."""
    interfaces = world.api("GET", "/v1/status")["interfaces"]
    return {each["name"] for each in interfaces if each["egress"]}


def remove(address):
    key = {"address": address, "port": 80}
    return {"op": "destination.delete", "service": SERVICE, "destination": key}


@pytest.mark.parametrize("hook", HOOKS)
def test_only_a_server_on_the_director_brings_it(small, hook):
    small.listen("d", HERE)
    small.start(hook=hook)
    small.serve_both()
    assert set(small.ask(2)) == set(REAL)
    assert egress(small) == told(small) == set()
    if hook == "xdp":
        assert "clsact" not in tc(small, "qdisc", "show")
    small.edit(destination(HERE), *map(remove, REAL))
    assert small.ask(2) == [HERE] * 2
    assert egress(small) == told(small) == {"eth0", "eth1"}
    assert "programs on egress attached" in small.said()
    # Removed, but its connections are still known.
    small.edit(remove(HERE))
    small.stop(signal.SIGKILL)
    assert egress(small) == {"eth0", "eth1"}
    assert "repaired" not in small.start(hook=hook)
    assert egress(small) == {"eth0", "eth1"}
    small.edit(destination(HERE))
    assert small.ask(2) == [HERE] * 2
    assert small.down().returncode == 0
    small.daemon.wait(5)
    small.daemon = None
    assert egress(small) == set()
    assert "clsact" not in tc(small, "qdisc", "show")


@pytest.mark.parametrize("hook", HOOKS)
def test_an_address_that_comes_to_the_director_and_goes(small, hook):
    address = "192.168.77.7"
    small.start(hook=hook)
    small.edit(
        {"op": "service.add", "service": {"key": SERVICE, "scheduler": "rr"}},
        destination(address),
    )
    assert egress(small) == set()
    small.on("d", "addr", "add", f"{address}/32", "dev", "lo")
    small.listen("d", address)
    eventually(lambda: egress(small) == {"eth0", "eth1"})
    assert small.ask() == [address]
    small.on("d", "addr", "del", f"{address}/32", "dev", "lo")
    eventually(lambda: egress(small) == told(small) == set())
    assert "programs on egress detached" in small.said()


@pytest.mark.parametrize("hook", HOOKS)
def test_an_interface_that_comes_back_has_it_too(small, hook):
    small.listen("d", "10.0.0.1")
    small.start(hook=hook)
    small.edit(
        {"op": "service.add", "service": {"key": {**SERVICE, "port": 81}, "scheduler": "rr"}},
        {**destination("10.0.0.1"), "service": {**SERVICE, "port": 81}},
    )
    assert egress(small) == {"eth0", "eth1"}
    small.on("d", "link", "del", "eth1")
    eventually(lambda: told(small) == {"eth0"})
    small.cable("r", "w1", "eth1")
    eventually(lambda: egress(small) == told(small) == {"eth0", "eth1"})


@pytest.mark.parametrize("hook", HOOKS)
def test_a_program_that_somebody_takes_off_is_told(small, hook):
    small.listen("d", HERE)
    small.start(hook=hook)
    small.serve_both((0, 0))
    small.edit(destination(HERE))
    take_off(small, "eth0")
    assert small.ask() == [""]
    (problem,) = small.api("GET", "/v1/status")["problems"]
    assert problem.startswith("eth0: answers of real servers on the director itself leave unseen")
    small.stop(signal.SIGTERM)
    small.start(hook=hook)
    assert small.api("GET", "/v1/status")["problems"] == []
    assert egress(small) == {"eth0", "eth1"}
    assert small.ask() == [HERE]


@pytest.mark.parametrize("hook", HOOKS)
def test_with_syn_proxy(small, hook):
    """The acknowledgement that the director makes is for its own stack then."""
    small.listen("d", HERE)
    small.start(hook=hook)
    service = {"key": SERVICE, "scheduler": "rr", "syn_proxy": {"mode": "on"}}
    small.edit({"op": "service.add", "service": service}, destination(HERE))
    assert small.ask(3) == [HERE] * 3
    assert small.api("GET", "/v1/status")["reasons"]["reply_syn_cookie"]["packets"] >= 3
