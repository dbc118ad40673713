# SPDX-License-Identifier: Apache-2.0
"""Which hook, and why."""

from __future__ import annotations

import pytest

from xlvs.engine.hook import NATIVE_XDP, Device, choose


@pytest.mark.parametrize(
    ("device", "hook", "why"),
    [
        (Device("eth0", "veth"), "tc", "loses GSO"),
        (Device("tap0", "tun"), "tc", "loses GSO"),
        (Device("bond0", "bonding"), "tc", "bond"),
        (Device("eth0", "virtio_net", lro=True), "tc", "LRO"),
        (Device("eth0", "virtio_net"), "xdp", "native XDP"),
        (Device("eth0", "mlx5_core"), "xdp", "native XDP"),
        (Device("eth0", "e1000"), "tc", "not known to have native XDP"),
        (Device("x", ""), "tc", "driver unknown"),
    ],
)
def test_auto_chooses_by_driver(device, hook, why):
    chosen, reason = choose(device, "auto")
    assert chosen == hook
    assert why in reason


@pytest.mark.parametrize("wanted", ["xdp", "xdp-generic", "tc"])
def test_what_is_asked_for_is_done(wanted):
    assert choose(Device("eth0", "veth"), wanted) == (wanted, "as asked for")


def test_no_driver_is_in_two_minds():
    assert not {"veth", "tun", "bridge"} & NATIVE_XDP
