# SPDX-License-Identifier: Apache-2.0
"""Every field of a configuration is said by some keyword, and read by some part of xlvs.

Both by its name in the sources: a field that nobody mentions is a promise that is not kept.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from xlvs.model import checker, configuration, notification, syncing, tracking, vrrp

SOURCES = Path(configuration.__file__).parents[1]

NOT_SAID = {
    ("Garp", "down_interval"): "no keyword of keepalived's",
}
"""Fields that no keyword fills, and why."""

NOT_READ = {
    # Filled into each instance and checker by the reader.
    ("Global", "smtp_alert_vrrp"): "in each instance",
    ("Global", "checker_log_all_failures"): "in each checker",
    ("Garp", "down_interval"): "no keyword of keepalived's",
}
"""Fields that only the reader itself uses, and why."""


def fields():
    for module in (configuration, checker, notification, syncing, tracking, vrrp):
        for name, found in vars(module).items():
            is_struct = isinstance(found, type) and issubclass(found, msgspec.Struct)
            if is_struct and found.__module__ == module.__name__:
                yield from ((name, field) for field in found.__struct_fields__)


def text(*, of_config):
    return "\n".join(
        path.read_text()
        for path in sorted(SOURCES.rglob("*.py"))
        if (SOURCES / "config" in path.parents) is of_config and "model" not in path.parts
    )


def test_every_field_is_said_by_a_keyword():
    sources = text(of_config=True)
    missing = {
        (struct, field)
        for struct, field in fields()
        if not re.search(rf'["\']{field}["\']|\b{field}=', sources)
    }
    assert missing == set(NOT_SAID)


def test_every_field_is_read_by_some_part():
    sources = text(of_config=False)
    unread = {
        (struct, field)
        for struct, field in fields()
        if not re.search(rf"\.{field}\b", sources) and (struct, field) not in NOT_READ
    }
    assert not unread
