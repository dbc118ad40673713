# SPDX-License-Identifier: Apache-2.0
"""All that one configuration file says, as frozen values."""

from __future__ import annotations

import msgspec

from xlvs.model.checker import VirtualService
from xlvs.model.desired import Timeouts
from xlvs.model.notification import Command, Fifo, Mail
from xlvs.model.syncing import SyncDaemon
from xlvs.model.tracking import Bfd, File, Process, Script
from xlvs.model.vrrp import Group, Instance, StaticNetwork


class Global(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``global_defs``, as far as it is more than a default of other parts. Times in seconds."""

    router_id: str = ""
    mail: Mail = Mail()
    smtp_alert: bool | None = None
    smtp_alert_checker: bool | None = None
    smtp_alert_vrrp: bool | None = None
    notify_fifo: Fifo | None = None
    lvs_notify_fifo: Fifo | None = None
    vrrp_notify_fifo: Fifo | None = None
    startup_script: Command | None = None
    shutdown_script: Command | None = None
    script_user: str = ""
    script_group: str = ""
    enable_script_security: bool = False
    lvs_flush: bool = False
    lvs_flush_on_stop: str = ""  # "", "all", "VS"
    timeouts: Timeouts | None = None
    checker_log_all_failures: bool = False
    vrrp_rt_priority: int = 0
    vrrp_no_swap: bool = False
    vrrp_priority: int | None = None


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``remarks``: what was read and has no effect here, as ``file:line:column: sentence``."""

    globals: Global = Global()
    services: tuple[VirtualService, ...] = ()
    instances: tuple[Instance, ...] = ()
    groups: tuple[Group, ...] = ()
    static: StaticNetwork = StaticNetwork()
    scripts: tuple[Script, ...] = ()
    files: tuple[File, ...] = ()
    processes: tuple[Process, ...] = ()
    bfds: tuple[Bfd, ...] = ()
    sync: SyncDaemon | None = None
    remarks: tuple[str, ...] = ()
