# SPDX-License-Identifier: Apache-2.0
"""Servers that are told who the client is, by real programs, networks and losses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.lab import wire
from tests.lab.traffic import FLAG, bracket, vip

from xlvs.lab import Lab
from xlvs.lab.director import Director
from xlvs.lab.realserver import RealServer

NGINX, HAPROXY, READER, SPEAKER = 9080, 9081, 9082, 9083
STREAMS = Path(__file__).with_name("streams.py")
FAMILIES = pytest.mark.parametrize("family", [4, 6])
HOW = pytest.mark.parametrize("how", ["v1", "v2", "v2 --proxy-tlv id", "v2 --syn-proxy on"])

_NGINX = """\
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/b;
    proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    server {{
        listen [::]:{port} ipv6only=off proxy_protocol;
        return 200 "$proxy_protocol_addr $proxy_protocol_port";
    }}
}}
"""
_HAPROXY = """\
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend told
    bind :::{port} v4v6 accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]"
"""


@pytest.fixture(scope="module", autouse=True)
def well_formed(prepared: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with wire.lab_watched(prepared, tmp_path_factory.mktemp("wire")):
        yield


@pytest.fixture(scope="module")
def server(prepared: Lab) -> RealServer:
    """A real server of NAT and one of FULLNAT are the same host: it runs all that reads headers."""
    (found, *_) = prepared.servers_for("nat")
    folder = prepared.folder / "proxied"
    folder.mkdir()
    nginx, haproxy = folder / "nginx.conf", folder / "haproxy.cfg"
    nginx.write_text(_NGINX.format(folder=folder, port=NGINX))
    haproxy.write_text(_HAPROXY.format(port=HAPROXY))
    for name, argv, port in (
        ("nginx told", ["nginx", "-p", str(folder), "-c", str(nginx)], NGINX),
        ("haproxy", ["haproxy", "-db", "-f", str(haproxy)], HAPROXY),
        ("reader", [sys.executable, str(STREAMS), "serve", str(READER)], READER),
        ("speaker", [sys.executable, str(STREAMS), "serve", str(SPEAKER), "banner"], SPEAKER),
    ):
        found.namespace.start(argv, name, folder / f"{name}.log")
        found.namespace.wait_for_port(port)
    return found


def service(  # what a service is made of
    world: Lab, server: RealServer, method: str, family: int, port: int, options: str
) -> str:
    """The service's address; its port is the real server's."""
    address = vip(world, method, family)
    name = f"-t {bracket(address)}:{port}"
    world.director.ipvsadm(f"-A {name} -s rr {options}")
    real = f"{bracket(server.address(family))}:{port}"
    world.director.ipvsadm(f"-a {name} -r {real} {FLAG[method]}")
    return address


def client(shown: str) -> tuple[object, int]:
    address, port = shown.split()
    return ip_address(address), int(port)


def send(world: Lab, address: str, port: int, times: int, size: int, *more: str) -> None:
    """Upload, and be told by the server what it got from whom."""
    argv = [sys.executable, str(STREAMS), "send", address, *map(str, (port, times, size)), *more]
    done = world.client.run(argv, timeout=120)
    assert done.stdout.splitlines() == ["right"] * times


@FAMILIES
@HOW
@pytest.mark.usefixtures("director")
def test_real_programs_show_the_client(
    prepared: Lab, server: RealServer, family: int, how: str
) -> None:
    for method in ("nat", "fullnat"):
        for port in (NGINX, HAPROXY):
            options = f"--proxy-protocol {how}"
            address = service(prepared, server, method, family, port, options)
            url = f"http://{bracket(address)}:{port}/"
            argv = ["curl", "-sS", "-m", "5", "-w", "\n%{local_ip} %{local_port}", url]
            shown, own = prepared.client.run(argv).stdout.splitlines()
            # As text it comes as v1 has it: nginx shows all of an IPv6 address's digits.
            assert client(shown) == client(own)


@FAMILIES
@HOW
@pytest.mark.usefixtures("director")
def test_streams_are_whole(prepared: Lab, server: RealServer, family: int, how: str) -> None:
    options = f"--proxy-protocol {how}"
    address = service(prepared, server, "fullnat", family, READER, options)
    for size in (0, 1, 1432, 3000, 5_000_000):
        send(prepared, address, READER, 3, size)
    address = service(prepared, server, "fullnat", family, SPEAKER, options)
    for size in (0, 3000):
        send(prepared, address, SPEAKER, 3, size, "banner")


@contextmanager
def losses(world: Lab, server: RealServer, percent: int) -> Iterator[None]:
    """Both ways, packet by packet: nothing is merged before it is lost."""
    rules = (
        "table inet lossy { chain input { type filter hook input priority 0; "
        f"meta iifname eth0 meta l4proto tcp numgen random mod 100 < {percent} drop; }}; }}"
    )
    ends = (world.client, server.namespace)
    for end in ends:
        end.run(["ethtool", "-K", "eth0", "gro", "off", "gso", "off", "tso", "off"], check=False)
        end.run(["nft", rules])
    try:
        yield
    finally:
        for end in ends:
            end.run(["nft", "delete", "table", "inet", "lossy"])
            end.run(["ethtool", "-K", "eth0", "gro", "on", "gso", "on", "tso", "on"], check=False)


@FAMILIES
@pytest.mark.parametrize(
    "how",
    [
        "v1",
        "v2 --proxy-tlv id --toa",
        "v1 --syn-proxy on",
        "v2 --proxy-tlv id --toa --syn-proxy on",
    ],
)
@pytest.mark.usefixtures("director")
def test_streams_are_whole_with_losses(
    prepared: Lab, server: RealServer, family: int, how: str
) -> None:
    options = f"--proxy-protocol {how}"
    reader = service(prepared, server, "fullnat", family, READER, options)
    speaker = service(prepared, server, "fullnat", family, SPEAKER, options)
    with losses(prepared, server, 5):
        send(prepared, reader, READER, 10, 20_000)
        send(prepared, reader, READER, 1, 1_000_000)
        send(prepared, speaker, SPEAKER, 5, 3000, "banner")


@contextmanager
def recorded(world: Lab, server: RealServer, file: Path) -> Iterator[None]:
    """What arrives at the server, packet by packet, with whole checksums, in a file."""
    server.run(["ethtool", "-K", "eth0", "gro", "off"], check=False)
    for end in (world.client, server.namespace):
        end.run(["ethtool", "-K", "eth0", "tx", "off"])
    try:
        with wire.recorded(file, server.namespace.enter, "eth0", "tcp"):
            yield
    finally:
        for end in (world.client, server.namespace):
            end.run(["ethtool", "-K", "eth0", "tx", "on"])
        server.run(["ethtool", "-K", "eth0", "gro", "on"], check=False)


@FAMILIES
@pytest.mark.parametrize("more", ["", " --syn-proxy on"], ids=["plain", "syn proxy"])
def test_what_arrives_is_well_formed(
    prepared: Lab, server: RealServer, director: Director, family: int, more: str
) -> None:
    """TOA in the SYN and the handshake's ACK, the header behind it; nothing that tshark marks."""
    options = f"--proxy-protocol v2 --proxy-tlv id --toa{more}"
    address = service(prepared, server, "fullnat", family, READER, options)
    file = prepared.folder / f"arrived{family}{len(more)}.pcap"
    with recorded(prepared, server, file):
        send(prepared, address, READER, 1, 100_000)
    only = f"tcp.dstport == {READER}"
    kinds = wire.tshark(file, only, "tcp.flags", "tcp.option_kind", "tcp.len")
    assert [int(flags, 16) & 0x12 for flags, _, _ in kinds[:2]] == [0x02, 0x10]
    assert all(each.split(",")[0] == "254" for _, each, _ in kinds[:2])
    header = (52 if family == 6 else 28) + 19 + 3
    assert int(kinds[1][2]) == header, "the handshake's ACK has the header"
    assert "254" not in kinds[-1][1].split(",")
    assert wire.wrong(file) == []
    assert "toa" in director.xlvs("status").stdout
