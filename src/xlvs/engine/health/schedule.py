# SPDX-License-Identifier: Apache-2.0
"""When checks are due: keepalived's defaults for each checker, jitter, deadlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xlvs.model.checker import (
    AnyCheck,
    BfdCheck,
    DnsCheck,
    FileCheck,
    HttpCheck,
    MiscCheck,
    SmtpCheck,
    VirtualService,
)

CONNECT_TIMEOUT = 5.0
RETRY = 1
DELAY_BEFORE_RETRY = 1.0
HTTP_DELAY_BEFORE_RETRY = 3.0
DNS_RETRY = 3

SHORTEST_DELAY = 0.01
"""Seconds. No interval is less: a file that says 0 must not keep a processor busy."""

CATCH_UP = 5.0
"""Seconds within which checks come again that stood still, ``ha_suspend``'s or a restart's."""

_HTTP_STEPS = 2  # connect, answer
_SMTP_STEPS = 4  # connect, greeting, HELO, QUIT

Draw = Callable[[], float]
"""A random number, 0 <= x < 1."""


class Timing(NamedTuple):
    """Of one check, seconds. ``fall``, ``rise``: results in a row that change what is believed.

    ``deadline``: a probe is over so long after its start, whatever it has to say.
    """

    delay_loop: float
    delay_before_retry: float
    warmup: float
    deadline: float
    fall: int
    rise: int


def followed(check: AnyCheck) -> bool:
    """Whether this is told of changes instead of asking at intervals."""
    return isinstance(check, FileCheck | BfdCheck)


def timing(check: AnyCheck, service: VirtualService) -> Timing:
    """What the file says, else keepalived's default for this checker."""
    delay_loop = service.delay_loop if check.delay_loop is None else check.delay_loop
    delay_loop = max(delay_loop, SHORTEST_DELAY)
    before_retry = check.delay_before_retry
    if before_retry is None:
        before_retry = _delay_before_retry(check, delay_loop)
    return Timing(
        delay_loop=delay_loop,
        delay_before_retry=max(before_retry, SHORTEST_DELAY),
        warmup=delay_loop if check.warmup is None else check.warmup,
        deadline=_deadline(check, delay_loop),
        fall=1 + (_retry(check) if check.retry is None else check.retry),
        rise=1 if followed(check) else max(check.rise, 1),
    )


def first(timing: Timing, now: float, draw: Draw) -> float:
    """When a new check is due: at random within the warm-up."""
    return now + timing.warmup * draw()


def again(timing: Timing, now: float, draw: Draw) -> float:
    """When a check is due that stood still: soon, but not all at once."""
    return now + min(timing.delay_loop, CATCH_UP) * draw()


def following(timing: Timing, started: float, now: float, *, retry: bool) -> float:
    """When the next probe is due after one that was started then and is over now.

    Intervals count from start to start: checks that were spread stay spread.
    """
    if retry:
        return now + timing.delay_before_retry
    return max(started + timing.delay_loop, now)


def _retry(check: AnyCheck) -> int:
    match check:
        case MiscCheck() | FileCheck() | BfdCheck():
            return 0
        case DnsCheck():
            return DNS_RETRY
        case _:
            return RETRY


def _delay_before_retry(check: AnyCheck, delay_loop: float) -> float:
    match check:
        case HttpCheck():
            return HTTP_DELAY_BEFORE_RETRY
        case DnsCheck():
            return delay_loop
        case _:
            return DELAY_BEFORE_RETRY


def _deadline(check: AnyCheck, delay_loop: float) -> float:
    """``connect_timeout`` is that of one step; a probe may have several."""
    step = CONNECT_TIMEOUT if check.connect_timeout is None else check.connect_timeout
    match check:
        case MiscCheck():
            return check.timeout or delay_loop
        case HttpCheck():
            steps = (_HTTP_STEPS + check.tls) * max(len(check.urls), 1)
        case SmtpCheck():
            steps = _SMTP_STEPS * max(len(check.hosts), 1)
        case _:
            steps = 1
    return max(step, SHORTEST_DELAY) * steps
