# SPDX-License-Identifier: Apache-2.0
"""Events as server-sent events."""

from __future__ import annotations

import json

import pytest
from tests.unit.api.served import SERVICE, InMemory


@pytest.fixture
def ask():
    made = InMemory()
    made("PUT", SERVICE, {})
    made("DELETE", SERVICE)
    made.bus.close()
    return made


def parsed(answer):
    """(id, event, data) of each."""
    found = []
    for block in answer.body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_what_was_after_a_known_event(ask):
    answer = ask("GET", "/v1/events?after=0", accept="text/event-stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    gap, put, delete = parsed(answer)
    assert (gap[1], put[1], delete[1]) == ("gap", "edit", "edit")
    assert delete[2]["id"] == delete[0] == put[0] + 1
    assert parsed(ask("GET", "/v1/events", last_event_id=str(put[0]))) == [delete]
    assert parsed(ask("GET", "/v1/events")) == []


@pytest.mark.parametrize("said", ["x", "-1", "1.5", "²", "9" * 40])
def test_an_id_that_is_none(ask, said):
    assert ask("GET", "/v1/events", last_event_id=said).status == 400
    if not said.isdecimal() or len(said) > 30:
        assert ask("GET", f"/v1/events?after={said}x").status == 400
