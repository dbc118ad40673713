# SPDX-License-Identifier: Apache-2.0
"""Probes in a namespace: one JSON request per line in, one outcome per line out.

The way to a server is learnt from the kernel there, as the daemon does it.
"""

from __future__ import annotations

import asyncio
import sys
from ipaddress import ip_address
from typing import Any

import msgspec

from xlvs.datapath.observed import Way, way_to
from xlvs.io.checkers.prober import Prober
from xlvs.io.checkers.target import Target
from xlvs.io.notification.mail import Mailer
from xlvs.io.notification.runner import Runner
from xlvs.io.surroundings import Surroundings
from xlvs.io.tasks import Tasks
from xlvs.model.checker import AnyCheck
from xlvs.model.notification import Mail
from xlvs.model.service import Address, Destination, Service


class Request(msgspec.Struct):
    check: AnyCheck
    address: Address
    port: int = 0
    timeout: float = 1.0
    virtualhost: str = ""
    service: Service | None = None
    destination: Destination | None = None
    source: Address | None = None
    far: Address | None = None
    times: int = 1
    mail: Mail | None = None


def _address(kind: type, text: Any) -> Any:
    del kind
    return ip_address(text)


class Answers:
    def __init__(self) -> None:
        self._tasks = Tasks(lambda name, error: sys.exit(f"{name}: {error}"))
        self._surroundings: Surroundings | None = None
        self._prober = Prober(Runner())

    async def way(self, address: Address) -> Way:
        if self._surroundings is None:
            self._surroundings = Surroundings(self._tasks, lambda: None)
            await self._surroundings.start()
        around = self._surroundings
        await around.learn([address])
        way = way_to(around.observed, address)
        if way.gateway is not None:
            target = (way.ifindex, way.gateway)
            around.want([target])
            await around.resolved([target], 2.0)
        return way_to(around.observed, address)

    async def send(self, mail: Mail) -> list[int]:
        mailer = Mailer(mail, self._prober.connector, retry_after=0.01)
        mailer.alert("a server is down", "10.0.0.1:80 is down\n.\nreally\n")
        work = asyncio.create_task(mailer.work())
        while not mailer.sent + mailer.lost:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        work.cancel()
        return [mailer.sent, mailer.lost]

    async def answer(self, request: Request) -> bytes:
        way = await self.way(request.address) if request.check.through_datapath else None
        target = Target(
            request.address, request.port, request.virtualhost, request.service,
            request.destination, way, request.source, request.far,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        begin = loop.time()
        results = await asyncio.gather(
            *(
                self._prober.run(request.check, target, deadline=begin + request.timeout)
                for _ in range(request.times)
            )
        )
        took = loop.time() - begin
        answer = results[0]._asdict() | {"took": took}
        if request.mail is not None:
            answer["sent"] = await self.send(request.mail)
        return msgspec.json.encode([answer, len(set(results))])


async def main() -> None:
    answers = Answers()
    decoder = msgspec.json.Decoder(Request, dec_hook=_address)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)  # noqa: T201
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        reply = await answers.answer(decoder.decode(line))
        print(reply.decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
