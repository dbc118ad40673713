# SPDX-License-Identifier: Apache-2.0
"""IPVS's sync protocol on the wire: a master's sockets and a backup's; both may run at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence

import msgspec

from xlvs.io import clock
from xlvs.io.sync import multicast
from xlvs.model.synced import Synced
from xlvs.model.syncing import GROUP, SyncChannel, SyncRole, message_length
from xlvs.protocols.ipvs_sync.backup import Backup
from xlvs.protocols.ipvs_sync.master import QUEUE_MAX, Master, Outgoing

_DATAGRAM_MAX = 65535
_AT_ONCE = 64  # datagrams, before others have their turn


class Tuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sysctls ``sync_ports``, ``sync_version``, ``sync_sock_size``, ``sync_qlen_max``."""

    ports: int = 1
    version: int = 1
    socket_size: int = 0
    queue_max: int = QUEUE_MAX


DEFAULT = Tuning()


class SenderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of the master. ``errors``: datagrams that the system did not take."""

    connections: int
    messages: int
    bytes: int
    queued: int
    dropped: int
    unencodable: int
    errors: int
    last_error: str


class ReceiverStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of the backup. ``faults``: by ``faults.Kind``; ``last_fault`` in words."""

    connections: int
    messages: int
    bytes: int
    faults: dict[str, int]
    last_fault: str


class Sender:
    """The role of the master. ``offer()`` may be called at any time after ``start()``."""

    def __init__(self, channel: SyncChannel, tuning: Tuning = DEFAULT) -> None:
        self.channel = channel
        self._tuning = tuning
        self._group: multicast.Group = channel.group or GROUP
        self._master = Master(
            channel.sync_id,
            message_length(channel, SyncRole.MASTER),
            version=tuning.version,
            ports=tuning.ports,
            queue_max=tuning.queue_max,
        )
        self._sockets: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._blocked: socket.socket | None = None
        self._errors = 0
        self._last_error = ""

    def start(self) -> None:
        """Open the sockets. Raises ``OSError``."""
        channel, tuning = self.channel, self._tuning
        try:
            for number in range(tuning.ports):
                self._sockets.append(
                    multicast.sending(
                        channel.interface,
                        self._group,
                        channel.port + number,
                        ttl=channel.ttl,
                        size=tuning.socket_size,
                    )
                )
        except OSError:
            self._close()
            raise

    def offer(self, connections: Iterable[Synced]) -> None:
        """To be sent: soon if they fill a message, within two seconds if not."""
        if self._sockets:
            self._master.offer(connections, clock.monotonic())
            self._arm()

    def stop(self) -> None:
        """Send what waits, as far as the sockets take it, and close them."""
        if self._sockets:
            self._master.flush(clock.monotonic())
            self._send()
        self._close()

    def status(self) -> SenderStatus:
        """For an operator."""
        sent = self._master.sent
        return SenderStatus(
            connections=sent.connections,
            messages=sent.messages,
            bytes=sent.bytes,
            queued=self._master.queued,
            dropped=sent.dropped,
            unencodable=sent.unencodable,
            errors=self._errors,
            last_error=self._last_error,
        )

    def _arm(self) -> None:
        if self._blocked is not None:
            return
        deadline = self._master.deadline()
        if self._timer is not None:
            if deadline is not None and self._timer.when() <= deadline:
                return  # it looks again anyway
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self._send()

    def _send(self) -> None:
        while (message := self._master.next(clock.monotonic())) is not None:
            if not self._send_one(message):
                return
        self._arm()

    def _send_one(self, message: Outgoing) -> bool:
        sock = self._sockets[message.port]
        try:
            sock.send(message.data)
        except BlockingIOError:
            self._master.unsent(message)
            self._blocked = sock
            asyncio.get_running_loop().add_writer(sock, self._writable)
            return False
        except OSError as error:  # the interface is down, has no address, …
            self._errors += 1
            self._last_error = str(error)
        return True

    def _writable(self) -> None:
        if self._blocked is not None:
            asyncio.get_running_loop().remove_writer(self._blocked)
            self._blocked = None
        self._send()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._blocked is not None:
            asyncio.get_running_loop().remove_writer(self._blocked)
            self._blocked = None
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


class Receiver:
    """The role of the backup: ``deliver`` gets the connections of what has just come."""

    def __init__(
        self,
        channel: SyncChannel,
        deliver: Callable[[Sequence[Synced]], None],
        tuning: Tuning = DEFAULT,
    ) -> None:
        self.channel = channel
        self._deliver = deliver
        self._tuning = tuning
        self._backup = Backup(channel.sync_id)
        self._sockets: list[socket.socket] = []

    def start(self) -> None:
        """Open the sockets and listen. Raises ``OSError``."""
        channel, tuning = self.channel, self._tuning
        group: multicast.Group = channel.group or GROUP
        loop = asyncio.get_running_loop()
        try:
            for number in range(tuning.ports):
                sock = multicast.receiving(
                    channel.interface, group, channel.port + number, size=tuning.socket_size
                )
                self._sockets.append(sock)
                loop.add_reader(sock, self._read, sock)
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Close the sockets."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def status(self) -> ReceiverStatus:
        """For an operator."""
        backup = self._backup
        return ReceiverStatus(
            connections=backup.connections,
            messages=backup.messages,
            bytes=backup.bytes,
            faults={str(kind): count for kind, count in backup.faults.items()},
            last_fault=str(backup.last_fault or ""),
        )

    def _read(self, sock: socket.socket) -> None:
        found: list[Synced] = []
        for _ in range(_AT_ONCE):
            try:
                data = sock.recv(_DATAGRAM_MAX)
            except OSError:  # nothing more, or the interface is down
                break
            found += self._backup.receive(data)
        if found:
            self._deliver(found)
