# SPDX-License-Identifier: Apache-2.0
"""Every kind of tunnel, from the director's hook to the real server's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.traffic import ask, bracket, vip, who

from xlvs.lab import Lab
from xlvs.lab.lab import realserver_up
from xlvs.lab.realserver import RealServer
from xlvs.lab.servers import UDP_PORT, UPLOAD

KINDS = {
    "ipip": "",
    "gue": "--tun-type gue --tun-port 6080",
    "gue-csum": "--tun-type gue --tun-port 6080 --tun-csum",
    "gre": "--tun-type gre",
    "gre-csum": "--tun-type gre --tun-csum",
}
# Kind, client's family, tunnel's family.
STREAMS = [(kind, family, family) for kind in KINDS for family in (4, 6)] + [
    (kind, family, 10 - family) for kind in ("gue", "gre-csum") for family in (4, 6)
]


@pytest.fixture(scope="module", params=["tc", "xdp"])
def opener(request: pytest.FixtureRequest, prepared: Lab) -> Iterator[RealServer]:
    """A real server that opens all of them, on a hook of its own."""
    server = prepared.servers_for("tun")[0]
    kinds = [word for kind in ("ipip", "gue", "gre") for word in ("--tunnel", kind)]
    server.realserver("down")
    server.realserver(*realserver_up(prepared.plan, "tun"), *kinds, "--hook", request.param)
    yield server
    server.realserver("down")
    server.realserver(*realserver_up(prepared.plan, "tun"))


def services(world: Lab, server: RealServer, client: int, outer: int, kind: str) -> str:
    """HTTP and a UDP echo through a tunnel; the virtual address."""
    address = vip(world, "tun", client)
    for service in (f"-t {bracket(address)}:80", f"-u {bracket(address)}:{UDP_PORT}"):
        port = service.rpartition(":")[2]
        world.director.ipvsadm(f"-A {service} -s rr")
        real = f"{bracket(server.address(outer))}:{port}"
        world.director.ipvsadm(f"-a {service} -r {real} -i {KINDS[kind]}")
    return address


@pytest.mark.parametrize(("kind", "client", "outer"), STREAMS)
@pytest.mark.usefixtures("director")
def test_a_stream_and_a_datagram(
    prepared: Lab, opener: RealServer, kind: str, client: int, outer: int
) -> None:
    """Three megabytes to the server: GSO frames on TC, and more than one packet's checksum."""
    address = services(prepared, opener, client, outer, kind)
    assert who(ask(prepared, address, "udp", 1)) == {opener.name: 1}
    upload = f"curl -sS -m 3 --data-binary @- http://{bracket(address)}/{UPLOAD}"
    done = prepared.client.run(["sh", "-c", f"head -c 3000000 /dev/zero | {upload}"], check=False)
    assert done.stdout.endswith(" took 3000000\n")


@pytest.mark.parametrize(("client", "left"), [(4, 1500 - 40 - 32), (6, 1500 - 60 - 52)])
@pytest.mark.usefixtures("director")
def test_syn_acks_leave_room_for_the_tunnel(
    prepared: Lab, opener: RealServer, client: int, left: int
) -> None:
    """All kinds are open, so the largest counts, GUE."""
    address = services(prepared, opener, client, client, "gue")
    with opener.capture("tcp") as seen:
        assert who(ask(prepared, address, "tcp", 1)) == {opener.name: 1}
    (answer,) = seen.with_word("Flags [S.]")
    assert f"mss {left}," in answer
