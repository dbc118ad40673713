# SPDX-License-Identifier: Apache-2.0
"""Connection sync as wanted: IPVS's daemons, and what goes beyond them."""

from __future__ import annotations

import msgspec

from xlvs.model.service import Address


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another director of ours.

    Sync with it is unicast and authenticated, in bulk at the start. ``key``: 32 to 64
    bytes, known to both.
    """

    address: Address
    port: int = 8849
    key: bytes = b""


class SyncDaemon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``ipvsadm --start-daemon``, ``lvs_sync_daemon``: IPVS's protocol on ``interface``.

    ``interface`` empty: only ``peers``. ``sync_id`` 0..255, 0: all are taken.
    ``max_length``: bytes of a message, 0: IPVS's 1472, or 1452 to a group of IPv6.
    ``group`` None: 224.0.0.81. ``instance``: the VRRP instance whose state says master or
    backup. ``listen`` and ``listen_port``: where peers find this director; None: any address.
    """

    interface: str = ""
    instance: str = ""
    sync_id: int = 0
    max_length: int = 0
    group: Address | None = None
    port: int = 8848
    ttl: int = 1
    master: bool = False
    backup: bool = False
    peers: tuple[Peer, ...] = ()
    listen: Address | None = None
    listen_port: int = 8849
