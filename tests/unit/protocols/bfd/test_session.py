# SPDX-License-Identifier: Apache-2.0
"""BFD sessions: the table of RFC 5880 6.8.6, times, and two of them face to face."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.model.tracking import Bfd
from xlvs.protocols.bfd.packet import Control, Diagnostic, Reason, Rejected, State, build, parse
from xlvs.protocols.bfd.session import TABLE, Changed, Send, Session

CONTROL = Control(State.DOWN, 0, 3, 7, 0, 1_000_000, 50_000)


def wanted(**more):
    return Bfd(name="x", neighbour=ip_address("10.0.0.1"), **{"min_rx": 50, "min_tx": 50} | more)


def session(**more):
    made = Session(wanted(**more), 42, random.Random(1).uniform)
    made.start(0.0)
    made.take_effects()
    return made


def up(now=0.0, **more):
    made = session(**more)
    made.received(replace(CONTROL, state=State.INIT, yours=42, desired_min_tx=50_000), now)
    made.take_effects()
    return made


def test_bytes_as_in_the_rfc():
    data = build(replace(CONTROL, state=State.UP, diagnostic=1, yours=42, poll=True))
    assert data.hex() == "21e00318000000070000002a000f42400000c35000000000"
    assert parse(data) == replace(CONTROL, state=State.UP, diagnostic=1, yours=42, poll=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d[:23], Reason.LENGTH),
        (lambda d: b"\x40" + d[1:], Reason.VERSION),
        (lambda d: d[:1] + b"\x44" + d[2:], Reason.AUTHENTICATION),
        (lambda d: d[:1] + b"\x41" + d[2:], Reason.MULTIPOINT),
        (lambda d: d[:2] + b"\0" + d[3:], Reason.MULTIPLIER),
        (lambda d: d[:3] + b"\x19" + d[4:], Reason.LENGTH),
        (lambda d: d[:4] + bytes(4) + d[8:], Reason.DISCRIMINATOR),
        (lambda d: d[:1] + b"\xc0" + d[2:], Reason.DISCRIMINATOR),
    ],
)
def test_every_check_has_its_reason(change, reason):
    with pytest.raises(Rejected) as caught:
        parse(change(build(CONTROL)))
    assert caught.value.reason is reason


@given(st.binary(max_size=60))
def test_anything_else_is_rejected_and_nothing_worse(data):
    try:
        parse(data)
    except Rejected:
        return


def test_the_table_is_whole():
    assert set(TABLE) == set(product((State.DOWN, State.INIT, State.UP), State))


@pytest.mark.parametrize(
    ("heard", "after"),
    [(State.DOWN, State.INIT), (State.INIT, State.UP), (State.UP, State.DOWN)],
)
def test_out_of_down(heard, after):
    made = session()
    made.received(replace(CONTROL, state=heard, yours=42), 1.0)
    assert made.state is after


def test_a_neighbour_that_says_down_takes_it_down():
    made = up()
    made.received(replace(CONTROL, yours=42), 1.0)
    assert made.state is State.DOWN
    assert made.diagnostic is Diagnostic.NEIGHBOUR_SAID_DOWN


def test_silence_takes_it_down_after_the_neighbours_multiplier():
    made = up(10.0)
    made.tick(10.149)
    assert made.state is State.UP
    made.tick(10.151)
    assert made.state is State.DOWN
    assert Changed(State.UP, State.DOWN, Diagnostic.DETECTION_TIME_EXPIRED) in made.take_effects()


def test_packets_are_slow_until_it_is_up():
    made = session()
    made.tick(0.0)
    assert 0.75 <= made.deadline <= 1.0
    made = up(0.0)
    made.tick(0.0)
    assert 0.0375 <= made._send_at <= 0.05


def test_a_poll_is_answered_at_once():
    made = up()
    made.received(replace(CONTROL, state=State.UP, yours=42, poll=True), 0.01)
    answers = [parse(one.payload) for one in made.take_effects() if isinstance(one, Send)]
    assert [one.final for one in answers] == [True]


def test_up_polls_until_the_final():
    made = up()
    made.tick(0.0)
    (first,) = [parse(one.payload) for one in made.take_effects()]
    assert first.poll
    made.received(replace(CONTROL, state=State.UP, yours=42, final=True), 0.01)
    made.tick(0.06)
    assert not any(parse(one.payload).poll for one in made.take_effects())


def test_a_passive_one_waits():
    made = session(passive=True)
    assert made.deadline is None
    made.received(CONTROL, 1.0)
    assert made.deadline == 1.0


def test_a_neighbour_that_wants_none_gets_none():
    made = up()
    made.received(replace(CONTROL, state=State.UP, yours=42, required_min_rx=0), 0.0)
    made.take_effects()
    made.tick(0.1)
    assert made.take_effects() == []


def test_the_end_is_said():
    made = up()
    made.stop()
    (said,) = [parse(one.payload) for one in made.take_effects() if isinstance(one, Send)]
    assert (said.state, said.diagnostic) == (State.ADMIN_DOWN, 7)
    assert made.deadline is None
    made.received(CONTROL, 1.0)
    assert made.state is State.ADMIN_DOWN


@given(st.integers(0, 2**32), st.booleans(), st.lists(st.booleans(), max_size=30))
def test_two_of_them_agree_in_the_end(seed, passive, losses):
    chance = random.Random(seed).uniform
    ends = [Session(wanted(), 1, chance), Session(wanted(passive=passive), 2, chance)]
    for end in ends:
        end.start(0.0)
    now, lost = 0.0, list(losses)
    for _ in range(400):
        deadline = min(end.deadline for end in ends if end.deadline is not None)
        now = max(now, deadline)
        for end in ends:
            end.tick(now)
        for end, other in (ends, ends[::-1]):
            for effect in end.take_effects():
                if isinstance(effect, Send) and not (lost and lost.pop()):
                    other.received(parse(effect.payload), now)
        for end in ends:
            assert end.deadline is None or end.deadline >= now - 1e-5
    assert [end.state for end in ends] == [State.UP, State.UP]
