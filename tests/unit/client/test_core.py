# SPDX-License-Identifier: Apache-2.0
"""The client against a socket that says what the test wants said."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xlvs.client.core import Core as Client
from xlvs.client.core import from_environment
from xlvs.model.edit import Clear
from xlvs.model.problem import Code, Problem
from xlvs.wire.messages import ErrorBody

Say = Callable[[bytes], Client]


@pytest.fixture
def saying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Say]:
    """A daemon that gives this answer to one request."""
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    threads = []

    def say(answer: bytes) -> Client:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "x.sock"))
        listening.listen()

        def serve() -> None:
            with listening:
                channel, _ = listening.accept()
                with channel:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += channel.recv(65536)
                    channel.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        threads.append(thread)
        return Client("x")

    yield say
    for thread in threads:
        thread.join(5)


def plain(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def chunked(*pieces: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


LINE = (
    b'{"protocol":"tcp","state":"ESTABLISHED","expires":9,"client":"1.2.3.4","client_port":1,'
    b'"virtual":"10.0.0.1","virtual_port":80,"destination":"10.3.0.1","destination_port":80,'
    b'"method":"nat"}\n'
)


def test_answers(saying: Say) -> None:
    assert saying(plain(b'{"tcp":1,"tcp_fin":2,"udp":3}')).timeouts().udp == 3


def test_a_body_without_a_length_ends_with_the_connection(saying: Say) -> None:
    assert saying(b"HTTP/1.1 200 OK\r\n\r\n{}").timeouts().tcp == 900


def test_edits_come_back_one_by_one(saying: Say) -> None:
    client = saying(plain(b'{"results":[null,{"code":"invalid","message":"no"}]}'))
    assert client.edit([Clear(), Clear()]) == [None, ErrorBody(code="invalid", message="no")]


def test_connections_stream(saying: Say) -> None:
    found = list(saying(chunked(LINE[:10], LINE[10:] + LINE, LINE)).connections())
    assert [each.expires for each in found] == [9, 9, 9]


SERVICE = b'{"service":{"key":{"protocol":"fwm","fwmark":7}},"destinations":[]}\n'


def test_a_listing_streams(saying: Say) -> None:
    found = saying(chunked(b'{"table_size":4096}\n' + SERVICE[:9], SERVICE[9:] + SERVICE)).listing()
    assert found.table_size == 4096
    assert [each.service.key.fwmark for each in found.services] == [7, 7]


def test_a_listing_of_nothing(saying: Say) -> None:
    table_size, services = saying(chunked(b'{"table_size":64}\n')).listing()
    assert (table_size, list(services)) == (64, [])


@pytest.mark.parametrize("answer", [chunked(), chunked(SERVICE), chunked(SERVICE)[:-9]])
def test_a_listing_without_a_head_or_an_end(saying: Say, answer: bytes) -> None:
    with pytest.raises(Problem, match="xlvsd"):
        list(saying(answer).listing().services)


def test_a_refusal_is_a_problem(saying: Say) -> None:
    body = b'{"code":"service_exists","message":"Service already exists","where":"/edits/0"}'
    with pytest.raises(Problem) as caught:
        saying(plain(body, b"422 Unprocessable")).edit([Clear()])
    assert caught.value.code is Code.SERVICE_EXISTS
    assert caught.value.where == "/edits/0"


def test_an_unknown_refusal_is_internal(saying: Say) -> None:
    with pytest.raises(Problem) as caught:
        saying(plain(b'{"code":"new","message":"words"}', b"500 X")).services()
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "words")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        plain(b"{"),
        plain(b'{"tcp":"x"}'),
        plain(b"oops", b"500 X"),
    ],
)
def test_any_other_answer_is_one_sentence(saying: Say, answer: bytes) -> None:
    with pytest.raises(Problem) as caught:
        saying(answer).timeouts()
    assert caught.value.code is Code.INTERNAL
    assert "xlvsd" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_stream_that_breaks_off(saying: Say) -> None:
    with pytest.raises(Problem, match="xlvsd"):
        list(saying(chunked(LINE)[:-9]).connections())


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    monkeypatch.setenv("XLVS_INSTANCE", "edge")
    with pytest.raises(Problem, match=r"xlvsd is not running.*edge.*start it"):
        from_environment().services()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "edge.sock"))
    dead.close()
    with pytest.raises(Problem, match="xlvsd is not running"):
        from_environment().services()


def test_a_name_that_no_socket_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLVS_RUN", "/tmp/" + "x" * 200)  # noqa: S108  # never made
    with pytest.raises(Problem):
        Client("x").services()
