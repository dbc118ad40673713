# SPDX-License-Identifier: Apache-2.0
"""All that one configuration file says, as frozen values."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from xlvs.model.checker import VirtualService
from xlvs.model.desired import Timeouts
from xlvs.model.notification import Command, Fifo, Mail
from xlvs.model.syncing import SyncDaemon
from xlvs.model.tracking import Bfd, File, Process, Script, TrackGroup
from xlvs.model.vrrp import Group, Instance, StaticNetwork


class LvsFlush(StrEnum):
    """``lvs_flush_on_stop``: what is removed when the daemon stops."""

    NO = ""
    ALL = "all"
    SERVICES = "VS"


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``SSL``: what SSL_GET shows to servers. Paths of PEM files; ``password``: the key's."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    password: str = ""


class Global(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``global_defs``, as far as it is more than a default of other parts. Times in seconds.

    ``syn_cookie_secrets``: what SYN cookies are made of, and perhaps another one whose cookies
    are good as well; none: the director's own.
    ``smtp_alert*``: None: not said. ``rs_init_notifies``: tell of real servers at the start,
    too. ``vrrp_rt_priority`` 0: not real-time.
    """

    router_id: str = ""
    mail: Mail = Mail()
    smtp_alert: bool | None = None
    smtp_alert_checker: bool | None = None
    smtp_alert_vrrp: bool | None = None
    no_email_faults: bool = False
    notify_fifo: Fifo | None = None
    lvs_notify_fifo: Fifo | None = None
    vrrp_notify_fifo: Fifo | None = None
    notify_priority_changes: bool = False
    fifo_states_on_reload: bool = False
    rs_init_notifies: bool = False
    startup_script: Command | None = None
    shutdown_script: Command | None = None
    script_user: str = ""
    script_group: str = ""
    enable_script_security: bool = False
    lvs_flush: bool = False
    lvs_flush_on_stop: LvsFlush = LvsFlush.NO
    timeouts: Timeouts | None = None
    checker_log_all_failures: bool = False
    vrrp_rt_priority: int = 0
    vrrp_no_swap: bool = False
    vrrp_priority: int | None = None
    syn_cookie_secrets: tuple[bytes, ...] = ()


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file. Members of ``groups``, what is tracked and so on are there for certain.

    ``remarks``: what its author should know, each as ``file:line:column: sentence``: words
    that have no effect here, and what is mended as keepalived mends it. ``lists``: of clients,
    their prefixes by name.
    """

    globals: Global = Global()
    services: tuple[VirtualService, ...] = ()
    instances: tuple[Instance, ...] = ()
    groups: tuple[Group, ...] = ()
    static: StaticNetwork = StaticNetwork()
    scripts: tuple[Script, ...] = ()
    files: tuple[File, ...] = ()
    processes: tuple[Process, ...] = ()
    bfds: tuple[Bfd, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()
    tls: Tls | None = None
    sync: SyncDaemon | None = None
    lists: dict[str, tuple[str, ...]] = {}
    remarks: tuple[str, ...] = ()
