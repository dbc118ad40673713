# SPDX-License-Identifier: Apache-2.0
"""The API on real sockets: TLS and tokens, and clients that are slow, late, many or rude."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import ssl
import stat
from ipaddress import ip_address

import pytest
from tests.unit.api.served import InMemory
from tests.unit.api.serving import certificate, talk

from xlvs.api import connection, server
from xlvs.client import Client, UnixSocket, connect
from xlvs.model.configuration import Configuration
from xlvs.model.listening import Tcp
from xlvs.model.problem import Code, Problem
from xlvs.wire.endpoint import service_key
from xlvs.wire.resources import ConfiguredService

READ, WRITE = "r" * 32, "w" * 32
KEY = service_key("tcp", "10.0.0.1:80")


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def tcp(tmp_path, free_port):
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"scrape read {READ}\ndeploy write {WRITE}\n")
    return Tcp(ip_address("127.0.0.1"), free_port, str(tokens))


def with_tls(tcp, folder):
    return tcp._replace(**dict(zip(("certificate", "key"), certificate(folder), strict=True)))


def test_tls_and_tokens(tmp_path, tcp):
    tcp = with_tls(tcp, tmp_path)
    url = f"https://127.0.0.1:{tcp.port}"

    def conversation(listening):
        reader = connect(url, token=READ, authority=tcp.certificate)
        assert reader.timeouts().tcp == 900
        with pytest.raises(Problem) as caught:
            reader.put_service(ConfiguredService(key=KEY))
        assert (caught.value.code, caught.value.message) == (
            Code.FORBIDDEN,
            "scrape may not do this: it needs the scope write",
        )
        writer = connect(url, token=WRITE, authority=tcp.certificate)
        assert writer.put_service(ConfiguredService(key=KEY)).changed
        with pytest.raises(Problem, match="by the Unix socket"):
            writer.apply(Configuration())
        with pytest.raises(Problem) as caught:
            connect(url, token="x" * 32, authority=tcp.certificate).timeouts()
        assert caught.value.code is Code.FORBIDDEN
        assert listening.refused_tokens() == 1
        with pytest.raises(Problem, match="certificate verify failed"):
            connect(url, token=READ).timeouts()

    talk(tmp_path / "x.sock", InMemory().app, conversation, tcp)


def test_sighup_reads_tokens_and_certificate_again(tmp_path, tcp):
    tcp = with_tls(tcp, tmp_path)
    url = f"https://127.0.0.1:{tcp.port}"
    before = (tmp_path / "here.pem").read_text()
    (tmp_path / "old.pem").write_text(before)

    def conversation(listening):
        certificate(tmp_path)  # another one, at the same place
        assert connect(url, token=READ, authority=str(tmp_path / "old.pem")).timeouts()
        (tmp_path / "tokens").write_text("nonsense")
        listening.reload()
        assert connect(url, token=READ, authority=str(tmp_path / "old.pem")).timeouts()
        (tmp_path / "tokens").write_text(f"deploy write {WRITE}\n")
        listening.reload()
        assert connect(url, token=WRITE, authority=tcp.certificate).timeouts()
        with pytest.raises(Problem):
            connect(url, token=READ, authority=tcp.certificate).timeouts()

    talk(tmp_path / "x.sock", InMemory().app, conversation, tcp)


def test_plain_http_on_loopback(tmp_path, tcp):
    def conversation(_):
        assert connect(f"http://127.0.0.1:{tcp.port}", token=READ).timeouts().tcp == 900
        rebound = b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        assert raw(tcp.port, rebound).startswith(b"HTTP/1.1 421 ")

    talk(tmp_path / "x.sock", InMemory().app, conversation, tcp)


def raw(port, said):
    """What comes back, until the other side ends."""
    with socket.create_connection(("127.0.0.1", port), 30) as channel:
        channel.sendall(said)
        found = b""
        while more := channel.recv(65536):
            found += more
        return found


def test_rude_clients(tmp_path, tcp, monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    head = f"GET /v1/timeouts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {READ}\r\n"

    def ended(said):
        with contextlib.suppress(ConnectionError):
            assert not raw(tcp.port, said)

    def conversation(_):
        ended(b"")
        ended(b"GET / HTTP/1.1\r\nHost: l")
        half = f"{head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{}}"
        ended(half.replace("GET", "PUT").replace(READ, WRITE).encode())
        assert b"400 Bad Request" in raw(tcp.port, b"\x16\x03\x01 what is this\r\n\r\n")
        with contextlib.suppress(ConnectionError):  # it may end while this is still being said
            assert b"400 Bad Request" in raw(tcp.port, f"{head}X: {'x' * 2_000_000}".encode())
        # And all goes on.
        answer = raw(tcp.port, f"{head}Connection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 ")

    talk(tmp_path / "x.sock", InMemory().app, conversation, tcp)


def test_connections_are_bounded(tmp_path, tcp, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 4)
    request = b"GET /v1/timeouts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    def conversation(_):
        idle = [socket.create_connection(("127.0.0.1", tcp.port), 30) for _ in range(4)]
        assert raw(tcp.port, request).startswith(b"HTTP/1.1 503 ")
        for each in idle:
            each.close()

    talk(tmp_path / "x.sock", InMemory().app, conversation, tcp)


def test_handshakes_are_bounded(tmp_path, tcp, monkeypatch):
    monkeypatch.setattr(server, "HANDSHAKES_MAX", 4)
    monkeypatch.setattr(server, "HANDSHAKE_SECONDS", 0.3)
    tcp = with_tls(tcp, tmp_path)

    def conversation(_):
        idle = [socket.create_connection(("127.0.0.1", tcp.port), 30) for _ in range(12)]
        client = connect(f"https://127.0.0.1:{tcp.port}", token=READ, authority=tcp.certificate)
        assert client.timeouts().tcp == 900  # it has waited for its turn
        for each in idle:
            with contextlib.suppress(ConnectionError):
                assert each.recv(1) == b""
            each.close()
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in raw(tcp.port, b"GET / HTTP/1.1\r\n\r\n")

    talk(tmp_path / "x.sock", InMemory().app, conversation, tcp)


def test_the_unix_socket_knows_who_asks(tmp_path):
    api = InMemory()

    def conversation(_):
        client = Client(UnixSocket("x", str(tmp_path)))
        assert client.put_service(ConfiguredService(key=KEY)).changed
        client.apply(Configuration())  # root may

    talk(tmp_path / "x.sock", api.app, conversation)
    (told,) = api.bus._ring.after(api.bus._ring.next - 2, 0.0)
    assert told.by == f"root (pid {os.getpid()})"


def test_the_socket_may_be_a_groups(tmp_path):
    group = grp.getgrgid(1).gr_name
    path = tmp_path / "x.sock"
    with server.listen(path, group):
        assert path.stat().st_gid == 1
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(Problem, match="there is no group nobodys-own"):
        server.listen(path, "nobodys-own")


def test_a_port_that_is_taken(tcp):
    taken = socket.create_server(("127.0.0.1", tcp.port))
    with taken, pytest.raises(Problem, match="Address already in use"):
        server.listen_tcp(tcp.address, tcp.port)


def test_certificates_that_cannot_be_used(tmp_path):
    good, _ = certificate(tmp_path)
    _, other = certificate(tmp_path, "other")
    for paths in ((good, other), (good, str(tmp_path / "none")), (other, other)):
        with pytest.raises(Problem, match="the certificate"):
            server.tls_context(*paths)
    assert server.tls_context(*certificate(tmp_path)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_events_stream_until_the_end(tmp_path):
    api = InMemory()

    def conversation(_):
        client = Client(UnixSocket("x", str(tmp_path)))
        events = client.events(0)
        assert next(events).text.startswith("events before")
        client.put_service(ConfiguredService(key=KEY))
        assert next(events).text == "add tcp 10.0.0.1:80: scheduler wlc"
        client.put_service(ConfiguredService(key=KEY, scheduler="rr"))
        last = next(events)
        assert last.text == "change tcp 10.0.0.1:80: scheduler wlc becomes rr"
        events.close()
        again = client.events(last.id - 1)
        assert next(again) == last
        api.bus.close()
        api.bus.tell(last.kind, "the end")
        assert [each.text for each in again] == ["the end"]

    talk(tmp_path / "x.sock", api.app, conversation)
