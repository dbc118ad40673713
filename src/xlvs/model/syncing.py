# SPDX-License-Identifier: Apache-2.0
"""Connection sync as wanted: IPVS's daemons, and what goes beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

import msgspec

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address

GROUP = IPv4Address("224.0.0.81")
"""IPVS's, for want of another."""

ETHERNET_MTU = 1500
BACKUP_LENGTH_MIN = 1024
"""Bytes: a backup takes messages of that length, however little was asked for."""

_IP_MAX = 65535
_UDP, _IP4, _IP6 = 8, 20, 40
_NAME_MAX = 15
_NUMBERS = {"sync_id": (0, 255), "max_length": (0, _IP_MAX), "port": (1, 65535), "ttl": (1, 255)}


class SyncRole(StrEnum):
    """What IPVS's protocol knows: who sends, and who takes. A director may be both."""

    MASTER = "master"
    BACKUP = "backup"


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another director of ours.

    Sync with it is unicast and authenticated, in bulk at the start. ``key``: 32 to 64
    bytes, known to both.
    """

    address: Address
    port: int = 8849
    key: bytes = b""


class SyncChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a daemon of IPVS's protocol speaks or listens: multicast on ``interface``.

    ``sync_id`` 0..255, 0: all are taken. ``max_length``: bytes of a message, 0: what an
    Ethernet frame holds (see ``message_length``). ``group`` None: 224.0.0.81.
    """

    interface: str = ""
    sync_id: int = 0
    max_length: int = 0
    group: Address | None = None
    port: int = 8848
    ttl: int = 1


class SyncDaemon(SyncChannel, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a configuration file asks for: ``lvs_sync_daemon`` and ``connection_sync``.

    ``interface`` empty: only ``peers``. ``instance``: the VRRP instance whose state says
    master or backup. ``listen`` and ``listen_port``: where peers find this director; None:
    any address.
    """

    instance: str = ""
    master: bool = False
    backup: bool = False
    peers: tuple[Peer, ...] = ()
    listen: Address | None = None
    listen_port: int = 8849


Roles = Mapping[SyncRole, SyncChannel]
"""The daemons of IPVS's protocol that are to run, one for each role at most."""


def message_length(channel: SyncChannel, role: SyncRole, mtu: int = ETHERNET_MTU) -> int:
    """Bytes of the longest message, as IPVS has it: a backup goes by its interface's MTU."""
    overhead = _UDP + (_IP6 if isinstance(channel.group, IPv6Address) else _IP4)
    backup = role is SyncRole.BACKUP
    if channel.max_length:
        least = BACKUP_LENGTH_MIN if backup else 1
        return max(least, min(channel.max_length, _IP_MAX - overhead))
    return (max(ETHERNET_MTU, min(mtu, _IP_MAX)) if backup else ETHERNET_MTU) - overhead


def started(roles: Roles, role: SyncRole, channel: SyncChannel, mtu: int | None) -> Roles:
    """With one more daemon; ``mtu`` is its interface's, None: there is no such interface.

    Raises Problem.
    """
    _check(channel)
    if mtu is None:
        raise Problem(
            Code.NO_SUCH_DEVICE, f"there is no interface {channel.interface}", "/channel/interface"
        )
    if role in roles:
        raise Problem(Code.SYNC_RUNS, f"the {role} runs already: stop it first", "/role")
    length = message_length(channel, role, mtu)
    return {**roles, role: msgspec.structs.replace(channel, max_length=length)}


def stopped(roles: Roles, role: SyncRole) -> Roles:
    """Without that daemon. Raises Problem if there is none."""
    if role not in roles:
        raise Problem(Code.NO_SYNC_RUNS, f"no {role} runs", "/role")
    return {each: channel for each, channel in roles.items() if each is not role}


def roles_of(daemon: SyncDaemon | None, *, is_master: bool) -> Roles:
    """What a file's daemon is now; ``is_master``: its VRRP instance is, if it has one."""
    if daemon is None or not daemon.interface:
        return {}
    if daemon.instance:
        return {SyncRole.MASTER if is_master else SyncRole.BACKUP: daemon}
    wanted = {SyncRole.MASTER: daemon.master, SyncRole.BACKUP: daemon.backup}
    return {role: daemon for role, on in wanted.items() if on}


def _check(channel: SyncChannel) -> None:
    if not 0 < len(channel.interface.encode()) <= _NAME_MAX:
        raise Problem(
            Code.NO_SUCH_DEVICE,
            f"an interface's name has 1 to {_NAME_MAX} bytes",
            "/channel/interface",
        )
    if channel.group is not None and not channel.group.is_multicast:
        raise Problem(Code.INVALID, f"{channel.group} is no multicast address", "/channel/group")
    for name, (least, most) in _NUMBERS.items():
        if not least <= getattr(channel, name) <= most:
            raise Problem(Code.INVALID, f"{name} must be {least} to {most}", f"/channel/{name}")
