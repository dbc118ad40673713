# SPDX-License-Identifier: Apache-2.0
"""SMTP alerts: a short queue, sent one after the other beside everything else."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import socket
from ipaddress import ip_address

from xlvs.io.checkers import sockets
from xlvs.io.checkers.channel import Channel
from xlvs.io.checkers.connector import Connector
from xlvs.io.checkers.conversation import Doing, talk
from xlvs.io.checkers.target import Origin
from xlvs.model.notification import Mail
from xlvs.model.service import Address
from xlvs.protocols.checks import smtp
from xlvs.protocols.checks.outcome import Wrong

QUEUE = 100
"""Alerts that wait at most; more are lost, and counted."""

RETRIES = 2
RETRY_AFTER = 10.0

log = logging.getLogger(__name__)


class Mailer:
    """Sends alerts. ``work`` is a task of its own. ``lost`` counts what was not delivered."""

    def __init__(
        self, mail: Mail, connector: Connector, *, retry_after: float = RETRY_AFTER
    ) -> None:
        self._mail = mail
        self._connector = connector
        self._retry_after = retry_after
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(QUEUE)
        self.sent = 0
        self.lost = 0

    def alert(self, subject: str, text: str) -> None:
        """Queue a message; never waits."""
        if not self._mail.to or not self._mail.server:
            return
        try:
            self._queue.put_nowait((subject, text))
        except asyncio.QueueFull:
            self.lost += 1
            log.warning("an alert is lost, %d wait: %s", QUEUE, subject)

    async def work(self) -> None:
        """Deliver, for ever."""
        while True:
            subject, text = await self._queue.get()
            cause = await self._deliver(subject, text)
            if cause:
                self.lost += 1
                log.warning(
                    "the alert %r was not sent to %s: %s", subject, self._mail.server, cause
                )
            else:
                self.sent += 1

    async def _deliver(self, subject: str, text: str) -> str:
        cause = ""
        for attempt in range(1 + RETRIES):
            if attempt:
                await asyncio.sleep(self._retry_after)
            cause = await self._try(subject, text)
            if not cause:
                return ""
        return cause

    async def _try(self, subject: str, text: str) -> str:
        doing = Doing()
        try:
            async with asyncio.timeout(self._mail.timeout):
                await self._send(subject, text, doing)
        except TimeoutError as error:
            return f"timed out {doing.what}" if error.errno is None else str(error)
        except OSError as error:
            return sockets.words(error.errno) if error.errno else str(error)
        except (Wrong, sockets.Ours) as error:
            return str(error)
        return ""

    async def _send(self, subject: str, text: str, doing: Doing) -> None:
        mail = self._mail
        helo = mail.helo_name or socket.gethostname()
        sender = mail.sender or f"keepalived@{helo}"
        letter = smtp.letter(sender, mail.to, subject, text, email.utils.formatdate(localtime=True))
        loop = asyncio.get_running_loop()
        doing.wait(f"the address of {mail.server}")
        error: OSError | None = None
        for address in await _addresses(mail.server):
            doing.what = "while connecting"
            try:
                sock = await self._connector.connect(
                    address, mail.port, Origin(), loop.time() + mail.timeout
                )
            except OSError as failure:
                error = failure
                continue
            with contextlib.closing(Channel(sock)) as channel:
                await talk(channel, smtp.Dialogue(smtp.mail(helo, sender, mail.to, letter)), doing)
            return
        raise error or OSError("it has no address")


async def _addresses(server: str) -> list[Address]:
    with contextlib.suppress(ValueError):
        return [ip_address(server)]
    # In a thread of the loop's: names may take long, and nothing waits for this.
    found = await asyncio.get_running_loop().getaddrinfo(server, 0, type=socket.SOCK_STREAM)
    return [ip_address(str(each[4][0])) for each in found]
