# SPDX-License-Identifier: Apache-2.0
"""Put the data path on the interfaces, and back on one that went away and came again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xlvs.datapath.observed import Link
from xlvs.datapath.port import Port
from xlvs.engine.hook import choose
from xlvs.io import ethtool
from xlvs.model.problem import Code, Problem


class Hook(NamedTuple):
    """Where the data path shall run, and why so."""

    ifname: str
    hook: str
    why: str


LOOPBACK = Hook("lo", "tc", "clients on the director itself")
"""Where what the director sends to its own addresses is met."""


def chosen(interfaces: Sequence[str], wanted: str, links: Sequence[Link]) -> list[Hook]:
    """One hook per interface. Raises Problem when an interface is not there."""
    there = {link.name for link in links}
    if LOOPBACK.ifname in interfaces:
        raise Problem(
            Code.INVALID,
            "nothing arrives from outside on lo: for clients on the director itself say "
            "--local-clients",
            "--interfaces",
        )
    for name in interfaces:
        if name not in there:
            raise Problem(
                Code.INVALID,
                f"there is no interface {name} in this network namespace: see ip link",
                "--interfaces",
            )
    return [Hook(name, *choose(ethtool.device(name), wanted)) for name in interfaces]


def attach(port: Port, hooks: Sequence[Hook]) -> None:
    """Run on these and on no other interface. Raises Problem."""
    wanted = {hook.ifname for hook in hooks}
    for hook in hooks:
        port.attach(hook.ifname, hook.hook)
    for attached in port.attachments():
        if attached.ifname not in wanted:
            port.detach(attached.ifname)


def attach_again(port: Port, hooks: Sequence[Hook], links: Sequence[Link]) -> list[Hook]:
    """Attach where it is missing and the interface is there; what was attached."""
    there = {link.name for link in links}
    attached = {(a.ifname, a.hook) for a in port.attachments()}
    missing = [
        hook for hook in hooks if hook.ifname in there and (hook.ifname, hook.hook) not in attached
    ]
    for hook in missing:
        port.attach(hook.ifname, hook.hook)
    return missing
