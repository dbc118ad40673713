# SPDX-License-Identifier: Apache-2.0
"""More real servers on a link than the kernel has room for as neighbours."""

from __future__ import annotations

import asyncio
import errno
import logging
from ipaddress import ip_address

import pytest

from xlvs.datapath.observed import NUD_STALE, Neighbour
from xlvs.io import surroundings
from xlvs.io.surroundings import Surroundings
from xlvs.io.tasks import Tasks

TARGETS = [(3, ip_address("192.168.200.11") + n) for n in range(9)]


class Crowded:
    """The kernel, with so much room; who has a place keeps it."""

    def __init__(self):
        self.room = 0
        self.asked = {}
        self.fails = OSError(errno.ENOBUFS, "no room")

    async def neigh(self, _command, *, dst, **_):
        if dst not in self.asked and len(self.asked) >= self.room:
            raise self.fails
        self.asked[dst] = None


@pytest.fixture
def kernel(monkeypatch):
    made = Crowded()
    monkeypatch.setattr(surroundings, "AsyncIPRoute", lambda: made)
    monkeypatch.setattr(surroundings, "Routing", object)
    return made


def probe(kernel, *rooms):
    async def run():
        found = Surroundings(Tasks(lambda *_: None), lambda: None)
        found._neighbours[TARGETS[-1]] = Neighbour(bytes(6), NUD_STALE)
        for kernel.room in rooms:
            await found._probe_all(TARGETS)

    asyncio.run(run())


def test_those_that_have_a_place_come_first_and_it_is_told_once(kernel, caplog):
    with caplog.at_level(logging.WARNING):
        probe(kernel, 4, 4)
    assert next(iter(kernel.asked)) == str(TARGETS[-1][1])
    assert len(kernel.asked) == 4
    (said,) = caplog.messages
    assert "net.ipv4.neigh.default.gc_thresh3" in said


def test_when_there_was_room_meanwhile_it_is_told_again(kernel, caplog):
    with caplog.at_level(logging.WARNING):
        probe(kernel, 4, 9)
        assert len(caplog.messages) == 1
        kernel.asked.clear()
        probe(kernel, 4)
    assert len(caplog.messages) == 2


def test_other_failures_are_failures(kernel):
    kernel.fails = OSError(errno.EPERM, "not for you")
    with pytest.raises(PermissionError):
        probe(kernel, 0)
