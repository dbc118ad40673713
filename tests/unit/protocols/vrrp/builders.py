# SPDX-License-Identifier: Apache-2.0
"""Instances and adverts for the tests of this folder."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from xlvs.model.vrrp import Instance, VirtualAddress
from xlvs.protocols.vrrp.machine import Machine, Received
from xlvs.protocols.vrrp.packet import Advert

OWN = ip_address("10.9.0.2")
LOWER = ip_address("10.9.0.1")
HIGHER = ip_address("10.9.0.3")


def instance(**more):
    wanted = {
        "name": "V1",
        "interface": "eth0",
        "router_id": 10,
        "version": 3,
        "addresses": (VirtualAddress(address=ip_interface("10.9.0.100/32")),),
    }
    return Instance(**wanted | more)


def heard(priority, source=LOWER, interval=1.0, version=3):
    addresses = (ip_address("10.9.0.100"),)
    return Received(Advert(version, 10, priority, interval, addresses), source, OWN)


def started(now=0.0, **more):
    machine = Machine(instance(**more))
    machine.startup(now)
    return machine


def master(now=0.0, **more):
    """A machine that became master at ``now``; what it did for that is forgotten."""
    machine = started(now - 100, **more)
    machine.tick(now)
    machine.take_effects()
    return machine
