# SPDX-License-Identifier: Apache-2.0
"""Addresses with ports on command lines of ours."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.model.problem import Problem
from xlvs.wire.endpoint import endpoint


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
