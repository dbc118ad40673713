# SPDX-License-Identifier: Apache-2.0
"""Who may come in by TCP."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from xlvs.api.caller import STATE, Caller, Scope
from xlvs.api.guard import Guard
from xlvs.api.tokens import parse

TOKEN = "a" * 32
TOKENS = parse(f"deploy write {TOKEN}", "f")


class Door:
    def __init__(self, *, local):
        self.now = 0.0
        self.entered = []
        self.guard = Guard(self.inside, TOKENS, local=local, now=lambda: self.now)

    async def inside(self, scope, _receive, send):
        self.entered.append(scope["state"][STATE])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    def __call__(self, host="127.0.0.1:8080", authorization=f"Bearer {TOKEN}"):
        said = []

        async def send(message):
            said.append(message)

        headers = [(b"host", host.encode()), (b"authorization", authorization.encode())]
        scope = {"type": "http", "headers": headers, "client": ("10.9.9.9", 5), "state": {}}
        asyncio.run(self.guard(scope, None, send))
        return said[0]["status"], dict(said[0]["headers"]), json.loads(said[1]["body"])


def test_a_known_token_says_who_it_is():
    door = Door(local=False)
    assert door()[0] == 200
    assert door(authorization=f"bearer  {TOKEN} ")[0] == 200
    assert door.entered == [Caller("deploy", Scope.WRITE)] * 2


@pytest.mark.parametrize("said", ["", "Bearer", f"Basic {TOKEN}", "Bearer x", TOKEN, "Bearer \xff"])
def test_without_one_nobody_enters(said):
    door = Door(local=False)
    status, headers, body = door(authorization=said)
    assert (status, body["code"]) == (401, "forbidden")
    assert headers[b"www-authenticate"].startswith(b"Bearer")
    assert not door.entered
    assert door.guard.refused == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1", 200),
        ("127.9.9.9:1", 200),
        ("[::1]", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("evil.example:8080", 421),
        ("10.0.0.1:8080", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_some_site_gave_to_this_machine_is_refused(host, status):
    assert Door(local=True)(host=host)[0] == status
    assert Door(local=False)(host=host)[0] == 200  # TLS has seen to it


def test_refused_tokens_are_logged_now_and_then(caplog):
    door = Door(local=False)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            door(authorization="")
        assert len(caplog.records) == 1
        door.now = 11.0
        door(authorization="")
    assert "100 requests without a token" in caplog.messages[1]
    assert "10.9.9.9" in caplog.messages[1]
    assert door.guard.refused == 101


def test_tokens_may_be_replaced():
    door = Door(local=False)
    door.guard.tokens = parse(f"other read {'b' * 32}", "f")
    assert door()[0] == 401
    assert door(authorization=f"Bearer {'b' * 32}")[0] == 200
