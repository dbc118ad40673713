# SPDX-License-Identifier: Apache-2.0
"""VRRP instances as wanted (RFC 9568, RFC 3768), in keepalived's words. Times in seconds."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from xlvs.model.notification import Command
from xlvs.model.service import Address, Family, Interface
from xlvs.model.tracking import Tracked


class VirtualAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``virtual_ipaddress``: an address with its prefix; ``device`` "": the instance's."""

    address: Interface
    device: str = ""
    label: str = ""
    scope: str = ""
    broadcast: Address | None = None
    peer: Address | None = None
    home: bool = False
    nodad: bool = True
    preferred_lifetime: int | None = None
    track_group: str = ""
    use_vmac: bool = False
    no_track: bool = False
    """Once removed by somebody it stays away until the next transition to MASTER."""
    no_prefix_route: bool = False
    auto_join: bool = False
    manage_temporary: bool = False


class VirtualRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``virtual_routes``, ``static_routes``: the words of ``ip route add``, checked."""

    words: tuple[str, ...]
    family: Family
    track_group: str = ""
    no_track: bool = False


class VirtualRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``virtual_rules``, ``static_rules``: the words of ``ip rule add``, checked."""

    words: tuple[str, ...]
    family: Family
    track_group: str = ""
    no_track: bool = False


class AuthType(StrEnum):
    """``auth_type`` of VRRPv2, and ours and newer keepalived's HMAC."""

    NONE = ""
    PASS = "pass"  # noqa: S105  # the word for it
    AH = "ah"
    HMAC = "hmac"


class HmacMode(StrEnum):
    """What is done with an advert without a right HMAC."""

    ENFORCE = "enforce"
    PERMISSIVE = "permissive"
    RECEIVE_ONLY = "receive-only"


class Authentication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``authentication`` and ``auth_hmac``.

    ``password``: its first eight bytes count (PASS). ``keys``: key ids (1..255) with keys of
    32..64 bytes; the first one signs (``active_key``). ``window`` (``time_window``): seconds
    that an advert may be old, None: the greater of three advert intervals and five.
    ``monotonic`` (``anti_replay monotonic``): clocks need not agree, order is enough.
    """

    type: AuthType = AuthType.NONE
    password: bytes = b""
    keys: tuple[tuple[int, bytes], ...] = ()
    mode: HmacMode = HmacMode.ENFORCE
    window: float | None = None
    monotonic: bool = False


class Notifications(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``notify_*`` of an instance or a group. ``any`` gets INSTANCE|GROUP, name, state, number."""

    master: Command | None = None
    backup: Command | None = None
    fault: Command | None = None
    stop: Command | None = None
    deleted: Command | None = None
    master_rx_lower_priority: Command | None = None
    any: Command | None = None
    smtp_alert: bool | None = None


class Garp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gratuitous ARP and unsolicited neighbour advertisements, times in seconds.

    ``interval``, ``gna_interval``: between two of them on one interface. ``delay``: until
    the second burst, 0: none. ``refresh``: until each further one, 0: never again.
    """

    delay: float = 5.0
    repeat: int = 5
    refresh: float = 0.0
    refresh_repeat: int = 1
    lower_priority_delay: float = 5.0
    lower_priority_repeat: int = 5
    interval: float = 0.0
    gna_interval: float = 0.0
    down_interval: float = 0.0


class Instance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``vrrp_instance``. ``priority`` 255: address owner. ``unicast_peers``: none: multicast."""

    name: str
    interface: str
    router_id: int
    priority: int = 100
    version: int = 2
    family: Family = Family.INET
    initial_master: bool = False
    advert_interval: float = 1.0
    addresses: tuple[VirtualAddress, ...] = ()
    excluded: tuple[VirtualAddress, ...] = ()
    routes: tuple[VirtualRoute, ...] = ()
    rules: tuple[VirtualRule, ...] = ()
    promote_secondaries: bool = False
    source: Address | None = None
    track_source: bool = True
    multicast_group: Address | None = None
    unicast_peers: tuple[Address, ...] = ()
    unicast_ttl: int | None = None
    unicast_peer_ttls: tuple[tuple[Address, int, int], ...] = ()
    """``min_ttl`` and ``max_ttl`` of peers; who is not here may have any."""
    check_unicast_source: bool = False
    unicast_fault_no_peers: bool = False
    preempt: bool = True
    preempt_delay: float = 0.0
    strict: bool | None = None
    accept: bool = True
    skip_check_adv_addr: bool = False
    higher_priority_send_advert: bool | None = None
    """None: yes, unless ``strict``. Or the other one may never know that there were two masters,
    and who learnt the wrong one's MAC address keeps it (keepalived's default is no)."""
    lower_priority_no_advert: bool = False
    v3_checksum_as_v2: bool | None = None
    """Of VRRPv3 over IPv4. True: RFC 9568's checksum, of the message alone. False: RFC 5798's as
    keepalived reads it, with a pseudo-header. None: that one, until a peer uses the other."""
    authentication: Authentication = Authentication()
    use_vmac: str | None = None
    """Name of the macvlan device, "": vrrp.ROUTER_ID, of IPv6 vrrp6.ROUTER_ID; None: none."""
    vmac_xmit_base: bool = False
    down_timer_adverts: int = 3
    track_interfaces: tuple[Tracked, ...] = ()
    track_scripts: tuple[Tracked, ...] = ()
    track_files: tuple[Tracked, ...] = ()
    track_processes: tuple[Tracked, ...] = ()
    track_bfd: tuple[Tracked, ...] = ()
    track_primary_interface: bool = True
    garp: Garp = Garp()
    notify: Notifications = Notifications()
    start_delay: float = 0.0


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``vrrp_sync_group``: its members are in one state."""

    name: str
    instances: tuple[str, ...]
    track_interfaces: tuple[Tracked, ...] = ()
    track_scripts: tuple[Tracked, ...] = ()
    track_files: tuple[Tracked, ...] = ()
    track_processes: tuple[Tracked, ...] = ()
    track_bfd: tuple[Tracked, ...] = ()
    tracking_has_weight: bool = False
    notify: Notifications = Notifications()


class StaticNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``static_ipaddress``, ``static_routes``, ``static_rules``."""

    addresses: tuple[VirtualAddress, ...] = ()
    routes: tuple[VirtualRoute, ...] = ()
    rules: tuple[VirtualRule, ...] = ()
