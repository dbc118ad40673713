# SPDX-License-Identifier: Apache-2.0
"""HTTP_GET, SSL_GET and SMTP_CHECK: conversations over a connection."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from xlvs.io.checkers.channel import Channel
from xlvs.io.checkers.connector import Connector
from xlvs.io.checkers.searching import Searcher
from xlvs.io.checkers.target import Connecting, Target, origin, peer
from xlvs.model.checker import HttpCheck, SmtpCheck, Url
from xlvs.protocols.checks import http, http_request, regex, smtp
from xlvs.protocols.checks.http_answer import Answer
from xlvs.protocols.checks.outcome import GOOD, Outcome, Wrong
from xlvs.protocols.checks.smtp import Dialogue


class Doing:
    """What a probe is doing, for the case that its time ends then."""

    def __init__(self) -> None:
        self.what = "while connecting"

    def wait(self, thing: str) -> None:
        """It waits for that."""
        self.what = f"while waiting for {thing}"


class Means(NamedTuple):
    """What conversations need."""

    connector: Connector
    searcher: Searcher
    tls: ssl.SSLContext


async def smtp_check(
    means: Means, check: SmtpCheck, target: Target, deadline: float, doing: Doing
) -> Outcome:
    """All hosts, one after the other. Raises Wrong, OSError, Ours."""
    hosts: tuple[Connecting, ...] = check.hosts or (check,)
    name = check.helo_name or socket.gethostname()
    for each in hosts:
        doing.what = "while connecting"
        channel = await _connect(means, each, target, deadline)
        try:
            await _talk(channel, Dialogue(smtp.check(name)), doing)
        finally:
            channel.close()
    return GOOD


async def talk(channel: Channel, dialogue: Dialogue, doing: Doing) -> None:
    """Go through an SMTP dialogue. Raises Wrong, OSError."""
    await _talk(channel, dialogue, doing)


async def _talk(channel: Channel, dialogue: Dialogue, doing: Doing) -> None:
    while not dialogue.done:
        doing.wait(dialogue.waiting_for)
        data = await channel.receive()
        if not data:
            dialogue.end()
            return
        said = dialogue.receive(data)
        if said:
            await channel.send(said)


async def http_check(
    means: Means, check: HttpCheck, target: Target, deadline: float, doing: Doing
) -> Outcome:
    """All urls, one after the other. Raises Wrong, OSError, Ours."""
    channel: Channel | None = None
    try:
        for url in check.urls:
            if channel is None:
                doing.what = "while connecting"
                channel = await _connect(means, check, target, deadline)
                if check.tls:
                    doing.wait("the TLS handshake")
                    name = http_request.server_name(check, url, target.virtualhost)
                    await channel.start_tls(means.tls, name)
            answer = await _get(channel, check, url, target, doing)
            await _judge(means, check, url, answer, doing)
            if not (http_request.keeps(check) and answer.reusable):
                channel.close()
                channel = None
    finally:
        if channel is not None:
            channel.close()
    return GOOD


async def _get(
    channel: Channel, check: HttpCheck, url: Url, target: Target, doing: Doing
) -> Answer:
    host = http_request.virtualhost(check, url, target.virtualhost)
    if not host:
        host = http_request.host(*peer(check, target))
    answer = Answer(http.kept(url))
    doing.wait(answer.waiting_for)
    await channel.send(http_request.request(check, url, host))
    while not answer.done:
        data = await channel.receive()
        if data:
            answer.feed(data)
        elif url.tls_compliant and not channel.clean_end:
            raise Wrong("the TLS connection ended without close_notify")
        else:
            answer.end()
        doing.wait(answer.waiting_for)
    return answer


async def _judge(means: Means, check: HttpCheck, url: Url, answer: Answer, doing: Doing) -> None:
    fault = http.fault(url, answer)
    if not fault and url.regex:
        doing.what = "while searching for the regex"
        found = await means.searcher.found(regex.search_of(url), bytes(answer.body))
        fault = http.regex_fault(url, answer, found=found)
    if fault:
        raise Wrong(f"GET {url.path}: {fault}" if len(check.urls) > 1 else fault)


async def _connect(means: Means, options: Connecting, target: Target, deadline: float) -> Channel:
    address, port = peer(options, target)
    return Channel(await means.connector.connect(address, port, origin(options), deadline))
