# SPDX-License-Identifier: Apache-2.0
"""Connection listings are compared without what changes by itself."""

from __future__ import annotations

from xlvs.lab.demo.methods import connections
from xlvs.lab.demo.survival import established, listed

LISTING = """\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:59  ESTABLISHED 10.1.0.2:40000     10.0.0.1:80        10.2.0.11:8080
TCP 01:58  TIME_WAIT   10.1.0.2:40001     10.0.0.1:80        10.2.0.12:8080
"""


def test_timer_and_state_do_not_count() -> None:
    later = LISTING.replace("14:59", "14:40").replace("TIME_WAIT  ", "CLOSE      ")
    assert listed(LISTING) == listed(later)
    assert len(listed(LISTING)) == 2
    assert ("TCP", "10.1.0.2:40000", "10.0.0.1:80", "10.2.0.11:8080") in listed(LISTING)


def test_only_established_ones_are_shown() -> None:
    assert established(LISTING).splitlines() == LISTING.splitlines()[:3]


def test_connections_of_the_first_service() -> None:
    stats = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.0.1:80                         6       36       24     2328     4512
  -> 10.2.0.11:8080                      2       12        8      776     1504
"""
    assert connections(stats) == 6
    assert connections("") == -1
