# SPDX-License-Identifier: Apache-2.0
"""The system's resolver, without asking the machine or the network."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from xlvs.cli.ipvsadm.names import SystemNames


def test_services(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def service(port: int, protocol: str) -> str:
        asked.append(port)
        if (port, protocol) == (80, "tcp"):
            return "http"
        raise OSError

    monkeypatch.setattr(socket, "getservbyport", service)
    names = SystemNames()
    for _ in range(2):
        assert names.service(80, "tcp") == "http"
        assert names.service(1, "udp") is None
    assert asked == [80, 1]


def test_what_is_no_name_has_no_port_and_no_address() -> None:
    names = SystemNames()
    for text in ("nosuch\0", "\udcff", "no such service"):
        assert names.port(text, "tcp") is None
    for text in ("\0", "a" * 300):
        assert names.address(text) is None


def test_each_address_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(address: str) -> tuple[str, list[str], list[str]]:
        asked.append(address)
        if address == "10.0.0.1":
            return "vip.example", [], []
        raise socket.herror

    monkeypatch.setattr(socket, "gethostbyaddr", resolve)
    names = SystemNames()
    for _ in range(2):
        assert names.host(ip_address("10.0.0.1")) == "vip.example"
        assert names.host(ip_address("fd00::1")) is None
    assert asked == ["10.0.0.1", "fd00::1"]
