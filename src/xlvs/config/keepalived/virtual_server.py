# SPDX-License-Identifier: Apache-2.0
"""``virtual_server`` and ``real_server``: their keywords."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from xlvs.config.keepalived.checkers import KINDS, read_checker
from xlvs.config.keepalived.client_lists import Names, rate
from xlvs.config.keepalived.commands import command_keyword
from xlvs.config.keepalived.endpoints import FAMILIES
from xlvs.config.keepalived.forwarding import forwarding_keyword
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
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
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    UINT_MAX,
    address,
    boolean,
    choice,
    number,
    port_or_none,
    text,
    timer,
    word,
)
from xlvs.model.admission import CONNECTIONS_MAX
from xlvs.model.checks import (
    PERSISTENCE_ENGINES,
    PERSISTENCE_MAX,
    SCHEDULERS,
    SERVICE_TIMEOUT_MAX,
    SYN_MSS_MAX,
    SYN_MSS_MIN,
    SYN_THRESHOLD_MAX,
    THRESHOLD_MAX,
    WEIGHT_MAX,
    WINDOW_SCALE_MAX,
)
from xlvs.model.service import Protocol, ProxyProtocol, ProxyTlv, SynProxyMode

PERSISTENT = 360
"""Seconds of ``persistence_timeout`` when none is said (IPVS_SVC_PERSISTENT_TIMEOUT)."""

_PREFIX_MAX = 128

_INHERITED = (
    value("connect_timeout", timer(0.000001), "seconds"),
    value("delay_loop", timer(0.000001), "seconds"),
    value("delay_before_retry", timer(), "seconds"),
    value("retry", number(1, UINT_MAX), "1.."),
    value("warmup", timer(), "seconds"),
    value("inhibit_on_failure", boolean, "[BOOL]"),
    value("smtp_alert", boolean, "[BOOL]"),
    value("virtualhost", text("a host's name"), "NAME"),
    value("alpha", boolean, "[BOOL]"),
    value("slow_start", timer(), "seconds", note="ours: the weight grows to its full over that"),
    no_effect("snmp_name", "there is no SNMP agent"),
)
"""What a real server may say itself, or have from its virtual server."""

# ---- real_server

_REAL = table(
    "real_server",
    value("weight", number(0, WEIGHT_MAX), f"0..{WEIGHT_MAX}"),
    *also(forwarding_keyword("lvs_method"), "lb_kind"),
    value("uthreshold", number(0, THRESHOLD_MAX), "0.."),
    value("lthreshold", number(0, THRESHOLD_MAX), "0.."),
    command_keyword("notify_up"),
    command_keyword("notify_down"),
    *_INHERITED,
    *(Keyword(name, read_checker, "", block=True) for name in KINDS),
)


def _real_server(reading: Reading, node: Node, values: Values) -> None:
    where = address(node.words, 1), port_or_none(node.words, 2)
    found = read_block(reading, node, _REAL, {})
    values["real_servers"].append((node, where, found))


# ---- virtual_server


def _flag(reading: Reading, node: Node, values: Values) -> None:
    values.setdefault("flags", []).append(node)
    del reading


def _persistence(_reading: Reading, node: Node, values: Values) -> None:
    values["persistence_timeout"] = (
        number(0, PERSISTENCE_MAX)(node.words, 1) if node.words[1:] else PERSISTENT
    )


_SYN_PROXY = choice({mode.value: mode for mode in SynProxyMode})


def _syn_proxy(found: list[str], index: int) -> object:
    return _SYN_PROXY(found, index) if found[index:] else SynProxyMode.ON


def _granularity(found: list[str], index: int) -> str:
    mask = word(found, index, "a mask")
    if mask.isascii() and mask.isdecimal() and len(mask) <= len(str(_PREFIX_MAX)):
        if 1 <= int(mask) <= _PREFIX_MAX:
            return str(int(mask))
    else:
        try:
            return str(IPv4Address(mask))
        except AddressValueError:
            pass
    raise Wrong(
        f"{found[0]} is an IPv4 mask such as 255.255.255.0 or an IPv6 prefix length, not {mask!r}",
        index,
    )


def _sorry(reading: Reading, node: Node, values: Values) -> None:
    if "sorry_server" in values:
        reading.findings.remark(node.place(), "sorry_server is said again: this one counts")
    values["sorry_server"] = address(node.words, 1), port_or_none(node.words, 2)
    values["sorry_node"] = node


def _local_addresses(reading: Reading, node: Node, values: Values) -> None:
    values["laddr_group_name"] = word(node.words, 1, "the name of a local_address_group")
    reading.refer("local_address_group", node.words[1], node.place(1), node.words[0])


_PROXY = {"v1": ProxyProtocol.V1, "v2": ProxyProtocol.V2, "disable": ProxyProtocol.OFF}


def _proxy_protocol(_reading: Reading, node: Node, values: Values) -> None:
    values["proxy_protocol"] = choice(_PROXY)(node.words, 1)
    tlv = choice({each.value: each for each in ProxyTlv})
    values["proxy_tlvs"] = tuple(tlv(node.words, at) for at in range(2, len(node.words)))


_PROTOCOLS = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}

_LIMIT = number(0, CONNECTIONS_MAX)

_TIMEOUT = number(1, SERVICE_TIMEOUT_MAX)

_VIRTUAL = table(
    "virtual_server",
    *also(
        value("lvs_sched", choice({name: name for name in sorted(SCHEDULERS)}), "a scheduler"),
        "lb_algo",
    ),
    *also(forwarding_keyword("lvs_method"), "lb_kind"),
    *(
        Keyword(name, _flag)
        for name in ("flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port")
    ),
    Keyword("mh-fallback", _flag),
    flag("ops", into="one_packet"),
    no_effect("hashed", "IPVS sets this flag itself"),
    no_effect("nat_mask", "of keepalived before 1.0; copied into many tutorials"),
    Keyword("persistence_timeout", _persistence, f"[0..{PERSISTENCE_MAX} s]"),
    value("persistence_granularity", _granularity, "MASK|LENGTH", into="netmask"),
    value("persistence_engine", choice({name: name for name in PERSISTENCE_ENGINES}), "sip"),
    value("protocol", choice(_PROTOCOLS, any_case=True), "TCP|UDP|SCTP"),
    value("ip_family", choice(FAMILIES), "inet|inet6"),
    flag("ha_suspend"),
    flag("omega"),
    value("quorum", number(1, UINT_MAX), "1.."),
    value("hysteresis", number(0, UINT_MAX), "0.."),
    command_keyword("quorum_up"),
    command_keyword("quorum_down"),
    value("weight", number(1, WEIGHT_MAX), f"1..{WEIGHT_MAX}", note="of servers that say none"),
    Keyword("sorry_server", _sorry, "ADDRESS [PORT]"),
    flag("sorry_server_inhibit"),
    forwarding_keyword("sorry_server_lvs_method", "sorry_forwarding"),
    *_INHERITED,
    Keyword("real_server", _real_server, "ADDRESS [PORT]", block=True),
    # of forks, and ours
    Keyword("laddr_group_name", _local_addresses, "NAME", note="of forks, for FULLNAT"),
    refused("bps_limit", "of a fork; limit with nftables or tc"),
    refused("limit_proportion", "of a fork; limit with service_rate"),
    *also(Keyword("allow", Names("allow"), "NAME…", note="ours"), "whtlst_addr_gname"),
    *also(Keyword("deny", Names("deny"), "NAME…", note="ours"), "blklst_addr_gname"),
    value("client_connections", _LIMIT, "0..", note="ours: of each client at once"),
    value("client_rate", rate, "N[:BURST]", note="ours: new ones of each client per second"),
    value("client_prefix", number(0, _PREFIX_MAX), "bits", note="ours: what is one client"),
    value("service_connections", _LIMIT, "0..", note="ours: of all clients at once"),
    *also(
        value("service_rate", rate, "N[:BURST]", note="ours: new ones of all, per second"),
        "cps_limit",
    ),
    value(
        "syn_proxy", _syn_proxy, "[off|on|auto]", note="of forks, where it has no word; ours: auto"
    ),
    value("syn_proxy_threshold", number(1, SYN_THRESHOLD_MAX), "SYNs a second", note="ours"),
    value("syn_proxy_mss", number(SYN_MSS_MIN, SYN_MSS_MAX), "bytes", note="ours"),
    value("syn_proxy_window_scale", number(0, WINDOW_SCALE_MAX), "bits", note="ours"),
    value("syn_proxy_sack", boolean, "[BOOL]", note="ours"),
    value("syn_proxy_timestamps", boolean, "[BOOL]", note="ours"),
    value("stateless", boolean, "[BOOL]", note="ours: no connection table; mh with DR or TUN"),
    value("toa", boolean, "[BOOL]", note="ours: FULLNAT's servers are told the client's address"),
    Keyword(
        "proxy_protocol",
        _proxy_protocol,
        "v1|v2|disable [mark] [id]",
        note="of forks, what follows the version is ours; NAT and FULLNAT",
    ),
    *also(value("timeout_tcp", _TIMEOUT, "seconds", note="ours"), "establish_timeout"),
    value("timeout_tcp_fin", _TIMEOUT, "seconds", note="ours"),
    value("timeout_udp", _TIMEOUT, "seconds", note="ours"),
)


def read_virtual_server(reading: Reading, node: Node, _: Values) -> None:
    """``virtual_server ADDRESS [PORT] | fwmark N | group NAME {…}``."""
    values: Values = {"real_servers": []}
    words = node.words
    what = word(words, 1, "ADDRESS [PORT], fwmark N or group NAME")
    if what == "group":
        values["group"] = text("the name of a virtual_server_group")(words, 2)
        reading.refer("virtual_server_group", words[2], node.place(2), "virtual_server")
    elif what == "match":
        raise Wrong("virtual_server match (a fork's SNAT) is not supported: use nftables", 1)
    elif what == "fwmark":
        values["fwmark"] = number(1, UINT_MAX)(["fwmark", *words[1:]], 2)
    else:
        values["address"] = address(words, 1)
        values["port"] = port_or_none(words, 2)
    if len(words) > 3:  # noqa: PLR2004  # keyword, address, port
        reading.findings.remark(node.place(3), f"{' '.join(words[3:])!r} is not read")
    read_block(reading, node, _VIRTUAL, values)
    values["name"] = " ".join(words[1:3])
    reading.pending_services.append((node, values))
