# SPDX-License-Identifier: Apache-2.0
"""The whole way: a file to a ``Configuration``, or all that is wrong with it."""

from __future__ import annotations

import gc

from xlvs.config.keepalived.client_lists import read_client_list
from xlvs.config.keepalived.endpoints import read_local_addresses, read_server_group
from xlvs.config.keepalived.global_defs import OUTSIDE, global_values, read_globals
from xlvs.config.keepalived.instance import read_instance
from xlvs.config.keepalived.places import Findings, Wrong
from xlvs.config.keepalived.reader import Reader, Surroundings
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.services import finish_services
from xlvs.config.keepalived.statics import (
    read_garp_group,
    read_static_addresses,
    read_static_routes,
    read_static_rules,
)
from xlvs.config.keepalived.sync_daemon import read_sync, sync_daemon
from xlvs.config.keepalived.sync_group import read_group
from xlvs.config.keepalived.table import (
    Keyword,
    Table,
    Values,
    also,
    no_effect,
    read_block,
    refused,
    secret_value,
    table,
    value,
)
from xlvs.config.keepalived.trackers import (
    read_bfd,
    read_file,
    read_process,
    read_script,
    read_track_group,
)
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.validation import validate
from xlvs.config.keepalived.values import text
from xlvs.config.keepalived.virtual_server import read_virtual_server
from xlvs.model.configuration import Configuration, Tls

_TLS = table(
    "SSL",
    secret_value("password", text("a password"), "PASSWORD"),
    value("ca", text("the path of a file"), "PATH"),
    value("certificate", text("the path of a file"), "PATH"),
    value("key", text("the path of a file"), "PATH"),
)


def _tls(reading: Reading, node: Node, _: Values) -> None:
    reading.tls = Tls(**read_block(reading, node, _TLS, {}))


TOP = table(
    "the file (outside of blocks)",
    Keyword("global_defs", read_globals, block=True),
    OUTSIDE,
    Keyword("static_ipaddress", read_static_addresses, "addresses, per line", block=True),
    Keyword("static_routes", read_static_routes, "as `ip route add`, per line", block=True),
    Keyword("static_rules", read_static_rules, "as `ip rule add`, per line", block=True),
    Keyword("track_group", read_track_group, "NAME", block=True),
    no_effect("linkbeat_interfaces", "the kernel tells of links", block=True),
    refused("interface_up_down_delays", "give instances a larger advert_int"),
    Keyword("garp_group", read_garp_group, block=True),
    *also(Keyword("track_file", read_file, "NAME", block=True), "vrrp_track_file"),
    *also(Keyword("vrrp_track_process", read_process, "NAME", block=True), "track_process"),
    Keyword("bfd_instance", read_bfd, "NAME", block=True),
    Keyword("vrrp_script", read_script, "NAME", block=True),
    Keyword("vrrp_sync_group", read_group, "NAME", block=True),
    Keyword("vrrp_instance", read_instance, "NAME", block=True),
    Keyword("SSL", _tls, block=True),
    Keyword("virtual_server_group", read_server_group, "NAME", block=True),
    Keyword(
        "virtual_server",
        read_virtual_server,
        "ADDRESS [PORT] | fwmark N | group NAME",
        block=True,
    ),
    Keyword("local_address_group", read_local_addresses, "NAME", note="of forks", block=True),
    Keyword("client_list", read_client_list, "NAME", note="ours: prefixes, per line", block=True),
    *also(
        Keyword("client_list", read_client_list, "NAME", block=True),
        "deny_address_group",
        "allow_address_group",
    )[1:],
    Keyword("connection_sync", read_sync, note="ours", block=True),
)


def load(file: str, surroundings: Surroundings) -> Configuration:
    """What the file says, with all that it includes.

    ``file`` is an absolute path. Raises ConfigurationError with everything that is wrong.
    """
    # Hundreds of thousands of lines live until the end, and none is part of a cycle: the
    # collector would walk them again and again, which takes longer than reading them.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _load(file, surroundings)
    finally:
        if collecting:
            gc.enable()


def _load(file: str, surroundings: Surroundings) -> Configuration:
    findings = Findings()
    nodes = Reader(surroundings, findings).read(file)
    reading = Reading(findings, surroundings.files.read, surroundings.files.read_secret)
    _read(reading, nodes)
    configuration = Configuration(
        globals=global_values(reading),
        services=tuple(reading.services),
        instances=tuple(reading.instances),
        groups=tuple(reading.groups),
        static=reading.static,
        scripts=tuple(reading.scripts),
        files=tuple(reading.files),
        processes=tuple(reading.processes),
        bfds=tuple(reading.bfds),
        track_groups=tuple(reading.track_groups),
        tls=reading.tls,
        sync=sync_daemon(reading),
        lists=reading.client_lists,
        remarks=findings.in_order(),
    )
    findings.raise_problems()
    return configuration


_EARLY = ("global_defs", "garp_group")
"""What others take their defaults from is read before them, wherever it stands."""


def _read(reading: Reading, nodes: list[Node]) -> None:
    early = [node for node in nodes if node.words[0] in _EARLY]
    others = [node for node in nodes if node.words[0] not in _EARLY]
    for node in (*early, *others):
        _one(reading, node, TOP)
    finish_services(reading)
    validate(reading)


def _one(reading: Reading, node: Node, top: Table) -> None:
    holder = Node([], "", node.file, node.number)
    holder.children = [node]
    try:
        read_block(reading, holder, top, {})
    except Wrong as wrong:
        reading.findings.problem(node.place(wrong.index), wrong.message)
