# SPDX-License-Identifier: Apache-2.0
"""``xlvs explain``'s words."""

from __future__ import annotations

import argparse
from ipaddress import ip_address

import pytest

from xlvs.cli.commands.explain import add_arguments, endpoint, request
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol


def parsed(*words: str):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return request(parser.parse_args(words))


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("10.0.0.1:0", "10.0.0.1", 0),
        ("fd00::1", "fd00::1", None),
        ("[fd00::1]", "fd00::1", None),
        ("[fd00::1]:65535", "fd00::1", 65535),
    ],
)
def test_endpoints(text, address, port):
    assert endpoint(text) == (ip_address(address), port)


@pytest.mark.parametrize(
    "text",
    ["", ":80", "host:80", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:65536", "10.0.0.1:-1",
     "[fd00::1]80", "[fd00::1", "[]:80", "fd00::1%eth0", "10.0.0.1:٣"],
)  # fmt: skip
def test_no_endpoints(text):
    with pytest.raises(Problem):
        endpoint(text)


def test_the_packet_of_the_words():
    found = parsed("--udp", "1.2.3.4", "[fd00::1]:53", "--flags", "sa", "--mark", "0x10",
                   "--length", "99", "--hook", "tc", "--interface", "eth3")  # fmt: skip
    assert found.protocol is Protocol.UDP
    assert (found.source_port, found.destination_port) == (None, 53)
    assert (found.flags, found.mark, found.length) == ("SA", 16, 99)
    assert (found.hook, found.interface) == ("tc", "eth3")


def test_the_virtual_address_needs_a_port():
    with pytest.raises(Problem, match="a port is missing"):
        parsed("--tcp", "1.2.3.4:5", "10.0.0.1")


def test_an_error_about_a_packet():
    found = parsed("--tcp", "10.0.0.1:80", "1.2.3.4:5", "--error", "too-big", "--sender", "fd00::1")
    assert (found.error, found.sender) == ("too-big", ip_address("fd00::1"))
    assert parsed("--tcp", "10.0.0.1:80", "1.2.3.4:5").sender is None
