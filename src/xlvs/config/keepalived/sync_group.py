# SPDX-License-Identifier: Apache-2.0
"""``vrrp_sync_group``."""

from __future__ import annotations

from xlvs.config.keepalived.notifying import NOTIFYING, notifications
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values, flag, no_effect, read_block, table
from xlvs.config.keepalived.tracked import TRACKING
from xlvs.config.keepalived.trackers import name_of
from xlvs.config.keepalived.tree import Node
from xlvs.model.vrrp import Group


def _members(reading: Reading, node: Node, values: Values) -> None:
    found: dict[str, None] = dict.fromkeys(values.get("instances", ()))
    for line in node:
        for index, name in enumerate(line.words):
            if name in found:
                reading.findings.remark(line.place(index), f"{name} is in the group already")
                continue
            found[name] = None
            reading.refer(
                "vrrp_instance", name, line.place(index), f"vrrp_sync_group {values['name']}"
            )
    values["instances"] = tuple(found)


_GROUP = table(
    "vrrp_sync_group",
    Keyword("group", _members, "names of instances", block=True),
    *TRACKING,
    NOTIFYING,
    no_effect(
        "global_tracking",
        "deprecated: put track_interface, track_script and track_file into the group",
    ),
    flag("sync_group_tracking_weight", into="tracking_has_weight"),
)


def read_group(reading: Reading, node: Node, _: Values) -> None:
    """``vrrp_sync_group NAME {…}``."""
    name = name_of(node, "the name of a group")
    values: Values = {"name": name}
    read_block(reading, node, _GROUP, values)
    if not reading.once("vrrp_sync_group", node, name):
        return
    if not values.get("instances"):
        raise Wrong(f"vrrp_sync_group {name} has no members: group {{ NAME … }}")
    if len(values["instances"]) == 1:
        reading.findings.remark(node.place(), f"vrrp_sync_group {name} has one member only")
    values["notify"] = notifications(reading, values)
    reading.groups.append(Group(**values))
