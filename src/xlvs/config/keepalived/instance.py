# SPDX-License-Identifier: Apache-2.0
"""``vrrp_instance``."""

from __future__ import annotations

from ipaddress import IPv6Address

from xlvs.config.keepalived.addresses import read_addresses
from xlvs.config.keepalived.authentication import read_authentication, read_hmac
from xlvs.config.keepalived.instance_rules import finished
from xlvs.config.keepalived.notifying import LOWER_PRIORITY, NOTIFYING
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.routes import read_routes, read_rules
from xlvs.config.keepalived.table import (
    Keyword,
    Values,
    also,
    flag,
    no_effect,
    read_block,
    refused,
    table,
    value,
)
from xlvs.config.keepalived.tracked import TRACKING
from xlvs.config.keepalived.trackers import name_of
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    UINT_MAX,
    address,
    boolean,
    choice,
    decimal,
    interface_name,
    number,
    plain_address,
    timer,
    word,
)
from xlvs.model.service import Address

DELAY_MAX = 4294
"""Seconds of a delay of gratuitous ARPs: 32 bits of microseconds."""

PREEMPT_DELAY_MAX = 1000


def _use_vmac(reading: Reading, node: Node, values: Values) -> None:
    name = ""
    words = iter(range(1, len(node.words)))
    for index in words:
        word_ = node.words[index]
        if word_ == "netlink_notify_msg":
            reading.findings.remark(node.place(index), f"{word_} has no effect: not needed")
        elif word_ == "group":
            raise Wrong("'group' is not supported: the device is in no link group", index)
        elif ":" in word_:
            raise Wrong(
                "another MAC address is not supported: the standard's 00:00:5e:00:01:ID is taken",
                index,
            )
        elif word_ == "name":
            name = interface_name(node.words, index + 1)
            next(words, None)
        else:
            name = interface_name(node.words, index)
    values["use_vmac"] = name


def _unicast_peers(reading: Reading, node: Node, values: Values) -> None:
    values["unicast"] = True
    peers: list[Address] = list(values.get("unicast_peers", ()))
    limits = list(values.get("unicast_peer_ttls", ()))
    for line in node:
        try:
            peer = address(line.words, 0)
            if peer in peers:
                raise Wrong(f"{peer} is there twice")  # noqa: TRY301  # noted as the others
            least, most = _limits(line)
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
            continue
        peers.append(peer)
        if (least, most) != (0, 255):
            limits.append((peer, least, most))
            values["check_unicast_source"] = True
    values["unicast_peers"] = tuple(peers)
    values["unicast_peer_ttls"] = tuple(limits)


def _limits(line: Node) -> tuple[int, int]:
    found = {"min_ttl": 0, "max_ttl": 255}
    for index in range(1, len(line.words), 2):
        name = line.words[index]
        if name not in found:
            raise Wrong(f"a peer has min_ttl and max_ttl, not {name!r}", index)
        found[name] = number(0, 255)([name, *line.words[1:]], index + 1)
    return found["min_ttl"], found["max_ttl"]


def _addresses(field: str) -> Keyword:
    name = {"addresses": "virtual_ipaddress", "excluded": "virtual_ipaddress_excluded"}[field]

    def read(reading: Reading, node: Node, values: Values) -> None:
        found = read_addresses(reading, node)
        values[field] = (*values.get(field, ()), *found)
        values.setdefault(f"{field}_nodes", []).extend(node)

    return Keyword(name, read, "ADDRESS[/LENGTH] [OPTION]… per line", block=True)


def _routes(reading: Reading, node: Node, values: Values) -> None:
    values["routes"] = (*values.get("routes", ()), *read_routes(reading, node))


def _rules(reading: Reading, node: Node, values: Values) -> None:
    values["rules"] = (*values.get("rules", ()), *read_rules(reading, node))


def _source(unicast: bool) -> Keyword:  # noqa: FBT001  # two keywords, one reader
    def read(_reading: Reading, node: Node, values: Values) -> None:
        values["source"] = address(node.words, 1)
        if unicast:
            values["unicast"] = True

    return Keyword("unicast_src_ip" if unicast else "mcast_src_ip", read, "ADDRESS")


def _multicast(_reading: Reading, node: Node, values: Values) -> None:
    values["multicast_group"] = multicast(node.words, 1)


def multicast(words: list[str], index: int) -> Address:
    """A multicast address, of IPv6 a link-local one. Raises Wrong."""
    found = plain_address(word(words, index, "a multicast address"), index)
    if not found.is_multicast:
        raise Wrong(f"{found} is no multicast address", index)
    if isinstance(found, IPv6Address) and found.packed[1] & 0x0F != 2:  # noqa: PLR2004  # ffX2:
        raise Wrong(f"{found} is not link-local, as IPv6's must be: ffX2:…", index)
    return found


def _old_checksum(reading: Reading, node: Node, _: Values) -> None:
    if node.words[1:] != ["never"]:
        raise Wrong(
            "keyword 'old_unicast_checksum' is not supported: "
            "it is the wrong checksum of keepalived before 1.3.7"
        )
    reading.findings.remark(node.place(), "old_unicast_checksum never has no effect: never is so")


def _sync_interface(reading: Reading, node: Node, values: Values) -> None:
    reading.findings.remark(
        node.place(), "deprecated: write lvs_sync_daemon in global_defs instead"
    )
    if reading.sync:
        reading.findings.remark(
            node.place(), f"there is a sync daemon already, at {reading.sync_place}: no effect"
        )
        return
    reading.sync["interface"] = interface_name(node.words, 1)
    reading.sync["instance"] = values["name"]
    reading.sync_place = node.place()


