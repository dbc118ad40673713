# SPDX-License-Identifier: Apache-2.0
"""Which options a command needs, allows and excludes. First come, first complained about."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from xlvs.cli.ipvsadm.errors import Fatal
from xlvs.cli.ipvsadm.options import Verb

ORDER = (
    "numeric",
    "connection",
    "service-address",
    "scheduler",
    "persistent",
    "netmask",
    "real-server",
    "forwarding-method",
    "weight",
    "u-threshold",
    "l-threshold",
    "mcast-interface",
    "timeout",
    "daemon",
    "stats",
    "rate",
    "thresholds",
    "persistent-conn",
    "nosort",
    "syncid",
    "exact",
    "ops",
    "pe",
    "sched-flags",
    "mcast-group",
    "mcast-port",
    "mcast-ttl",
    "sync-maxlen",
    "tun-info",
    "tun-type",
    "tun-port",
    "tun-nocsum",
    "tun-csum",
    "tun-remcsum",
    "local-address",
    "local-pool",
    "stateless",
    "tcp-timeout",
    "tcpfin-timeout",
    "udp-timeout",
    "toa",
    "proxy-protocol",
    "proxy-tlv",
    "allow",
    "deny",
    "client-connections",
    "client-rate",
    "client-prefix",
    "service-connections",
    "service-rate",
    "syn-proxy",
    "syn-threshold",
    "syn-mss",
    "syn-wscale",
    "syn-sack",
    "syn-no-sack",
    "syn-timestamps",
    "syn-no-timestamps",
)
"""The order in which options are looked at: it decides which complaint is printed."""


class Rule(NamedTuple):
    """What a command needs; what it allows besides; of which it takes at most one."""

    needs: frozenset[str] = frozenset()
    allows: frozenset[str] = frozenset()
    one_of: frozenset[str] = frozenset()


def _rule(needs: str = "", allows: str = "", one_of: str = "") -> Rule:
    return Rule(frozenset(needs.split()), frozenset(allows.split()), frozenset(one_of.split()))


_SERVICE = (
    "scheduler persistent netmask ops pe sched-flags local-address local-pool stateless "
    "tcp-timeout tcpfin-timeout udp-timeout toa proxy-protocol proxy-tlv "
    "allow deny client-connections client-rate client-prefix service-connections service-rate "
    "syn-proxy syn-threshold syn-mss syn-wscale "
    "syn-sack syn-no-sack syn-timestamps syn-no-timestamps"
)
_SERVER = (
    "forwarding-method weight u-threshold l-threshold "
    "tun-type tun-port tun-nocsum tun-csum tun-remcsum"
)
_SYNC = "mcast-interface syncid mcast-group mcast-port mcast-ttl sync-maxlen"
_COLUMNS = "numeric stats rate thresholds persistent-conn nosort exact tun-info"

COMMANDS: Mapping[Verb, Rule] = {
    Verb.ADD_SERVICE: _rule("service-address", _SERVICE),
    Verb.EDIT_SERVICE: _rule("service-address", _SERVICE),
    Verb.DELETE_SERVICE: _rule("service-address"),
    Verb.CLEAR: _rule(),
    Verb.LIST: _rule(
        allows=f"{_COLUMNS} syncid", one_of="connection service-address timeout daemon"
    ),
    Verb.ADD_SERVER: _rule("service-address real-server", _SERVER),
    Verb.EDIT_SERVER: _rule("service-address real-server", _SERVER),
    Verb.DELETE_SERVER: _rule("service-address real-server"),
    Verb.SET: _rule(),
    Verb.START_DAEMON: _rule(allows=_SYNC),
    Verb.STOP_DAEMON: _rule(allows="syncid"),
    Verb.RESTORE: _rule(),
    Verb.SAVE: _rule(allows="numeric"),
    Verb.ZERO: _rule(allows="service-address"),
    Verb.ADD_LOCAL_ADDRESS: _rule("service-address local-address"),
    Verb.DELETE_LOCAL_ADDRESS: _rule("service-address local-address"),
    Verb.LIST_LOCAL_ADDRESSES: _rule(allows="numeric service-address"),
}

_CHECKSUMS = "tun-nocsum tun-csum tun-remcsum"

TUNNELS: Mapping[str, Rule] = {
    "ipip": _rule(allows="tun-type"),
    "gue": _rule("tun-port", "tun-type", _CHECKSUMS),
    "gre": _rule(allows="tun-type", one_of="tun-nocsum tun-csum"),
}

TUNNEL_OPTIONS = frozenset(("tun-type", "tun-port", *_CHECKSUMS.split()))


@cache
def check_command(verb: Verb, given: frozenset[str]) -> None:
    """Raises Fatal if the options do not fit the command, or not each other."""
    _check(COMMANDS[verb], given, f"'{verb.value}' command")
    if verb is Verb.LIST:
        about = given & {"connection", "timeout", "daemon"}
        if (about and given & {"stats", "rate", "thresholds"}) or (
            about - {"connection"} and "persistent-conn" in given
        ):
            raise Fatal("options conflicts in the list command")


def check_tunnel(kind: str, given: frozenset[str]) -> None:
    """Raises Fatal if the tunnel options do not fit the kind of tunnel."""
    _check(TUNNELS[kind], given & TUNNEL_OPTIONS, f"'{kind}' tunnel type")


def _check(rule: Rule, given: frozenset[str], what: str) -> None:
    first = ""
    for name in ORDER:
        if name not in given:
            if name in rule.needs:
                raise Fatal(f"You need to supply the '{name}' option for the {what}")
        elif name in rule.one_of:
            if first:
                raise Fatal(
                    f"The option '{name}' conflicts with the '{first}' option in the {what}"
                )
            first = name
        elif name not in rule.needs and name not in rule.allows:
            raise Fatal(f"Illegal '{name}' option with the {what}")
