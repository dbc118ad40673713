# SPDX-License-Identifier: Apache-2.0
"""Which hook fits an interface, and why, in words."""

from __future__ import annotations

from typing import NamedTuple

CHOICES = ("auto", "xdp", "xdp-generic", "tc")

# Drivers whose native XDP can also send and redirect (drivers/net in Linux 6.1;
# the kernel tells features itself only from 6.3 on).
NATIVE_XDP = frozenset(
    {
        "bnxt_en", "dpaa2-eth", "ena", "enetc", "fsl_dpaa2_eth", "fsl_enetc", "gve", "i40e", "ice",
        "igb", "igc", "ixgbe", "ixgbevf", "mana", "mlx4_en", "mlx5_core", "mvneta", "mvpp2", "nfp",
        "qede", "sfc", "st_gmac", "stmmac", "thunder-nicvf", "ti_cpsw", "tsnep", "virtio_net",
    }
)  # fmt: skip

_VIRTUAL = {
    "veth": "XDP on veth loses GSO, and a redirect needs XDP or GRO on the peer too",
    "tun": "XDP on tun and tap loses GSO",
    "bridge": "a bridge has no XDP of its own",
    "bonding": "XDP on a bond cannot redirect to other devices with every mode",
    "team": "a team device has no XDP of its own",
    "vlan": "a VLAN device has no XDP of its own: its parent has",
    "macvlan": "a macvlan device has no XDP of its own",
    "ipvlan": "an ipvlan device has no XDP of its own",
    "hv_netvsc": "XDP on netvsc does not see the packets of its virtual function",
    "xen-netfront": "XDP on xen-netfront costs a copy of each packet",
}


class Device(NamedTuple):
    """What decides. ``driver`` as ethtool -i says, ``lro``: packets are joined on receipt."""

    name: str
    driver: str
    lro: bool = False


def choose(device: Device, wanted: str) -> tuple[str, str]:
    """The hook and the reason. ``wanted`` is one of CHOICES."""
    if wanted != "auto":
        return wanted, "as asked for"
    driver = device.driver or "unknown"
    if driver in _VIRTUAL:
        return "tc", f"driver {driver}: {_VIRTUAL[driver]}"
    if device.lro:
        return "tc", f"driver {driver} joins packets on receipt (LRO), which XDP cannot take"
    if driver in NATIVE_XDP:
        return "xdp", f"driver {driver} has native XDP"
    return "tc", f"driver {driver} is not known to have native XDP"
