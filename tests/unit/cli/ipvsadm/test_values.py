# SPDX-License-Identifier: Apache-2.0
"""Numbers and addresses as C and ipvsadm read them."""

from __future__ import annotations

from ipaddress import ip_address

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.oracle.desired_director import TableNames

from xlvs.cli.ipvsadm import values
from xlvs.model.service import Protocol

NAMES = TableNames()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("+3", 3),
        (" 3", 3),
        ("-4", -4),
        ("9" * 5000, 2**63),
        ("", None),
        ("3 ", None),
        ("0x10", None),
        ("1.5", None),
        ("+-3", None),
        ("²", None),
        ("٣", None),
    ],
)
def test_integer(text, value) -> None:
    assert values.integer(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("64abc", 64), ("abc", 0), ("-1", -1), ("", 0), (" 12 3", 12)]
)
def test_leading_integer(text, value) -> None:
    assert values.leading_integer(text) == value


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.1:0", "10.0.0.1", 0),
        ("10.0.0.1:http", "10.0.0.1", 80),
        ("vip.example:https", "10.0.0.1", 443),
        ("VIP.example", "10.0.0.1", None),
        ("10:80", "0.0.0.10", 80),
        ("10.0.0:80", "10.0.0.0", 80),
        ("0x0a000001:80", "10.0.0.1", 80),
        ("010.0.0.1:80", "8.0.0.1", 80),
        ("10.0.0.1 x:80", "10.0.0.1", 80),
        ("[fd00:1::1]:80", "fd00:1::1", 80),
        ("[fd00:1::1]:http", "fd00:1::1", 80),
        ("fd00:1::1:81", "fd00:1::1:81", None),
        ("::", "::", None),
        ("[10.0.0.1]:80", "10.0.0.1", None),
        ("[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80),
    ],
)
def test_endpoints(text, address, port) -> None:
    found = values.endpoint(text, Protocol.TCP, NAMES)
    assert found == (ip_address(address), port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        ":80",
        "10.0.0.256:80",
        "10.0.0.1:",
        "10.0.0.1:65536",
        "10.0.0.1:-1",
        "10.0.0.1:HTTP",
        "10.0.0.1:80:80",
        "10.0.0.1.:80",
        "nosuch.example:80",
        "[fd00:1::1]",
        "[fd00:1::1]80",
        "[fd00:1::1",
        "[fd00:1::1]:",
        "[fd00:1::zz]:80",
        "[fd00:1::1%eth0]:80",
        "[]:80",
    ],
)
def test_no_endpoints(text) -> None:
    assert values.endpoint(text, Protocol.TCP, NAMES) is None


def test_a_port_has_a_name_in_its_protocol_only() -> None:
    assert values.endpoint("10.0.0.1:http", Protocol.UDP, NAMES) is None
    assert values.endpoint("10.0.0.1:http", None, NAMES) is None
    assert values.endpoint("10.0.0.1:80", None, NAMES) is not None


@hypothesis.given(st.text(max_size=30))
def test_any_text_is_an_endpoint_or_none(text) -> None:
    found = values.endpoint(text, Protocol.TCP, NAMES)
    assert found is None or found.port is None or 0 <= found.port <= 65535


@pytest.mark.parametrize(
    ("address", "text"),
    [("::ffff:10.0.0.1", "::ffff:10.0.0.1"), ("fd00:0:0::1", "fd00::1"), ("10.0.0.1",) * 2],
)
def test_addresses_are_written_as_c_does(address, text) -> None:
    assert values.address_text(ip_address(address)) == text
