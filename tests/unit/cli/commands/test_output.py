# SPDX-License-Identifier: Apache-2.0
"""``-o json`` of what is listed: the API's own values, on one line."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from xlvs.cli.commands import realserver, services
from xlvs.cli.main import COMMANDS, main
from xlvs.model.service import Destination, DestinationKey, Protocol, Service, ServiceKey
from xlvs.wire import codec
from xlvs.wire.messages import Counters, DestinationView, Rates, ServiceList, ServiceView
from xlvs.wire.realserver import RealserverCheck

ZERO = {"stats": Counters(), "live": Counters(), "rates": Rates()}
SERVICES = ServiceList(
    services=[
        ServiceView(
            service=Service(
                key=ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80)
            ),
            destinations=[
                DestinationView(
                    destination=Destination(
                        key=DestinationKey(address=ip_address("10.2.0.11"), port=8080)
                    ),
                    active=3,
                    inactive=4,
                    persistent=0,
                    next_hop="local",
                    **ZERO,
                )
            ],
            remarks=[],
            **ZERO,
        )
    ],
    table_size=4096,
)


class Director:
    def services(self):
        return SERVICES

    def plan(self, _wanted):
        return ["tcp 10.0.0.1:80 is added"]


@pytest.fixture(autouse=True)
def director(monkeypatch):
    monkeypatch.setattr(services, "from_environment", Director)
    monkeypatch.setattr("xlvs.client.from_environment", Director)


def test_services(capsys):
    assert main(["services", "-o", "json"]) == 0
    out = capsys.readouterr().out
    assert codec.decode(out.encode(), ServiceList) == SERVICES
    assert out.count("\n") == 1
    assert main(["services"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tcp", "10.0.0.1:80", "wlc", "3/4"] in [line[:4] for line in lines]


def test_plan(tmp_path, capsys):
    file = tmp_path / "k.conf"
    file.write_text("")
    assert main(["plan", str(file), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"changes": ["tcp 10.0.0.1:80 is added"]}
    assert main(["plan", str(file)]) == 0
    assert capsys.readouterr().out == "tcp 10.0.0.1:80 is added\n"


@pytest.mark.parametrize("wrong", [[], ["10.0.0.9 is not on lo"]])
def test_realserver_check(monkeypatch, capsys, wrong):
    monkeypatch.setattr(realserver.os, "geteuid", lambda: 0)
    monkeypatch.setattr("xlvs.realserver.check.problems", lambda *_: wrong)
    words = ["realserver", "check", "--vip", "10.0.0.9", "--method", "tun", "-o", "json"]
    assert main(words) == bool(wrong)
    found = codec.decode(capsys.readouterr().out.encode(), RealserverCheck)
    assert found == RealserverCheck(methods={"10.0.0.9": "tun"}, problems=wrong)


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("services",), ("connections",), ("connection", "close"), ("settings",),
        ("mark", "list"), ("destination", "drain"), ("plan",), ("check-config",), ("explain",),
        ("realserver", "check"), ("watch",), ("apply",),
    ],
)  # fmt: skip
def test_all_that_is_listed_has_it(words, capsys):
    assert words[0] in COMMANDS
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert "-o {table,json}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, "-o", "xml"])
    assert "'xml'" in capsys.readouterr().err
