# SPDX-License-Identifier: Apache-2.0
"""Addresses with ports on command lines of ours."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.model.problem import Problem
from xlvs.wire.endpoint import (
    destination_key,
    destination_name,
    endpoint,
    service_key,
    service_name,
)


def test_endpoints():
    assert endpoint("10.0.0.1:80") == (ip_address("10.0.0.1"), 80)
    assert endpoint("[fd00::1]:0") == (ip_address("fd00::1"), 0)


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "fd00::1:80", "[fd00::1]", "[10.0.0.1]:80",
     "vip:80", "10.0.0.1:http", "10.0.0.1:-1", "10.0.0.1:" + "9" * 5000, "10.0.0.1:\u0663"],
)  # fmt: skip
def test_what_is_none(text):
    with pytest.raises(Problem, match="ADDRESS:PORT"):
        endpoint(text)


@pytest.mark.parametrize(
    "name", ["tcp/10.0.0.1:80", "udp/[fd00::1]:53", "sctp/10.0.0.1:0", "fwm/7", "fwm6/4294967295"]
)
def test_services_have_one_name_each(name):
    assert service_name(service_key(*name.split("/"))) == name


@pytest.mark.parametrize("name", ["10.0.0.1:80", "[fd00::1]:80"])
def test_real_servers_have_one_name_each(name):
    assert destination_name(destination_key(name)) == name


@pytest.mark.parametrize(
    "name", ["icmp/10.0.0.1:80", "TCP/10.0.0.1:80", "tcp/80", "fwm/0", "fwm/x", "fwm/4294967296"]
)
def test_what_is_no_service(name):
    with pytest.raises(Problem):
        service_key(*name.split("/"))
