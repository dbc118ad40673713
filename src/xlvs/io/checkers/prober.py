# SPDX-License-Identifier: Apache-2.0
"""The one entry: ask a real server, within a time, and say what came of it."""

from __future__ import annotations

import asyncio
import ssl

from xlvs.io.checkers import conversation, datagrams, sockets
from xlvs.io.checkers.channel import tls_context
from xlvs.io.checkers.connector import LATE, Connector
from xlvs.io.checkers.conversation import Doing, Means
from xlvs.io.checkers.passage import Question
from xlvs.io.checkers.ping import Pinger
from xlvs.io.checkers.searching import Searcher
from xlvs.io.checkers.target import Target, origin, peer
from xlvs.io.checkers.through import Through
from xlvs.io.notification.runner import Runner
from xlvs.model.checker import (
    AnyCheck,
    DnsCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
)
from xlvs.model.problem import Problem
from xlvs.protocols.checks import misc
from xlvs.protocols.checks.outcome import GOOD, Outcome, Wrong, failed, in_seconds, not_asked

# These keep the deadline themselves, a program with time to end in.
_OWN_DEADLINE = (MiscCheck, PingCheck, UdpCheck)
_PATIENCE = {True: 10.0, False: 0.0}


class Prober:
    """All probes of one director. Made in a running loop; ``close`` it.

    ``tls``: what SSL_GET shows and believes, see ``channel.tls_context``.
    """

    def __init__(self, runner: Runner, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._runner = runner
        self.connector = Connector()
        self.through = Through()
        self._pinger = Pinger()
        self._searcher = Searcher()
        self._means = Means(self.connector, self._searcher, tls or tls_context())

    def close(self) -> None:
        """End whatever runs."""
        self.through.close()
        self._pinger.close()
        self._searcher.close()
        self.connector.close()

    async def run(self, check: AnyCheck, target: Target, *, deadline: float) -> Outcome:
        """Ask once; ``deadline`` by the loop's clock. Raises nothing but CancelledError.

        With ``through_datapath`` a TCP_CHECK, UDP_CHECK or DNS_CHECK goes that way instead of the
        direct one; any other goes as always and a handshake that way beside it: both have to be
        good.
        """
        if not check.through_datapath:
            return await self._directly(check, target, deadline)
        try:
            question = datagrams.question(check)
        except Problem as problem:
            return not_asked(problem.message)
        if isinstance(check, TcpCheck) or question is not None:
            return await self._through(target, deadline, question)
        direct, through = await asyncio.gather(
            self._directly(check, target, deadline), self._through(target, deadline, None)
        )
        return direct if not direct.ok or (through.ok and not through.cause) else through

    async def _through(self, target: Target, deadline: float, question: Question | None) -> Outcome:
        if target.service is None or target.destination is None or target.way is None:
            return not_asked("nothing is known of the data path to it")
        return await self.through.through(
            target.service,
            target.destination,
            target.way,
            deadline,
            question=question,
            source=target.source,
            far=target.far,
        )

    async def _directly(self, check: AnyCheck, target: Target, deadline: float) -> Outcome:
        doing = Doing()
        begin = self._loop.time()
        try:
            if isinstance(check, TcpCheck):
                return await self._tcp(check, target, deadline)
            return await self._others(check, target, deadline, doing)
        except (Wrong, sockets.Ours, Problem, OSError) as error:
            return _failure(error, doing, deadline - begin)

    async def _tcp(self, check: TcpCheck, target: Target, deadline: float) -> Outcome:
        begin = self._loop.time()
        address, port = peer(check, target)
        result = await self.connector.probe(address, port, origin(check), deadline)
        if result == 0:
            return GOOD
        if result == LATE:
            return failed(f"timed out after {in_seconds(deadline - begin)} while connecting")
        return sockets.outcome(result)

    async def _others(
        self, check: AnyCheck, target: Target, deadline: float, doing: Doing
    ) -> Outcome:
        match check:
            case MiscCheck():
                asked = self._misc(check, deadline)
            case PingCheck():
                address, _ = peer(check, target)
                asked = self._pinger.ping(address, origin(check), deadline)
            case UdpCheck():
                asked = datagrams.udp_check(check, target, deadline, doing)
            case DnsCheck():
                asked = datagrams.dns_check(check, target, doing)
            case HttpCheck():
                asked = conversation.http_check(self._means, check, target, deadline, doing)
            case SmtpCheck():
                asked = conversation.smtp_check(self._means, check, target, deadline, doing)
            case _:
                return not_asked("this checker sends no probes")
        async with asyncio.timeout_at(deadline + _PATIENCE[isinstance(check, _OWN_DEADLINE)]):
            return await asked

    async def _misc(self, check: MiscCheck, deadline: float) -> Outcome:
        seconds = deadline - self._loop.time()
        if check.timeout:
            seconds = min(seconds, check.timeout)
        ended = await self._runner.run(check.command, max(seconds, 0.001))
        if ended.late:
            return failed(f"timed out after {in_seconds(seconds)}")
        if ended.status is None:
            return not_asked(ended.fault) if ended.ours else failed(ended.fault)
        return misc.judge(ended.status, dynamic=check.dynamic, said=ended.said)


def _failure(error: Exception, doing: Doing, seconds: float) -> Outcome:
    match error:
        case Wrong():
            return failed(str(error))
        case sockets.Ours() | Problem():
            return not_asked(str(error))
        case TimeoutError(errno=None):  # asyncio's, or the connector's
            return failed(f"timed out after {in_seconds(seconds)} {doing.what}")
        case OSError():
            outcome = sockets.outcome(error.errno or 0)
            return outcome._replace(cause=f"{outcome.cause}{_when(doing)}")
    raise error


def _when(doing: Doing) -> str:
    return "" if doing.what == "while connecting" else f" {doing.what}"
