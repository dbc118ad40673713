# SPDX-License-Identifier: Apache-2.0
"""Recorded facts that xlvs does not meet, by name, each with its reason.

A gap's name is a path, or the beginning of one, of differences: it excuses all below it.
The table is kept honest from both sides: a difference without a gap fails, and so does
a gap without a difference. ``docs/compatibility.md`` shows the same table.
"""

from __future__ import annotations

from collections.abc import Iterable

from .facts import Difference

_TUNNEL_TYPES = "GUE and GRE are not built yet: a destination that asks for them is refused"
_FRAGMENTS = "packets above the MTU without DF are dropped with a reason, not fragmented"

_ICMP6 = (
    "IPVS drops ICMPv6 errors of NAT real servers because it checks their checksum without "
    "the pseudo header; xlvs translates the right ones and drops the wrong ones"
)

KNOWN_GAPS: dict[str, str] = {
    "packets/nat/nat-sctp": "SCTP is not built yet",
    "packets/ipv6/v6-nat-tcp/5": _ICMP6,
    "packets/ipv6/v6-nat-tcp/6": _ICMP6,
    "packets/ipv6/v6-nat-tcp/8": _ICMP6,
    "packets/tun/tun-ipip/7": _FRAGMENTS,
    "packets/tun/tun-ipip-pmtu_disc0/2": _FRAGMENTS,
    "packets/tun/tun-ipip-pmtu_disc0/3": _FRAGMENTS,
    "packets/dr/dr-mtu/3": _FRAGMENTS,
    "packets/tun/tun-gue": _TUNNEL_TYPES,
    "packets/tun/tun-gue-csum": _TUNNEL_TYPES,
    "packets/tun/tun-gue-csum-udp": _TUNNEL_TYPES,
    "packets/tun/tun-gue-remcsum-udp": _TUNNEL_TYPES,
    "packets/tun/tun-gre": _TUNNEL_TYPES,
    "packets/tun/tun-gre-csum": _TUNNEL_TYPES,
    "packets/tun/tun-gre-udp": _TUNNEL_TYPES,
    "packets/ipv6/v6-tun-gue": _TUNNEL_TYPES,
    "packets/ipv6/v6-tun-gue-csum": _TUNNEL_TYPES,
    "packets/ipv6/v6-tun-gre": _TUNNEL_TYPES,
    "packets/ipv6/v6-tun-gre-csum": _TUNNEL_TYPES,
    "conn/story-edit-forwarding-method/6": (
        "IPVS asks ARP for the VIP on the server side after such an edit and loses the new "
        "connection; xlvs forwards it"
    ),
    "conn/story-edit-forwarding-method/7": "the same",
    "conn/story-reply-without-connection-nat_icmp_send1": (
        "nat_icmp_send=1 is stored but not obeyed: an answer without a connection goes to the stack"
    ),
    "conn/story-schedule_icmp1": "schedule_icmp=1 is not built: ICMP errors open no connection",
    "conn/story-no-server/9": "SCTP is not built yet",
}

# What the real kernel did one way when it was recorded and another way when it was asked
# again, because two things happened within one tick. Either is right.
RACES = (
    "conn/story-dest-removed-expire_nodest_conn1/9",
    "conn/story-dest-removed-expire_nodest_conn1/10",
)


def judge(
    replayed: Iterable[str], differences: Iterable[Difference]
) -> tuple[list[Difference], list[str]]:
    """Differences without a gap, and gaps of what was replayed without a difference.

    ``replayed`` are the names of the recordings (``packets/nat/nat-tcp``) that were run.
    """
    found = list(differences)
    excused = (*KNOWN_GAPS, *RACES)
    unexcused = [one for one in found if not any(_covers(gap, one.where) for gap in excused)]
    names = list(replayed)
    unmet = [
        gap
        for gap in KNOWN_GAPS
        if any(_covers(name, gap) or _covers(gap, name) for name in names)
        and not any(_covers(gap, one.where) for one in found)
    ]
    return unexcused, unmet


def _covers(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
