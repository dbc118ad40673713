# SPDX-License-Identifier: Apache-2.0
"""``-o json`` of what is listed: the API's own values, on one line."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from xlvs.cli.commands import realserver, services
from xlvs.cli.main import COMMANDS, main
from xlvs.model.service import Destination, DestinationKey, Protocol, Service, ServiceKey
from xlvs.realserver.client_address.findings import Findings
from xlvs.wire import codec
from xlvs.wire.messages import Counters, DestinationView, Rates, ServiceList, ServiceView
from xlvs.wire.realserver import ClientAddress, RealserverCheck

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


TOLD = ClientAddress(
    cgroup="/no/cgroup",
    believed=["10.2.0.101"],
    kind=254,
    connections={
        "by_syn": 3, "by_ack": 2, "later": 1, "without": 4, "not_believed": 5,
        "malformed": 0, "second": 0, "no_memory": 0,
    },
)  # fmt: skip


@pytest.mark.parametrize("wrong", [[], ["xlvs_client_peer4 is not attached"]])
def test_realserver_check_of_client_addresses(monkeypatch, capsys, wrong):
    monkeypatch.setattr(realserver.os, "geteuid", lambda: 0)
    found = Findings(wrong, ["tcp_syncookies is 2"])
    monkeypatch.setattr(realserver.client_address, "check", lambda _: ([TOLD], found))
    assert main(["realserver", "check", "--client-address"]) == bool(wrong)
    first, counts, note = capsys.readouterr().out.splitlines()
    title = "nothing wrong: client addresses in cgroup /no/cgroup from 10.2.0.101 by option 254"
    assert first == (wrong or [title])[0]
    assert counts == (
        "clients in cgroup /no/cgroup: 3 known from the SYN, 2 from the handshake's last packet,"
        " 1 from a later one; 4 without the option, 5 not believed"
    )
    assert note == "note: tcp_syncookies is 2"
    assert main(["realserver", "check", "--client-address", "-o", "json"]) == bool(wrong)
    assert codec.decode(capsys.readouterr().out.encode(), RealserverCheck) == RealserverCheck(
        methods={}, problems=wrong, notes=found.notes, client_address=[TOLD]
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["up"], "required: --vip, --method; or --client-address"),
        (["up", "--from", "10.2.0.101"], "--from belongs to --client-address"),
        (["up", "--toa-kind", "254"], "--toa-kind belongs to --client-address"),
        (["down", "--cgroup", "/x"], "--cgroup belongs to --client-address"),
        (["check", "--cgroup", "/x"], "--cgroup belongs to --client-address"),
        (["up", "--client-address"], "name the directors' local addresses"),
    ],
)
def test_realserver_refuses(monkeypatch, capsys, words, sentence):
    monkeypatch.setattr(realserver.os, "geteuid", lambda: 0)
    assert main(["realserver", *words]) == 2
    assert sentence in capsys.readouterr().err


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
