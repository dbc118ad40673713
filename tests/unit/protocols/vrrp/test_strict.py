# SPDX-License-Identifier: Apache-2.0
"""What cannot run, and what strict_mode refuses."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from tests.unit.protocols.vrrp.builders import instance

from xlvs.model.service import Family
from xlvs.model.vrrp import Authentication, AuthType, HmacMode, VirtualAddress
from xlvs.protocols.vrrp.strict import violations

GLOBAL6 = (VirtualAddress(address=ip_interface("2001:db8::1/128")),)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"version": 4}, "version 4"),
        ({"version": 2, "family": Family.INET6, "addresses": GLOBAL6}, "IPv6 needs version 3"),
        ({"router_id": 0}, "1..255"),
        ({"router_id": 256}, "1..255"),
        ({"priority": 0}, "1..255"),
        ({"advert_interval": 41.0}, "0.01..40.95"),
        ({"version": 2, "advert_interval": 1.5}, "whole seconds"),
        ({"addresses": GLOBAL6}, "other family"),
        ({"authentication": Authentication(type=AuthType.AH), "version": 2}, "AH is not"),
        ({"authentication": Authentication(type=AuthType.PASS)}, "no authentication"),
        ({"authentication": Authentication(type=AuthType.HMAC)}, "without a key"),
        ({"authentication": Authentication(type=AuthType.HMAC, keys=((0, bytes(32)),))}, "key id"),
        ({"authentication": Authentication(type=AuthType.HMAC, keys=((1, b"x"),))}, "32..64"),
        ({"use_vmac": "", "unicast_peers": (ip_address("10.0.0.1"),)}, "vmac_xmit_base"),
        ({"strict": True, "addresses": ()}, "no virtual_ipaddress"),
        ({"strict": True, "unicast_peers": (ip_address("10.0.0.1"),)}, "unicast_peer"),
        ({"strict": True, "family": Family.INET6, "addresses": GLOBAL6}, "link-local"),
        ({"strict": True, "initial_master": True}, "state MASTER"),
        ({"strict": True, "preempt_delay": 1.0}, "preempt_delay"),
        ({"strict": True, "version": 2}, "accept"),
        ({"strict": True, "higher_priority_send_advert": True}, "higher_prio"),
        ({"strict": True, "vmac_xmit_base": True}, "vmac_xmit_base"),
        (
            {
                "strict": True,
                "version": 2,
                "accept": False,
                "authentication": Authentication(type=AuthType.PASS),
            },
            "authentication",
        ),
        (
            {
                "strict": True,
                "authentication": Authentication(
                    type=AuthType.HMAC, keys=((1, bytes(32)),), mode=HmacMode.PERMISSIVE
                ),
            },
            "enforced",
        ),
    ],
)
def test_each_refusal(more, words):
    (found,) = violations(instance(**more))
    assert words in found


@pytest.mark.parametrize("more", [{}, {"strict": True}, {"version": 2}])
def test_nothing_against_an_ordinary_one(more):
    assert violations(instance(**more)) == ()
