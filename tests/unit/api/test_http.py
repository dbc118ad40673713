# SPDX-License-Identifier: Apache-2.0
"""What HTTP itself asks for: methods, types, lengths."""

from __future__ import annotations

import pytest
from tests.unit.api.served import SERVICE, InMemory

from xlvs.api import app


@pytest.fixture
def ask():
    return InMemory()


def test_methods_that_a_path_does_not_take(ask):
    answer = ask("POST", SERVICE)
    assert (answer.status, answer.headers["allow"]) == (
        405,
        "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    )
    assert "not POST" in answer.json["message"]
    assert ask("TRACE", "/v1/status").status == 405
    assert ask("GET", "/v1/status/").status == 404


def test_options_and_head(ask):
    answer = ask("OPTIONS", "/v1/timeouts")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, PUT")
    got, head = ask("GET", "/v1/timeouts"), ask("HEAD", "/v1/timeouts")
    assert (head.status, head.body, head.headers) == (200, b"", got.headers)
    assert ask("HEAD", "/v1/connections").body == b""


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 406),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html, application/*;q=0.5", 200),
        ("text/html", 406),
        ("application/json;q=0, */*", 406),
        ("application/json; q=0.0", 406),
        ("*/*;q=0, application/json", 200),
        (";;,;", 406),
    ],
)
def test_what_the_client_takes(ask, accept, status):
    assert ask("GET", "/v1/timeouts", accept=accept).status == status


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        ("application/merge-patch+json", 415),
    ],
)
def test_what_is_sent(ask, said, status):
    answer = ask("PUT", "/v1/timeouts", {"udp": 30}, content_type=said)
    assert answer.status == status


def test_a_body_that_is_too_long(monkeypatch):
    monkeypatch.setattr(app, "BODY_MAX", 100)
    small = InMemory()
    answer = small("PUT", "/v1/timeouts", b" " * 101 + b"{}")
    assert (answer.status, answer.json["code"]) == (413, "no_space")
    assert small("PUT", "/v1/timeouts", b" " * 98 + b"{}").status == 204


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"tcp":1e400}', b"1" * 5000]
)
def test_bodies_that_are_no_json(ask, body):
    answer = ask("PUT", "/v1/timeouts", body)
    assert (answer.status, answer.json["code"]) == (400, "invalid")


def test_bodies_that_are_deeper_than_anything(ask):
    deep = b'{"a":' * 100_000
    assert ask("PUT", SERVICE, deep).status == 400
    assert ask("PUT", SERVICE, deep + b"1" + b"}" * 100_000).status == 400
    assert ask("PATCH", "/v1/settings", deep).status == 400
