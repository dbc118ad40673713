# SPDX-License-Identifier: Apache-2.0
"""Two directors on one machine: real TCP, real time, well under a second each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import ip_address

import pytest
from tests.unit.protocols.synced import connection

from xlvs.io.sync.peers import Link, Listener, new_node
from xlvs.io.sync.service import Sync
from xlvs.io.tasks import Tasks
from xlvs.model.synced import Synced
from xlvs.model.syncing import Peer, SyncDaemon
from xlvs.protocols.peer_sync.problems import Reason

KEY = bytes(range(32))


class Table:
    def __init__(self, count: int = 0) -> None:
        self.own = [connection(1000 + i) for i in range(count)]
        self.got: list[Synced] = []

    def snapshot(self) -> Iterator[Sequence[Synced]]:
        for at in range(0, len(self.own), 700):
            yield self.own[at : at + 700]

    def deliver(self, connections: Sequence[Synced]) -> None:
        self.got += connections


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.005)


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await story()

    asyncio.run(main())


@pytest.fixture
def tasks() -> Tasks:
    def died(name: str, error: BaseException) -> None:
        raise AssertionError(name) from error

    return Tasks(died)


def peer(port: int, key: bytes = KEY) -> Peer:
    return Peer(address=ip_address("127.0.0.1"), port=port, key=key)


def test_bulk_then_changes_and_again_after_the_peer_was_away(tasks: Tasks) -> None:
    here, there = Table(5000), Table()

    async def story() -> None:
        listener = Listener([peer(0)], new_node(), there.deliver)
        await listener.start("127.0.0.1", 0)
        port = listener.port
        link = Link(peer(port), new_node(), here.snapshot)
        tasks.start("link", link.run())
        await until(lambda: link.status().phase == "in_sync")
        assert [len(one) for one in (there.got, set(there.got))] == [5000, 5000]
        link.offer([connection(7, state=3)])
        await until(lambda: len(there.got) == 5001)
        await until(lambda: link.status().behind == 0.0)

        await listener.stop()
        await until(lambda: link.status().phase == "away")
        link.offer([connection(8)])
        here.own = [connection(8), connection(9)]
        again = Listener([peer(0)], new_node(), there.deliver)
        await again.start("127.0.0.1", port)
        await until(lambda: link.status().phase == "in_sync")
        assert [one.client_port for one in there.got[5001:]] == [8, 9]
        assert link.status().sessions == 2
        await again.stop()
        await tasks.stop()

    play(story)


def test_a_wrong_key_is_told_and_counted(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    there = Table()

    async def story() -> None:
        listener = Listener([peer(0)], new_node(), there.deliver)
        await listener.start("127.0.0.1", 0)
        link = Link(peer(listener.port, bytes(32)), new_node(), Table(3).snapshot)
        tasks.start("link", link.run())
        await until(lambda: listener.faults.get(Reason.REFUSED))
        assert listener.current(peer(0)) is None
        await tasks.stop()
        await listener.stop()
        assert link.last_error == "the peer does not have our key"
        assert "the peer does not have our key" in listener.last_error(peer(0))

    play(story)
    assert there.got == []
    assert caplog.text.count("WARNING") == 2


def test_strangers_are_sent_away() -> None:
    async def story() -> None:
        other = Peer(address=ip_address("127.0.0.2"), key=KEY)
        listener = Listener([other], new_node(), Table().deliver)
        await listener.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await reader.read() == b""
        writer.close()
        assert listener.strangers == 1
        await listener.stop()

    play(story)


def test_two_directors_both_ways(tasks: Tasks, unused_tcp_ports: tuple[int, int]) -> None:
    tables = Table(1000), Table(10)
    addresses = "127.0.0.1", "127.0.0.1"
    ports = unused_tcp_ports

    async def story() -> None:
        directors = [
            Sync(
                SyncDaemon(
                    peers=(peer(ports[1 - i]),),
                    listen=ip_address(addresses[i]),
                    listen_port=ports[i],
                ),
                tables[i].deliver,
                tables[i].snapshot,
                tasks,
            )
            for i in (0, 1)
        ]
        await directors[0].start()
        assert not directors[0].in_sync()  # the peer may come yet
        await directors[1].start()
        await until(lambda: all(one.in_sync() for one in directors))
        await until(lambda: all(one.status().peers[0].there_in_sync for one in directors))
        assert (len(tables[0].got), len(tables[1].got)) == (10, 1000)
        directors[1].offer([connection(1)])
        await until(lambda: len(tables[0].got) == 11)
        status = directors[0].status()
        assert status.in_sync
        assert status.peers[0].here_received == 11
        assert status.peers[0].here_behind is not None
        await directors[1].stop()
        await until(lambda: not directors[0].status().peers[0].here_in_sync)
        assert directors[0].in_sync()  # what the peer had is here
        await directors[0].stop()
        await tasks.stop()

    play(story)


@pytest.fixture
def unused_tcp_ports() -> tuple[int, int]:
    found = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found.append(probe.getsockname()[1])
    return found[0], found[1]
