# SPDX-License-Identifier: Apache-2.0
"""``notify_*`` and ``smtp_alert`` of instances and groups."""

from __future__ import annotations

from xlvs.config.keepalived.commands import command_keyword
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values, value
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import boolean
from xlvs.model.vrrp import Notifications

_FIELDS = ("master", "backup", "fault", "stop", "deleted", "master_rx_lower_priority", "any")


def _deleted(reading: Reading, node: Node, values: Values) -> None:
    if len(node.words) > 1:
        _NOTIFY_DELETED.read(reading, node, values)
    else:
        reading.findings.remark(
            node.place(), "notify_deleted without a command has no effect: DELETED is always told"
        )


_NOTIFY_DELETED = command_keyword("notify_deleted", "notify_deleted")


def _changes(reading: Reading, node: Node, values: Values) -> None:
    if boolean(node.words, 1) and not reading.globals.get("notify_priority_changes"):
        reading.findings.remark(
            node.place(),
            "changes of priority are told of all or of no instance: "
            "set vrrp_notify_priority_changes in global_defs",
        )
    values["notify_priority_changes"] = True


NOTIFYING = (
    command_keyword("notify_master"),
    command_keyword("notify_backup"),
    command_keyword("notify_fault"),
    command_keyword("notify_stop"),
    Keyword("notify_deleted", _deleted, "[COMMAND [USER [GROUP]]]"),
    command_keyword(
        "notify", "notify_any", "gets INSTANCE or GROUP, name, state and priority as arguments"
    ),
    value("smtp_alert", boolean, "[BOOL]"),
    Keyword(
        "notify_priority_changes", _changes, "[BOOL]", note="only the global setting has an effect"
    ),
)
"""What both have."""

LOWER_PRIORITY = command_keyword("notify_master_rx_lower_pri", "notify_master_rx_lower_priority")


def notifications(reading: Reading, values: Values) -> Notifications:
    """Takes these fields out of a block's values."""
    values.pop("notify_priority_changes", None)
    alert = values.pop("smtp_alert", None)
    if alert is None:
        alert = reading.globals.get("smtp_alert_vrrp", reading.globals.get("smtp_alert"))
    found = {name: values.pop(f"notify_{name}", None) for name in _FIELDS}
    return Notifications(smtp_alert=alert, **found)
