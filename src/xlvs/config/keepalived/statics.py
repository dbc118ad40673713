# SPDX-License-Identifier: Apache-2.0
"""``static_ipaddress|routes|rules``, ``garp_group`` and what is about interfaces."""

from __future__ import annotations

import msgspec

from xlvs.config.keepalived.addresses import read_addresses
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.routes import read_routes, read_rules
from xlvs.config.keepalived.table import Keyword, Values, read_block, table, value
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import interface_name, timer


def read_static_addresses(reading: Reading, node: Node, _: Values) -> None:
    """``static_ipaddress {…}``; without ``dev``: on the default interface."""
    default = reading.globals.get("default_interface", "eth0")
    found = [
        each if each.device else msgspec.structs.replace(each, device=default)
        for each in read_addresses(reading, node, static=True)
    ]
    reading.static = msgspec.structs.replace(
        reading.static, addresses=(*reading.static.addresses, *found)
    )


def read_static_routes(reading: Reading, node: Node, _: Values) -> None:
    """``static_routes {…}``."""
    found = read_routes(reading, node, static=True)
    reading.static = msgspec.structs.replace(
        reading.static, routes=(*reading.static.routes, *found)
    )


def read_static_rules(reading: Reading, node: Node, _: Values) -> None:
    """``static_rules {…}``."""
    found = read_rules(reading, node, static=True)
    reading.static = msgspec.structs.replace(reading.static, rules=(*reading.static.rules, *found))


def _interfaces(_reading: Reading, node: Node, values: Values) -> None:
    values["interfaces"] = [
        interface_name(line.words, index) for line in node for index in range(len(line.words))
    ]


_GARP_GROUP = table(
    "garp_group",
    value("garp_interval", timer(), "seconds"),
    value("gna_interval", timer(), "seconds"),
    value("interface", interface_name, "INTERFACE"),
    Keyword("interfaces", _interfaces, "one interface", block=True),
)


def read_garp_group(reading: Reading, node: Node, _: Values) -> None:
    """``garp_group {…}``."""
    values = read_block(reading, node, _GARP_GROUP, {})
    names = values.pop("interfaces", [])
    if "interface" in values:
        names = [*names, values.pop("interface")]
    if not names:
        raise Wrong("garp_group wants an interface")
    if len(names) > 1:
        raise Wrong(
            "keyword 'interfaces' is not supported with more than one: the intervals are counted "
            "for each interface on its own"
        )
    if names[0] in reading.garp_groups:
        raise Wrong(f"there is another garp_group of {names[0]}")
    reading.garp_groups[names[0]] = values
