# SPDX-License-Identifier: Apache-2.0
"""Virtual and static addresses, routes and rules."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from tests.unit.config.keepalived.reading import problems, read, remarks, with_instance

from xlvs.model.service import Family
from xlvs.model.vrrp import StaticNetwork, VirtualAddress, VirtualRoute, VirtualRule


def excluded(line):
    text = with_instance(f"virtual_ipaddress_excluded {{\n{line}\n}}")
    return read(text).instances[0].excluded[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("10.1.0.2", {"address": "10.1.0.2/32"}),
        (
            "10.1.0.2/24 dev eth1 scope link label eth1:x home -nodad use_vmac",
            {
                "address": "10.1.0.2/24",
                "device": "eth1",
                "scope": "link",
                "label": "eth1:x",
                "home": True,
                "nodad": False,
                "use_vmac": True,
            },
        ),
        (
            "10.1.0.2 no_track noprefixroute autojoin mngtmpaddr",
            {
                "address": "10.1.0.2/32",
                "no_track": True,
                "no_prefix_route": True,
                "auto_join": True,
                "manage_temporary": True,
            },
        ),
        ("10.1.0.3/24 brd +", {"address": "10.1.0.3/24", "broadcast": "10.1.0.255"}),
        ("10.1.0.3/24 brd -", {"address": "10.1.0.3/24", "broadcast": "10.1.0.0"}),
        ("10.1.0.3/24 brd 10.1.0.7", {"address": "10.1.0.3/24", "broadcast": "10.1.0.7"}),
        ("10.1.0.4/32 peer 10.1.0.5", {"address": "10.1.0.4/32", "peer": "10.1.0.5"}),
        ("fd00::1/64", {"address": "fd00::1/64"}),
        ("fd00::1", {"address": "fd00::1/128", "preferred_lifetime": 0}),
        ("fd00::1 preferred_lft forever", {"address": "fd00::1/128"}),
        ("fd00::1/64 preferred_lft 90", {"address": "fd00::1/64", "preferred_lifetime": 90}),
    ],
)
def test_an_address(line, expected):
    made = {**expected, "address": ip_interface(expected["address"])}
    for name in ("broadcast", "peer"):
        if name in made:
            made[name] = ip_address(made[name])
    assert excluded(line) == VirtualAddress(**made)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("10.1.0.2/33", "'33' is no prefix length: 0 to 32"),
        ("10.1.0.2/255.255.255.0", "is no prefix length"),
        ("10.1.0.", "is no IPv4 or IPv6 address"),
        ("10.1.0.2 dev", "wants the name of an interface"),
        ("10.1.0.2 scope moon", "one of global"),
        ("10.1.0.2 label averyverylonglabel", "at most 15"),
        ("10.1.0.2/31 brd +", "has no broadcast"),
        ("fd00::1 brd +", "IPv6 has no broadcast"),
        ("10.1.0.2 peer fd00::1", "of two families"),
        ("10.1.0.2 foo", "an address has no option 'foo'"),
        ("10.1.0.2 track_group T", "an address has no option 'track_group'"),
    ],
)
def test_an_address_that_cannot_be(line, problem):
    (found,) = problems(with_instance(f"virtual_ipaddress_excluded {{\n{line}\n}}"))
    assert problem in found
    assert found.startswith("8:")


def test_static_addresses_are_on_the_default_interface():
    text = (
        "global_defs {\n default_interface eth7\n}\n"
        "static_ipaddress {\n 10.0.0.1/24\n 10.0.0.2/24 dev eth1 track_group T\n}\n"
        "track_group T {\n}\n"
    )
    assert read(text).static == StaticNetwork(
        addresses=(
            VirtualAddress(address=ip_interface("10.0.0.1/24"), device="eth7"),
            VirtualAddress(address=ip_interface("10.0.0.2/24"), device="eth1", track_group="T"),
        )
    )
    assert read(text.replace(" default_interface eth7", "")).static.addresses[0].device == "eth0"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("10.2.0.0/16 via 10.0.0.1 dev eth0", "10.2.0.0/16 via 10.0.0.1 dev eth0"),
        ("src 10.0.0.9 to 10.2.0.0/16 via 10.0.0.1", "10.2.0.0/16 via 10.0.0.1 src 10.0.0.9"),
        ("default gw 10.0.0.1 table 100", "default via 10.0.0.1 table 100"),
        ("0.0.0.0/0 gw 10.0.0.1", "0.0.0.0/0 via 10.0.0.1"),
        (
            "10.2.0.0/16 via 10.0.0.1 or 10.0.0.2",
            "10.2.0.0/16 nexthop via 10.0.0.1 nexthop via 10.0.0.2",
        ),
        ("blackhole 10.2.0.1", "blackhole 10.2.0.1"),
        (
            "10.2.0.0/16 table 6 nexthop via 10.0.0.1 dev eth0 onlink weight 1 "
            "nexthop via 10.0.0.2 weight 2",
            "10.2.0.0/16 table 6 nexthop via 10.0.0.1 dev eth0 onlink weight 1 "
            "nexthop via 10.0.0.2 weight 2",
        ),
        (
            "fd00::/64 dev eth0 metric 5 mtu lock 1400 features ecn",
            "fd00::/64 dev eth0 metric 5 mtu lock 1400 features ecn",
        ),
    ],
)
def test_a_route(line, words):
    text = with_instance(f"virtual_routes {{\n {line}\n}}")
    family = Family.INET6 if "fd00" in line else Family.INET
    assert read(text).instances[0].routes == (
        VirtualRoute(words=tuple(words.split()), family=family),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("via 10.0.0.1", "wants a destination"),
        ("10.0.0.0/8 via gw1", "names of hosts"),
        ("10.0.0.1/8 dev eth0", "8:"),
        ("10.0.0.0/8 src fd00::1", "IPv4 and IPv6 are mixed"),
        ("10.0.0.0/8 fast", "a route has no option 'fast'"),
        ("10.0.0.0/8 mtu big", "'big' is not a number"),
        ("10.0.0.0/8 nexthop weight 3 foo", "no option 'foo'"),
        ("10.0.0.0/8 encap mpls 3", "'encap' is not supported"),
        ("10.0.0.0/8 append", "'append' is not supported"),
        ("10.0.0.0/8 track_group T", "no option 'track_group'"),
    ],
)
def test_a_route_that_cannot_be(line, problem):
    text = with_instance(f"virtual_routes {{\n {line}\n}}")
    if problem == "8:":
        # the host's part is left out, as ip does not take it
        assert read(text).instances[0].routes[0].words[0] == "10.0.0.0/8"
    else:
        assert any(problem in each for each in problems(text))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("from 10.2.0.0/16 table 1 preference 5", "from 10.2.0.0/16 table 1 pref 5"),
        ("to fd00::/64 lookup main priority 6", "to fd00::/64 table main pref 6"),
        ("not from 10.0.0.1 fwmark 24/12 goto 40 pref 7", ""),
        ("iif eth0 oif eth1 tos 22 blackhole pref 8", ""),
        ("from all ip_proto UDP sport 1-2 l3mdev", "from all ipproto UDP sport 1-2 l3mdev"),
    ],
)  # fmt: skip
def test_a_rule(line, words):
    family = Family.INET6 if "fd00" in line else Family.INET
    found = read(f"static_rules {{\n {line}\n}}").static.rules
    assert found == (VirtualRule(words=tuple((words or line).split()), family=family),)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("from 10.0.0.0/8", "a rule says what is done"),
        ("from 10.0.0. table 1", "is no IPv4 or IPv6 address"),
        ("from 10.0.0.0/8 to fd00::1 table 1", "mixed"),
        ("from 10.0.0.0/8 color red", "a rule has no option 'color'"),
        ("from 10.0.0.0/8 table", "wants a value of table"),
        ("from 10.0.0.0/8 table 1 track_group T", "there is no track_group 'T'"),
    ],
)
def test_a_rule_that_cannot_be(line, problem):
    assert any(problem in each for each in problems(f"static_rules {{\n {line}\n}}"))


def test_a_rule_without_a_preference_is_remarked():
    assert "says no preference" in remarks("static_rules {\n from 10.0.0.1 table 1\n}")[0]
