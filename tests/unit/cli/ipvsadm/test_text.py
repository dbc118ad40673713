# SPDX-License-Identifier: Apache-2.0
"""Names, flags, tunnels and numbers as ipvsadm writes them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.oracle.desired_director import TableNames

from xlvs.cli.ipvsadm import text
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
    TunnelType,
)

KEY = ServiceKey(protocol=Protocol.FWM, fwmark=2**32 - 1)


@pytest.mark.parametrize(
    ("value", "plain", "exact"),
    [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (999_999_999, "  999999K", " 999999999"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (99_999_999_999, "   99999M", " 99999999999"),
        (100_000_000_000, "     100G", " 100000000000"),
        (99_999_999_999_999, "   99999G", " 99999999999999"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
    ],
)
def test_counts(value, plain, exact) -> None:
    assert text.count(value, exact=False) == plain
    assert text.count(value, exact=True) == exact


@pytest.mark.parametrize(
    ("scheduler", "bits", "words"),
    [
        ("rr", 5, "flag-1,flag-3"),
        ("sh", 3, "sh-fallback,sh-port"),
        ("mh", 2, "mh-port"),
        ("mh", 4, ""),
    ],
)
def test_flags(scheduler, bits, words) -> None:
    assert text.flags(Service(key=KEY, scheduler=scheduler, flags=bits)) == words


def test_a_mark_is_signed() -> None:
    assert text.mark(Service(key=KEY)) == "-1"


@pytest.mark.parametrize(
    ("kind", "bits", "info", "options"),
    [
        (TunnelType.IPIP, 0, "ipip", "--tun-type ipip"),
        (TunnelType.GUE, 0, "gue:6080:-c", "--tun-type gue --tun-port 6080 --tun-nocsum"),
        (TunnelType.GUE, 2, "gue:6080:r+c", "--tun-type gue --tun-port 6080 --tun-remcsum"),
        (TunnelType.GRE, 1, "gre:+c", "--tun-type gre --tun-csum"),
    ],
)
def test_tunnels(kind, bits, info, options) -> None:
    server = Destination(
        key=DestinationKey(address=ip_address("1.1.1.1"), port=80),
        method=Method.TUN,
        tunnel_type=kind,
        tunnel_port=6080,
        tunnel_flags=bits,
    )
    assert text.tunnel_info(server) == info
    assert " ".join(text.tunnel_options(server)) == options


def test_every_method_has_a_word_and_an_option() -> None:
    assert set(text.FORWARD) == set(text.METHOD_OPTIONS) == set(Method)


def test_names_are_cut_and_servers_of_marks_have_no_service() -> None:
    names = TableNames()
    names.hosts["x" * 70] = "10.1.1.1"
    ten = ip_address("10.1.1.1")
    assert text.endpoint(ten, 80, Protocol.TCP, names) == "x" * 59
    assert text.endpoint(ip_address("10.0.0.1"), 80, Protocol.FWM, names) == "vip.example:80"
    assert text.endpoint(ten, 80, Protocol.TCP, None) == "10.1.1.1:80"
