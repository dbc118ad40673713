# SPDX-License-Identifier: Apache-2.0
"""The kernel's net.ipv4.vs.* settings: names, defaults, ranges, and which work here.

Defaults and ranges: net/netfilter/ipvs/ip_vs_ctl.c and
Documentation/networking/ipvs-sysctl.rst. Defaults that the kernel computes from
the machine's memory are 0 here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xlvs.model.problem import Code, Problem

PREFIX = "net.ipv4.vs."
_INT_MAX = 2**31 - 1
_INT_MIN = -(2**31)


class Setting(NamedTuple):
    """One setting. ``works``: the data path obeys it today. ``words``: numbers per value."""

    default: tuple[int, ...]
    low: int = 0
    high: int = _INT_MAX
    works: bool = False

    @property
    def words(self) -> int:
        """How many numbers one value has."""
        return len(self.default)


_SWITCH = 1

SETTINGS: dict[str, Setting] = {
    "am_droprate": Setting((10,), _INT_MIN),
    "amemthresh": Setting((1024,), _INT_MIN),
    "backup_only": Setting((0,), 0, _SWITCH),
    "cache_bypass": Setting((0,), 0, _SWITCH),
    "conn_lfactor": Setting((-4,), -8, 8),
    "conn_reuse_mode": Setting((1,), 0, 3, works=True),
    "conntrack": Setting((0,), 0, _SWITCH),
    "drop_entry": Setting((0,), 0, 3),
    "drop_packet": Setting((0,), 0, 3),
    "est_nice": Setting((0,), -20, 19),
    "expire_nodest_conn": Setting((0,), 0, _SWITCH, works=True),
    "expire_quiescent_template": Setting((0,), 0, _SWITCH),
    "ignore_tunneled": Setting((0,), 0, _SWITCH),
    "lblc_expiration": Setting((86400,), 0),
    "lblcr_expiration": Setting((86400,), 0),
    "nat_icmp_send": Setting((0,), 0, _SWITCH),
    "pmtu_disc": Setting((1,), 0, _SWITCH, works=True),
    "run_estimation": Setting((1,), 0, _SWITCH),
    "schedule_icmp": Setting((0,), 0, _SWITCH),
    "secure_tcp": Setting((0,), 0, 3),
    "sloppy_sctp": Setting((0,), 0, _SWITCH, works=True),
    "sloppy_tcp": Setting((0,), 0, _SWITCH, works=True),
    "snat_reroute": Setting((1,), 0, _SWITCH),
    "svc_lfactor": Setting((-3,), -8, 8),
    "sync_persist_mode": Setting((0,), 0, _SWITCH),
    "sync_ports": Setting((1,), 1, 64),
    "sync_qlen_max": Setting((0,), 0),
    "sync_refresh_period": Setting((0,), 0),
    "sync_retries": Setting((0,), 0, 3),
    "sync_sock_size": Setting((0,), 0),
    "sync_threshold": Setting((3, 50), 0),
    "sync_version": Setting((1,), 0, 1),
}


def defaults() -> dict[str, int]:
    """The settings of one number, with the kernel's defaults."""
    return {name: s.default[0] for name, s in SETTINGS.items() if s.words == 1}


def read(assignments: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """``net.ipv4.vs.KEY=VALUE`` each; later ones win. Raises Problem that names the word."""
    found = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace("/", ".")
        key = name.removeprefix(PREFIX)
        setting = SETTINGS.get(key)
        if not equals:
            raise Problem(Code.INVALID, f"--set wants {PREFIX}KEY=VALUE, not {assignment!r}", name)
        if setting is None:
            raise Problem(Code.INVALID, f"there is no setting {name}", name)
        found[key] = _value(name, setting, text)
    return found


def _value(name: str, setting: Setting, text: str) -> tuple[int, ...]:
    try:
        value = tuple(int(word, 0) for word in text.split())
    except ValueError:
        value = ()
    if len(value) != setting.words:
        wanted = "a whole number" if setting.words == 1 else f"{setting.words} whole numbers"
        raise Problem(Code.INVALID, f"{name} wants {wanted}, not {text!r}", name)
    if not all(setting.low <= number <= setting.high for number in value):
        raise Problem(
            Code.OUT_OF_RANGE, f"{name} must be {setting.low} to {setting.high}, not {text}", name
        )
    return value


def warnings(values: dict[str, tuple[int, ...]]) -> list[str]:
    """Settings that were changed and have no effect."""
    return [
        f"{PREFIX}{key} is not in the data path yet"
        for key, value in sorted(values.items())
        if not SETTINGS[key].works and value != SETTINGS[key].default
    ]
