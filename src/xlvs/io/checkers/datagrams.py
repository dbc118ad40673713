# SPDX-License-Identifier: Apache-2.0
"""UDP_CHECK and DNS_CHECK."""

from __future__ import annotations

import asyncio
import functools
import os
import socket

from xlvs.io.checkers import sockets
from xlvs.io.checkers.conversation import Doing
from xlvs.io.checkers.passage import Question
from xlvs.io.checkers.target import Target, origin, peer
from xlvs.model.checker import AnyCheck, DnsCheck, UdpCheck
from xlvs.protocols.checks import dns, udp
from xlvs.protocols.checks.outcome import GOOD, Outcome

_RANDOM_PAYLOAD = 64
"""Bytes that UDP_CHECK sends where it has no payload."""


async def udp_check(check: UdpCheck, target: Target, deadline: float, doing: Doing) -> Outcome:
    """Raises OSError, Ours."""
    loop = asyncio.get_running_loop()
    doing.wait("the reply")
    begin = loop.time()
    with _connected(check, target) as sock:
        await loop.sock_sendall(sock, check.payload or os.urandom(_RANDOM_PAYLOAD))
        try:
            async with asyncio.timeout_at(deadline):
                reply = await loop.sock_recv(sock, udp.REPLY_MAX)
        except TimeoutError:
            return udp.silence(check, deadline - begin)
    return udp.judge(check, reply)


async def dns_check(check: DnsCheck, target: Target, doing: Doing) -> Outcome:
    """Raises OSError, Ours, Problem."""
    loop = asyncio.get_running_loop()
    doing.wait("the answer")
    identifier = int.from_bytes(os.urandom(2))
    with _connected(check, target) as sock:
        await loop.sock_sendall(sock, dns.query(check, identifier))
        while True:
            answer = await loop.sock_recv(sock, dns.ANSWER_MAX)
            outcome = dns.judge(check, identifier, answer)
            if outcome is not None:
                return outcome


def question(check: AnyCheck) -> Question | None:
    """What a checker of UDP services asks through the data path, None for other checkers.

    Raises Problem.
    """
    if isinstance(check, DnsCheck):
        identifier = int.from_bytes(os.urandom(2))
        payload = dns.query(check, identifier)
        return Question(payload, functools.partial(dns.judge, check, identifier))
    if isinstance(check, UdpCheck):
        payload = check.payload or os.urandom(_RANDOM_PAYLOAD)
        silence = None if check.require_reply else GOOD
        return Question(payload, functools.partial(udp.judge, check), silence)
    return None


def _connected(check: UdpCheck | DnsCheck, target: Target) -> socket.socket:
    address, port = peer(check, target)
    sock = sockets.datagram(address, origin(check))
    try:
        sock.connect(sockets.sockaddr(address, port, check.bind_interface))
    except BaseException:
        sock.close()
        raise
    return sock
