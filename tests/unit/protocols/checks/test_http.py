# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.model.checker import HttpCheck, HttpProtocol, Url
from xlvs.model.problem import Problem
from xlvs.protocols.checks import http, http_request
from xlvs.protocols.checks.http_answer import HEAD_MAX, LINE_MAX, Answer
from xlvs.protocols.checks.outcome import Wrong


def answer(*parts: bytes, keep: int = 1000, end: bool = True) -> Answer:
    got = Answer(keep)
    for part in parts:
        got.feed(part)
    if end:
        got.end()
    return got


@pytest.mark.parametrize(
    ("protocol", "line", "connection"),
    [
        (HttpProtocol.HTTP_1_0, "GET /a HTTP/1.0", None),
        (HttpProtocol.HTTP_1_0_CLOSE, "GET /a HTTP/1.0", "close"),
        (HttpProtocol.HTTP_1_0_KEEP, "GET /a HTTP/1.0", "keep-alive"),
        (HttpProtocol.HTTP_1_1, "GET /a HTTP/1.1", "close"),
        (HttpProtocol.HTTP_1_1_KEEP, "GET /a HTTP/1.1", "keep-alive"),
    ],
)
def test_request(protocol: HttpProtocol, line: str, connection: str | None) -> None:
    check = HttpCheck(protocol=protocol)
    text = http_request.request(check, Url(path="/a"), "www.example").decode()
    head, end = text.split("\r\n\r\n")
    lines = head.split("\r\n")
    assert end == ""
    assert lines[0] == line
    assert "Host: www.example" in lines
    said = [each for each in lines if each.startswith("Connection")]
    assert said == ([f"Connection: {connection}"] if connection else [])
    assert http_request.keeps(check) == (connection == "keep-alive")


def test_virtualhost_nearest_first() -> None:
    def of(url: str, check: str, default: str) -> str:
        return http_request.virtualhost(HttpCheck(virtualhost=check), Url(virtualhost=url), default)

    assert of("u", "c", "d") == "u"
    assert of("", "c", "d") == "c"
    assert of("", "", "d") == "d"


def test_host_without_virtualhost() -> None:
    assert http_request.host(ip_address("10.0.0.1"), 80) == "10.0.0.1:80"
    assert http_request.host(ip_address("fe80::1%eth0"), 8080) == "[fe80::1]:8080"


def test_server_name() -> None:
    url = Url(virtualhost="v")
    assert http_request.server_name(HttpCheck(), url, "") == ""
    assert http_request.server_name(HttpCheck(enable_sni=True), url, "") == "v"
    assert http_request.server_name(HttpCheck(enable_sni=True, sni_name="s"), url, "") == "s"


@pytest.mark.parametrize("path", ["", "/a b", "/a\r\nX: y"])
def test_request_cannot_be_broken_out_of(path: str) -> None:
    with pytest.raises(Problem):
        http_request.verify(HttpCheck(urls=(Url(path=path),)))


@pytest.mark.parametrize(
    ("data", "status", "body", "reusable"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
        (b"HTTP/1.0 200 OK\nContent-Length: 5\n\nhello", 200, b"hello", False),
        (
            b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n",
            200,
            b"",
            True,
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 1\r\n\r\nx",
            200,
            b"x",
            False,
        ),
        (
            b"HTTP/1.1 404 no\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
            404,
            b"abc0123456789",
            True,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 no\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    ],
)
def test_answers_however_they_are_cut(
    data: bytes, status: int, body: bytes, reusable: bool
) -> None:
    whole = answer(data)
    bits = answer(*(data[at : at + 1] for at in range(len(data))))
    for got in (whole, bits):
        assert (got.status, bytes(got.body), got.reusable) == (status, body, reusable)
        assert got.whole
        assert got.digest == hashlib.md5(body).hexdigest()  # noqa: S324


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "the connection was closed while waiting for the status line"),
        (b"HTTP/1.1 2", 'while waiting for the status line after "HTTP/1.1 2"'),
        (b"HTTP/1.1 200 OK\r\nA: b", "while waiting for the rest of the header"),
        (b"SSH-2.0-OpenSSH\r\n", 'the answer is not HTTP: "SSH-2.0-OpenSSH'),
        (b"SSH-2.0", 'the answer is not HTTP: "SSH-2.0"'),
        (b"HTTP/1.1 ok\r\n", 'the answer is not HTTP: "HTTP/1.1 ok"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 'Content-Length is "-1"'),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk's size is"),
        (b"HTTP/1." + b"1" * LINE_MAX, "the status line is longer than"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_MAX, "the header is longer than"),
    ],
)
def test_bad_answers(data: bytes, cause: str) -> None:
    with pytest.raises(Wrong) as wrong:
        answer(data)
    assert cause in str(wrong.value)


def test_memory_is_bounded() -> None:
    got = Answer(keep=10)
    got.feed(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(100):
        got.feed(bytes(10000))
    assert len(got.body) == 10
    assert got.length == 1000000
    for _ in range(63):
        got.feed(bytes(1 << 20))
    with pytest.raises(Wrong, match="the body is longer than 64 MiB"):
        got.feed(bytes(1 << 20))


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_any_bytes(parts: list[bytes], begin: bool) -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if begin else b""
    try:
        answer(start, *parts)
    except Wrong:
        return


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    ("url", "data", "fault"),
    [
        (Url(), FINE, ""),
        (Url(), FINE.replace(b"200", b"503"), "status 503, expected 200-299"),
        (Url(status_codes=((200, 299), (404, 404))), FINE.replace(b"200", b"404"), ""),
        (
            Url(status_codes=((200, 204), (404, 404))),
            FINE.replace(b"200", b"301"),
            "status 301, expected 200-204 404",
        ),
        (Url(digest="5D41402ABC4B2A76B9719D911017C592"), FINE, ""),
        (
            Url(digest="0" * 32),
            FINE,
            f"digest is 5d41402abc4b2a76b9719d911017c592, expected {'0' * 32}",
        ),
        (
            Url(digest="0" * 32),
            FINE.replace(b" 5", b" 9"),
            f"digest is 5d41402abc4b2a76b9719d911017c592, expected {'0' * 32}"
            " (the body broke off after 5 bytes)",
        ),
    ],
)
def test_faults(url: Url, data: bytes, fault: str) -> None:
    assert http.fault(url, answer(data)) == fault


def test_regex_faults() -> None:
    got = answer(FINE)
    assert http.regex_fault(Url(regex="ok"), got, found=True) == ""
    assert http.regex_fault(Url(regex="ok"), got, found=False) == 'the body does not match "ok"'
    no = Url(regex="bad", regex_no_match=True)
    assert http.regex_fault(no, got, found=False) == ""
    assert http.regex_fault(no, got, found=True) == 'the body matches "bad", which it must not'
