# SPDX-License-Identifier: Apache-2.0
"""Two directors, and connections whose segments they change: byte for byte by the other one."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.test_failover import FILE, Talk, cable, holds, in_sync, kill, until

from xlvs.lab import Lab
from xlvs.lab.cleanup import remove_abandoned
from xlvs.lab.director import Director

PEERS = ("10.2.0.4", "10.2.0.3")
PLAIN, HEADED = 7007, 7008
SERVERS = {"10.0.0.1": "10.2.0.11", "10.0.0.4": "10.3.0.16"}
METHODS = {"10.0.0.1": "NAT", "10.0.0.4": "FNAT"}
SYN_PROXY, PROXY_PROTOCOL = 80, 81
FEATURES = {
    SYN_PROXY: ("syn_proxy on", PLAIN),
    PROXY_PROTOCOL: ("proxy_protocol v2", HEADED),
}

SERVICE = """
virtual_server {vip} {port} {{
    lb_algo rr
    lb_kind {method}
    protocol TCP
    {local}
    {feature}
    real_server {server} {at} {{
    }}
}}
"""

# Sends back what it gets; on the second port behind a header, which it answers with its length.
_ECHO = f"""
import socket, threading
def one(channel, headed):
    with channel:
        if headed:
            found = b""
            while len(found) < 16 or len(found) < 16 + int.from_bytes(found[14:16], "big"):
                found += channel.recv(65536)
            whole = 16 + int.from_bytes(found[14:16], "big")
            assert found[:12] == b"\\r\\n\\r\\n\\0\\r\\nQUIT\\n", found
            channel.sendall(found[whole:])
        while data := channel.recv(65536):
            channel.sendall(data)
def serve(port):
    with socket.create_server(("", port)) as listener:
        while True:
            threading.Thread(target=one, args=(listener.accept()[0], port == {HEADED})).start()
threading.Thread(target=serve, args=({PLAIN},)).start()
serve({HEADED})
"""


class Echo(Talk):
    """One connection that gets back what it sends, or it is an error."""

    def _ask(self, connection: socket.socket) -> None:
        sent = hashlib.shake_128(self.answers.to_bytes(8, "big")).digest(20_000)
        connection.sendall(sent)
        found = b""
        while len(found) < len(sent):
            more = connection.recv(65536)
            if not more:
                raise ConnectionResetError("closed by the server")
            found += more
        if found != sent:
            raise OSError(f"block {self.answers} came back otherwise")
        self.answers += 1


def configuration(name: str, priority: int, peer: str, secret: Path) -> str:
    text = FILE.format(name=name, priority=priority, peer=peer)
    text += f"global_defs {{\n    syn_cookie_secret_file {secret}\n}}\n"
    for vip, server in SERVERS.items():
        for port, (feature, at) in FEATURES.items():
            method = METHODS[vip]
            local = "laddr_group_name local" if method == "FNAT" else ""
            text += SERVICE.format(
                vip=vip,
                port=port,
                method=method,
                local=local,
                feature=feature,
                server=server,
                at=at,
            )
    return text


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    remove_abandoned()
    with Lab("pair", prefix=f"xlvs-q{os.getpid()}") as lab:
        lab.prepare_real_servers()
        for server in lab.real_servers:
            if server.v4 in SERVERS.values():
                log = lab.folder / f"{server.name}-echo.log"
                server.namespace.start([sys.executable, "-c", _ECHO], "echo", log)
                server.namespace.wait_for_port(HEADED)
        yield lab


@pytest.fixture
def two(pair: Lab, hook: str, tmp_path: Path) -> Iterator[list[Director]]:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    secret.chmod(0o600)
    for at, director in enumerate(pair.directors):
        file = tmp_path / f"{at}.conf"
        file.write_text(configuration(f"d{at}", 150 - 50 * at, PEERS[at], secret))
        director.start_xlvsd(hook, local_addresses=(), extra=["-f", str(file)], patience=60)
    until(lambda: holds(pair.directors[0]) and not holds(pair.directors[1]))
    until(lambda: all(in_sync(each) for each in pair.directors))
    yield pair.directors
    pair.client.run(["nft", "flush", "ruleset"])
    for director in pair.directors:
        cable(pair, director, plugged=True)
        director.down()


def cookies(director: Director) -> int:
    """SYNs that it has answered."""
    reasons = json.loads(director.xlvs("status --json").stdout)["reasons"]
    return int(reasons.get("reply_syn_cookie", {"packets": 0})["packets"])


@pytest.mark.parametrize("vip", SERVERS)
@pytest.mark.parametrize("port", FEATURES, ids=["syn_proxy", "proxy_protocol"])
def test_every_byte_arrives_by_the_other_director(
    pair: Lab, two: list[Director], vip: str, port: int
) -> None:
    with Echo(pair.client, vip, port) as echo:
        echo.goes_on()
        time.sleep(0.2)
        kill(pair, two[0])
        echo.goes_on(100)
    assert holds(two[1])


@pytest.mark.parametrize("vip", SERVERS)
def test_in_the_middle_of_a_handshake(pair: Lab, two: list[Director], vip: str) -> None:
    """One answers the SYN, and its cookie proves the client to the other one."""
    rules = f"""
        table ip acks {{
            chain lost {{
                type filter hook output priority 0; policy accept;
                ip daddr {vip} tcp flags & (syn | ack) == ack drop;
            }};
        }}
    """
    pair.client.run(["nft", "-f", "-"], stdin=rules)
    with Echo(pair.client, vip, SYN_PROXY) as echo:
        until(lambda: cookies(two[0]) > 0)
        kill(pair, two[0])
        until(lambda: holds(two[1]))
        pair.client.run(["nft", "flush", "ruleset"])
        echo.goes_on()