def _extra(reading: Reading, node: Node, values: Values) -> None:
    index = 2 if node.words[1:2] == ["all"] else 1
    if number(0, 86400)(node.words, index):
        raise Wrong(
            f"keyword {node.words[0]!r} is not supported: garp_master_refresh repeats the "
            "announcements on every interface that has addresses of the instance"
        )
    del reading, values


def garp_keywords(prefix: str = "") -> list[Keyword]:
    """The keywords of gratuitous ARP, of global_defs with its prefix."""
    delay, count = number(0, DELAY_MAX), number(0, UINT_MAX)
    return [
        value(f"{prefix}garp_master_delay", delay, "seconds", into="garp_delay"),
        value(f"{prefix}garp_master_repeat", count, "0..", into="garp_repeat"),
        value(f"{prefix}garp_master_refresh", count, "seconds", into="garp_refresh"),
        value(f"{prefix}garp_master_refresh_repeat", count, "0..", into="garp_refresh_repeat"),
        value(f"{prefix}garp_lower_prio_delay", delay, "seconds", into="garp_lower_priority_delay"),
        value(f"{prefix}garp_lower_prio_repeat", count, "0..", into="garp_lower_priority_repeat"),
        *also(
            Keyword(
                f"{prefix}garp_extra_if",
                _extra,
                "[all] 0",
                note="only 0: refresh repeats announcements on every interface",
            ),
            f"{prefix}vmac_garp_intvl",
        ),
    ]


_INSTANCE = table(
    "vrrp_instance",
    value(
        "state", choice({"MASTER": True, "BACKUP": False}), "MASTER|BACKUP", into="initial_master"
    ),
    value("interface", interface_name, "INTERFACE"),
    refused("vrf", "run the daemon in the VRF, or name an interface"),
    Keyword("use_vmac", _use_vmac, "[[name] INTERFACE]"),
    refused("use_vmac_addr", "say use_vmac for each address that needs it"),
    flag("vmac_xmit_base"),
    no_effect("dpdk_interface", "of a fork; addresses go to the interface"),
    refused("use_ipvlan", "there are VMACs: use_vmac"),
    flag("native_ipv6", into="inet6"),
    flag("dont_track_primary", into="track_primary_interface", to=False),
    *TRACKING,
    _source(unicast=False),
    _source(unicast=True),
    Keyword("mcast_dst_ip", _multicast, "ADDRESS"),
    flag("track_src_ip", into="track_source"),
    value("version", number(2, 3), "2..3"),
    flag("check_unicast_src", into="check_unicast_source"),
    Keyword("unicast_peer", _unicast_peers, "ADDRESS [min_ttl N] [max_ttl N] per line", block=True),
    flag("unicast_fault_no_peer", into="unicast_fault_no_peers"),
    value("unicast_ttl", number(0, 255), "0..255"),
    Keyword("old_unicast_checksum", _old_checksum, "never"),
    value("v3_checksum_as_v2", boolean, "[BOOL]"),
    garp_keywords(),
    value("down_timer_adverts", number(1, 100), "1..100"),
    value("lower_prio_no_advert", boolean, "[BOOL]", into="lower_priority_no_advert"),
    value("higher_prio_send_advert", boolean, "[BOOL]", into="higher_priority_send_advert"),
    refused("owner_ignore_adverts", "RFC 9568 has an address owner look at adverts"),
    refused(
        "timer_expired_backup", "adverts are sent by a process of their own, which is not late"
    ),
    no_effect(
        "thread_timer_expired", "lateness is a metric; adverts are sent by a process of their own"
    ),
    value("virtual_router_id", number(1, 255), "1..255", into="router_id"),
    value("priority", number(1, 255), "1..255"),
    value("advert_int", decimal(0.01, 255), "0.01..255 s", into="advert_interval"),
    Keyword("authentication", read_authentication, block=True),
    Keyword("auth_hmac", read_hmac, block=True),
    _addresses("addresses"),
    _addresses("excluded"),
    flag("no_virtual_ipaddress", note="no addresses are meant"),
    flag("promote_secondaries"),
    Keyword("virtual_routes", _routes, "as `ip route add`, per line", block=True),
    Keyword("virtual_rules", _rules, "as `ip rule add`, per line", block=True),
    flag("accept"),
    flag("no_accept", into="accept", to=False),
    flag("nopreempt", into="preempt", to=False),
    flag("preempt"),
    value("preempt_delay", timer(0, PREEMPT_DELAY_MAX), f"0..{PREEMPT_DELAY_MAX} s"),
    value("skip_check_adv_addr", boolean, "[BOOL]"),
    value("strict_mode", boolean, "[BOOL]", into="strict"),
    no_effect("debug", "keepalived does nothing with it either"),
    NOTIFYING,
    LOWER_PRIORITY,
    no_effect("kernel_rx_buf_size", "the kernel's buffer holds many adverts"),
    no_effect("linkbeat_use_polling", "the kernel tells of links"),
    Keyword("lvs_sync_daemon_interface", _sync_interface, "INTERFACE", note="as lvs_sync_daemon"),
)


def read_instance(reading: Reading, node: Node, _: Values) -> None:
    """``vrrp_instance NAME {…}``."""
    name = name_of(node, "the name of an instance")
    values: Values = {"name": name}
    read_block(reading, node, _INSTANCE, values)
    if reading.once("vrrp_instance", node, name):
        made = finished(reading, node, values)
        if made is not None:
            reading.instances.append(made)
