# SPDX-License-Identifier: Apache-2.0
"""Requests while SYNs of random clients come at the generator's full rate.

What is wanted: no request fails, connections that were open stay usable, and when the
time-outs are over, the counters tell the truth again.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

from bench.e2e import plan
from bench.e2e.balancers import Xlvs
from bench.e2e.hosts import Failed, TooLate
from bench.e2e.live import Generator
from bench.e2e.plan import Wires
from bench.e2e.rows import Row
from bench.e2e.traffic import Requests, Setting, requests, stream, wrk_argv

HELD = 32
"""Connections that are open before the flood and used after it; new ones in it."""
_ASK = b"GET /index.html HTTP/1.1\r\nHost: bench\r\n\r\n"
LONGEST = 150.0
"""Seconds after which every connection of the flood is over: TIME_WAIT has 120."""
_PATIENCE = 5.0
"""Seconds for a connection and its answer: SYNs are sent again after one, three, seven."""
_HEAD = 1.0  # seconds of flood before the requests: the tables are full by then
_LONGER = 2  # times as long as other rows: there is but one round


class Flood(NamedTuple):
    """What became of the requests; ``kept`` and ``kept_new`` are shares of the calm rate.

    ``arrived``: of the packets ``sent`` those that the director took from its device, per
    second while there were requests; of xlvs, the connections that it opened or refused, and
    the SYNs that it answered. ``opened``: connections of the flood's clients at its end, of xlvs.
    ``held``: connections of before that work afterwards. ``fresh``: such as were opened in
    the flood and served. ``table``: xlvs's words about its table.
    """

    kept: float
    kept_new: float
    errors: str
    held: int
    fresh: int
    sent: float
    arrived: float
    cpu_seconds: float
    end: float
    table: dict[str, Any]
    opened: int | None


def flood(at: Setting, row: Row) -> Flood:
    """The whole play at one director."""
    begin = at.net.cpu_seconds()
    if row.at.wires is not Wires.XDP:
        # Without it the device takes no frame of the generator.
        at.net.director(row.director).run(["ethtool", "-K", plan.FLOOD_DEVICE, "gro", "on"])
    with ExitStack() as stack:
        calm = {new: _wrk(at, row, new=new) for new in (False, True)}
        with at.net.client.inside():
            held = [_connect(row, stack) for _ in range(HELD)]
        answered = sum(_answers(each) for each in held)
        if answered != HELD:
            raise Failed(f"{row.title}: {answered} of {HELD} connections work before the flood")
        seconds = _HEAD + 2 * _LONGER * at.seconds + 3 * _PATIENCE + 3
        cpu = min(os.sched_getaffinity(0))
        syns = stream(at, row, syn=True)
        client = at.net.client
        generator = Generator(client, at.objects, cpu, seconds, syns, alone=False)
        time.sleep(_HEAD + 1)
        wet, packets, since = {}, _arrived(at, row), time.monotonic()
        for new in (False, True):
            wet[new] = _wrk(at, row, new=new)
        arrived = (_arrived(at, row) - packets) / (time.monotonic() - since)
        fresh = _fresh(at, row)
        if not generator.runs:
            raise Failed(f"{row.title}: the flood was over before its end was looked for")
        sent = generator.done()
        answered = sum(_answers(each) for each in held)
    xlvs = at.xlvs.get(row.director)
    table = xlvs.status()["table"] if xlvs else {}
    opened = xlvs.of_clients(row.at.flooding) if xlvs else None
    return Flood(
        _rate(wet[False]) / _rate(calm[False]),
        _rate(wet[True]) / _rate(calm[True]),
        "; ".join(each.errors for each in (*calm.values(), *wet.values()) if each.errors),
        answered,
        fresh,
        sent.packets / sent.seconds,
        arrived,
        at.net.cpu_seconds() - begin,
        time.monotonic(),
        table,
        opened,
    )


def truth(xlvs: Xlvs, since: float) -> str:
    """Wait until the flood's connections are gone; "" if the counters say so as well."""
    while True:
        used, counters = xlvs.status()["table"]["used"], xlvs.connections()
        if not used and counters == (0, 0):
            return ""
        if time.monotonic() - since > LONGEST:
            active, inactive = counters
            return f"{used} in the table, ActiveConn {active}, InActConn {inactive}"
        time.sleep(2)


def _arrived(at: Setting, row: Row) -> int:
    if row.director not in at.xlvs:
        return at.net.director(row.director).received()[plan.FLOOD_DEVICE]
    status = at.xlvs[row.director].status()
    answered = status["reasons"].get("reply_syn_cookie", {"packets": 0})["packets"]
    return int(status["table"]["created"]) + int(status["table"]["full"]) + int(answered)


def _rate(made: Requests) -> float:
    return made.number / made.seconds


def _wrk(at: Setting, row: Row, *, new: bool) -> Requests:
    seconds = _LONGER * at.seconds
    argv = wrk_argv(row, new=new, seconds=seconds, patience=1)
    try:
        return requests(at.net.client.run(argv, timeout=seconds + _PATIENCE))
    except TooLate:
        # It opens a connection before it counts, and tries that for minutes.
        return Requests(0, seconds, f"no connection in {_PATIENCE:g} s")


def _connect(row: Row, stack: ExitStack) -> socket.socket:
    made = socket.create_connection((row.to, row.port), timeout=5)
    stack.callback(made.close)
    return made


def _fresh(at: Setting, row: Row) -> int:
    """Open connections all at once, wait for their answers; how many came."""
    with ExitStack() as stack:
        waiting = []
        with at.net.client.inside():
            for _ in range(HELD):
                made = stack.enter_context(socket.socket())
                made.setblocking(False)
                made.connect_ex((row.to, row.port))
                waiting.append(made)
        deadline, served = time.monotonic() + _PATIENCE, 0
        for each in waiting:
            left = max(deadline - time.monotonic(), 0.01)
            _, writable, _ = select.select([], [each], [], left)
            each.settimeout(max(deadline - time.monotonic(), 0.01))
            served += bool(writable) and _answers(each)
        return served


def _answers(connection: socket.socket) -> bool:
    """One request on an open connection."""
    try:
        connection.sendall(_ASK)
        said = b""
        while not said.endswith(b"x\n"):
            more = connection.recv(4096)
            if not more:
                return False
            said += more
    except OSError:
        return False
    return b" 200 " in said
