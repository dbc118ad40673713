# SPDX-License-Identifier: Apache-2.0
"""Tunnels on their way to the maps, back after a loss of the file, and xlvsd's sources."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from tests.unit.datapath_plan.build import KEY, World, add, add_service, change

from xlvs.cli.xlvsd import read_command_line
from xlvs.datapath.addresses import packed
from xlvs.datapath.effective import Options
from xlvs.datapath.records import Tunnel, TunnelFlag
from xlvs.model.service import Method, TunnelType

GUE = {"method": Method.TUN, "tunnel_type": TunnelType.GUE, "tunnel_port": 6080}


def test_what_packets_are_told_of_a_tunnel() -> None:
    world = World()
    world.do(
        add_service(),
        add(1, **GUE, tunnel_flags=1, weight=3),
        add(2, method=Method.TUN, tunnel_type=TunnelType.GRE, tunnel_flags=1),
        add(3, method=Method.TUN),
    )
    told = {
        record.address[-1]: (record.tunnel_type, record.tunnel_port, record.tunnel_flags)
        for record in world.port.destinations.values()
    }
    assert told == {
        11: (Tunnel.GUE, 6080, TunnelFlag.CHECKSUM),
        12: (Tunnel.GRE, 0, TunnelFlag.CHECKSUM),
        13: (Tunnel.IPIP, 0, 0),
    }
    assert {record.weight for record in world.port.destinations.values()} == {3, 1}
    world.do(change(1, method=Method.TUN))
    assert world.port.destinations[0].tunnel_type == Tunnel.IPIP


def test_a_lost_file_loses_no_tunnel() -> None:
    world = World()
    world.do(add_service(), add(1, **GUE, tunnel_flags=2), add(2, method=Method.TUN))
    before = world.director.desired.services[KEY][1]
    world.start(with_file=False)
    assert world.director.desired.services[KEY][1] == before


@pytest.mark.parametrize(
    ("text", "four", "six"),
    [
        ("10.99.0.0/24", (8, "10.99.0.0"), (0, None)),
        ("fd00:99::/112", (0, None), (16, "fd00:99::")),
        ("10.0.0.0/8,fd00::/64", (24, "10.0.0.0"), (32, "fd00::")),
        ("", (0, None), (0, None)),
    ],
)
def test_sources_that_vary_by_flow(
    text: str, four: tuple[int, str | None], six: tuple[int, str | None]
) -> None:
    networks = tuple(ip_network(word) for word in text.split(",") if word)
    world = World(options=Options(tunnel_sources=networks))
    world.do(add_service())
    got = world.director.effective.tables.settings
    assert (got.spread4, got.spread6) == (four[0], six[0])
    for source, wanted in ((got.spread_source4, four[1]), (got.spread_source6, six[1])):
        assert source == (packed(ip_network(wanted)[0]) if wanted else bytes(16))


def test_tunnel_sources_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--interfaces", "eth0", "--tunnel-sources"]
    config = read_command_line([*words, "10.99.0.0/24, fd00:99::/112"])
    assert config.tunnel_sources == (ip_network("10.99.0.0/24"), ip_network("fd00:99::/112"))
    for text, sentence in (
        ("10.99.0.1/24", "has host bits set"),
        ("10.0.0.0/24,10.1.0.0/24", "wants one prefix of each family"),
        ("10.99.0.1", "10.99.0.1/32 has no addresses to choose a source from"),
        ("224.0.0.0/4", "has no addresses to choose a source from"),
        ("tunnel", "wants prefixes between commas"),
    ):
        with pytest.raises(SystemExit) as ended:
            read_command_line([*words, text])
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
