# SPDX-License-Identifier: Apache-2.0
"""What ``xlvs status`` prints."""

from __future__ import annotations

import io
from ipaddress import ip_address

import msgspec
import pytest
from rich.console import Console
from tests.unit.datapath_plan.build import KEY, destination

from xlvs.cli import main
from xlvs.cli.commands import status
from xlvs.model.service import Method, Service
from xlvs.wire.messages import (
    Counters,
    DestinationView,
    InterfaceView,
    LocalPorts,
    Rates,
    ServiceView,
    Status,
    TableView,
)

RATES = Rates(connections=12, in_packets=12345, out_packets=999, in_bytes=2_500_000)


def shown(**more):
    found = Status(
        instance="edge",
        version="1.2",
        pid=77,
        started=0.0,
        adopted=True,
        interfaces=[
            InterfaceView(
                name="eth0", hook="tc", why="driver [veth]", attached=False, egress=False
            ),
            InterfaceView(name="eth1", hook="xdp", why="driver i40e", attached=True, egress=True),
        ],
        table=TableView(
            size=1000,
            used=950,
            high_water=960,
            half_open=240,
            half_open_max=250,
            created=2000,
            expired=1050,
            evicted=12,
            full=0,
        ),
        reasons={
            "fwd_nat": {"packets": 10, "bytes": 900},
            "drop_table_full": {"packets": 2000, "bytes": 90},
        },
        streams={"toa": 12345, "toa_no_room": 3, "toa_mtu": 0},
        local_ports=[
            LocalPorts(
                local=ip_address("192.168.200.100"),
                destination=ip_address("fd00::1"),
                destination_port=80,
                protocol=KEY.protocol,
                used=3,
                free=64509,
                exhausted=1,
            )
        ],
        local_addresses=[],
        services=[
            ServiceView(
                service=Service(key=KEY, scheduler="sh", persistence_timeout=50),
                destinations=[
                    view(1, "resolved via eth1 02:00:00:00:02:11"),
                    view(2, "unresolved: no route", weight=0),
                ],
                stats=Counters(),
                live=Counters(),
                rates=RATES,
                remarks=["scheduler sh is not in the data path yet"],
            )
        ],
        settings={},
        totals=Counters(),
        rates=RATES,
        problems=["tcp 10.0.0.1:80: 192.168.200.12: unresolved: no route"],
    )
    out = io.StringIO()
    found = msgspec.structs.replace(found, **more)
    status.show(found, Console(file=out, width=80, color_system=None))
    return out.getvalue()


def view(n, next_hop, weight=1, **more):
    found = DestinationView(
        destination=destination(n, weight, Method.FULLNAT),
        active=4,
        inactive=5,
        persistent=0,
        stats=Counters(),
        live=Counters(),
        rates=RATES,
        next_hop=next_hop,
    )
    return msgspec.structs.replace(found, **more)


def service(*destinations, **more):
    return ServiceView(
        service=Service(key=KEY, **more),
        destinations=list(destinations),
        stats=Counters(),
        live=Counters(),
        rates=RATES,
        remarks=[],
    )


def row_of(text, words):
    """The words of the row that begins so."""
    (found,) = [line for line in text.splitlines() if line.strip().startswith(words)]
    return found.removeprefix(" ").split()


def test_everything_is_there_in_eighty_columns():
    text = shown()
    for words in (
        "edge (xlvs 1.2, xlvsd 77, adopted a running data path)",
        "tc not attached driver [veth]",
        "xdp attached, egress too driver i40e",
        "950 of 1000 (95.0 %), most so far 960; 2000 made, 1050",
        "240 of 250; 12 made room for others",
        "tcp 10.0.0.1:80",
        "sh 50 s (!)",
        "12.3K/999",
        "2.5M/0",
        "✓ 192.168.200.11:80",
        "✗ 192.168.200.12:80",
        "tcp [fd00::1]:80",
        "• tcp 10.0.0.1:80: 192.168.200.12: unresolved: no route",
    ):
        assert words in text, words
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("drop_table_full") < text.index("fwd_nat")


NOT_COUNTED = "\N{EN DASH}"
STATELESS_LINE = "stateless: connections are not counted; Act/In are those remembered since"


def test_a_stateless_service_counts_what_it_remembers():
    idle = view(1, "local", active=0, inactive=0)
    text = shown(
        services=[service(view(2, "local"), idle, scheduler="mh", stateless=True)], problems=[]
    )
    assert row_of(text, "tcp 10.0.0.1:80")[2:5] == ["mh", "stateless", "4/5"]
    assert row_of(text, "✓ 192.168.200.12:80")[4] == "4/5"
    assert row_of(text, "✓ 192.168.200.11:80")[4] == NOT_COUNTED
    assert STATELESS_LINE in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_stateless_service_without_connections_has_a_dash():
    idle = view(1, "local", active=0, inactive=0)
    text = shown(services=[service(idle, scheduler="mh", stateless=True)], problems=[])
    assert row_of(text, "tcp 10.0.0.1:80")[2:5] == ["mh", "stateless", NOT_COUNTED]


def test_other_services_show_zero_and_no_word_of_it():
    idle = view(1, "local", active=0, inactive=0)
    text = shown(services=[service(idle, scheduler="mh")], problems=[])
    assert row_of(text, "tcp 10.0.0.1:80")[2:4] == ["mh", "0/0"]
    assert row_of(text, "✓ 192.168.200.11:80")[4] == "0/0"
    assert "stateless" not in text


def test_flags_are_shown_also_without_remarks():
    text = shown(services=[service(scheduler="rr", one_packet=True)], problems=[])
    assert row_of(text, "tcp 10.0.0.1:80")[2:4] == ["rr", "ops"]


def test_telling_servers_of_clients_is_counted():
    text = shown(services=[service(scheduler="rr", toa=True)], problems=[])
    assert row_of(text, "tcp 10.0.0.1:80")[2:4] == ["rr", "toa"]
    assert row_of(text, "toa ")[-1] == "12.3K"
    assert row_of(text, "toa_no_room")[-1] == "3"
    assert "toa_mtu" not in text, "nothing happened"


def test_an_empty_director():
    text = shown(services=[], local_ports=[], reasons={}, streams={}, problems=[])
    assert "Client's address" not in text
    assert "no services: ipvsadm -A adds one" in text
    assert "No problems." in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0K"), (12_345, "12.3K"), (4_500_000_000, "4.5G")],
)
def test_numbers_are_short(number, text):
    assert status.scaled(number) == text


def test_no_daemon_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    monkeypatch.setenv("XLVS_INSTANCE", "other")
    assert main.main(["--instance", "nobody", "status"]) == 255
    said = capsys.readouterr().err
    assert said.startswith("xlvs status: ")
    assert "nobody.sock" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["nonsense"], ["status", "--nonsense"], ["--nonsense"]])
def test_wrong_usage_is_one_sentence(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
