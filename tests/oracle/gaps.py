# SPDX-License-Identifier: Apache-2.0
"""Recorded facts that xlvs does not meet, by name, each with its reason.

A gap's name is a path of differences, or the beginning of one, with shell wildcards: it
excuses all below it. The table is kept honest from both sides: a difference without a
gap fails, and so does a gap without a difference. ``docs/compatibility.md`` shows the
same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from .facts import Difference

_FRAGMENTS = (
    "packets above the MTU without DF are dropped with a reason by DR and TUN, not fragmented"
)
_ICMP6 = (
    "IPVS drops ICMPv6 errors of NAT real servers because it checks their checksum without "
    "the pseudo header; xlvs translates them"
)
_ARP = (
    "IPVS asks ARP for the VIP on the server side after such an edit and loses the new "
    "connection; xlvs forwards it"
)
_CUT = (
    "IPVS forwards by the ports alone; xlvs sends nothing on whose L4 header is cut or impossible"
)
_OPTIONS = "the kernel fills in record route and drops loose source routes before IPVS"
_EXTENSION_HEADERS = (
    "IPVS reads the TCP flags at the wrong place behind IPv6 extension headers and closes the "
    "connection; xlvs reads them where they are"
)

_FTP = (
    "ip_vs_ftp is not built: by NAT the addresses in FTP's answers are not rewritten; DR and TUN "
    "with -p need none"
)
_FILES = "there are no such files: ipvsadm, xlvs status and the API say the same"

KNOWN_GAPS: dict[str, str] = {
    "packets/ipv6/v6-nat-tcp/[568]": _ICMP6,
    "packets/tun/tun-ipip/7": _FRAGMENTS,
    "packets/tun/tun-ipip-pmtu_disc0/[23]": _FRAGMENTS,
    "packets/dr/dr-mtu/3": _FRAGMENTS,
    "packets/tun/tun-gue/7": _FRAGMENTS,
    "packets/tun/tun-gue-*csum/7": _FRAGMENTS,
    "packets/tun/tun-gre/7": _FRAGMENTS,
    "packets/tun/tun-gre-csum/7": _FRAGMENTS,
    "packets/ftp/ftp-conntrack?/[56789]": _FTP,
    "packets/ftp/ftp-conntrack?/1?": _FTP,
    "conn/story-defaults/2/sync_qlen_max": (
        "the kernel derives it from the machine's memory; here it is a number of messages"
    ),
    "conn/story-proc-files/1[45678]": _FILES,
    "conn/story-edit-forwarding-method/[67]": _ARP,
    "more/mtu/mtu-tun/11": _FRAGMENTS,
    "more/tables/fragments-nat": (
        "IPVS reassembles and sends when all are there; xlvs sends each fragment as it comes"
    ),
    "more/odd/odd-*/1[78]": _OPTIONS,
    "more/odd/odd-dr/2[4567]": _CUT,
    "more/odd/odd-tun/2[4567]": _CUT,
    "more/odd/odd-nat/2[67]": _CUT,
    "more/odd/odd-nat/38": "IPVS drops a NAT real server's cut segment; here the stack routes it",
    "more/odd/odd-udp-*/[57]": _CUT,
    "more/ipv6/v6-*/[123]?/conns": _EXTENSION_HEADERS,
    "more/ipv6/v6-*/[123]?/dests": _EXTENSION_HEADERS,
    "more/ipv6/v6-*/18": "a whole IPv6 packet keeps its fragment header; IPVS takes it off",
    "more/ipv6/v6-*/19": _CUT,
    "more/icmp/icmp-nat/21": (
        "a quoted IP header with a wrong checksum is repaired by IPVS; xlvs leaves it wrong"
    ),
    "more/mixed/stray-zero/8": "an answer from port 0 is nobody's here, and the stack routes it",
}

# What the real kernel did one way when it was recorded and another way when it was asked
# again, because two things happened within one tick, and what tells the time of day.
RACES = (
    "conn/story-dest-removed-expire_nodest_conn1/[89]",
    "conn/story-dest-removed-expire_nodest_conn1/10",
    "more/icmp/icmp-*/24",
    "more/tables/nodest1-service/6",
    # A template ends with the next look at its place, after its connections.
    "more/persistence/reuse-nodest/9/conns",
)


def judge(
    replayed: Sequence[str], differences: Iterable[Difference]
) -> tuple[list[Difference], list[str]]:
    """Differences without a gap, and gaps of what was replayed without a difference.

    ``replayed`` are the names of the recordings (``packets/nat/nat-tcp``) that were run.
    """
    found = list(differences)
    excused = (*KNOWN_GAPS, *RACES)
    unexcused = [one for one in found if not any(covers(gap, one.where) for gap in excused)]
    unmet = [
        gap
        for gap in KNOWN_GAPS
        if any(_is_about(gap, name) for name in replayed)
        and not any(covers(gap, one.where) for one in found)
    ]
    return unexcused, unmet


def covers(gap: str, path: str) -> bool:
    """Whether a gap's name is a path's, or one of a path's beginnings."""
    depth = gap.count("/") + 1
    return fnmatchcase("/".join(path.split("/")[:depth]), gap)


def _is_about(gap: str, recording: str) -> bool:
    depth = recording.count("/") + 1
    return fnmatchcase(recording, "/".join(gap.split("/")[:depth]))
