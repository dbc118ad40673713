# SPDX-License-Identifier: Apache-2.0
"""HTTP clients that keep their connections, and count exactly what becomes of them.

``python clients.py ADDRESS PORT SECONDS CONNECTIONS`` asks on each connection again and
again, and prints one JSON object when the time is over:

``requests`` answered; ``broken``: connections that ended, were refused or had no answer in
ten seconds; ``silent``: those without answer; ``moved``: answers of another server than the
connection's first.

``python clients.py ADDRESS PORT told CONNECTIONS`` asks once on each, prints the list of who
answered, and does so again for each line on its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

PATIENCE = 10.0


def tell(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return (await reader.readexactly(length)).decode().split()[0]


async def keep_asking(host: str, port: int, until: float, seen: Counter[str]) -> None:
    while time.monotonic() < until:
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(host, port)
            first = ""
            while time.monotonic() < until:
                async with asyncio.timeout(PATIENCE):
                    who = await exchange(reader, writer, host)
                seen["requests"] += 1
                seen["moved"] += who != (first := first or who)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            seen["broken"] += 1
            seen["silent"] += isinstance(error, TimeoutError)
            await asyncio.sleep(0.01)
        finally:
            if writer is not None:
                writer.close()


async def main(host: str, port: int, seconds: float, connections: int) -> None:
    seen: Counter[str] = Counter(requests=0, broken=0, silent=0, moved=0)
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(keep_asking(host, port, until, seen))
    tell(dict(seen))


async def ask_when_told(host: str, port: int, connections: int) -> None:
    channels = [await asyncio.open_connection(host, port) for _ in range(connections)]
    while True:
        async with asyncio.timeout(PATIENCE):
            tell([await exchange(*each, host) for each in channels])
        # Nothing happens meanwhile, and nothing shall.
        if not sys.stdin.readline():
            return


if __name__ == "__main__":
    where, at, how, number = sys.argv[1:]
    if how == "told":
        asyncio.run(ask_when_told(where, int(at), int(number)))
    else:
        asyncio.run(main(where, int(at), float(how), int(number)))
