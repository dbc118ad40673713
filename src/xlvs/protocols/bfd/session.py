# SPDX-License-Identifier: Apache-2.0
"""One BFD session (RFC 5880 6.8): packets and ``now`` in, packets and transitions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xlvs.model.tracking import Bfd
from xlvs.protocols.bfd.packet import Control, Diagnostic, State, build

_SLOW = 1_000_000  # microseconds; RFC 5880 6.8.3: at least that between packets while not up
_EARLY = 1e-6

TABLE: Mapping[tuple[State, State], State] = {
    (State.DOWN, State.DOWN): State.INIT,
    (State.DOWN, State.INIT): State.UP,
    (State.DOWN, State.UP): State.DOWN,
    (State.INIT, State.DOWN): State.INIT,
    (State.INIT, State.INIT): State.UP,
    (State.INIT, State.UP): State.UP,
    (State.UP, State.DOWN): State.DOWN,
    (State.UP, State.INIT): State.UP,
    (State.UP, State.UP): State.UP,
    (State.DOWN, State.ADMIN_DOWN): State.DOWN,
    (State.INIT, State.ADMIN_DOWN): State.DOWN,
    (State.UP, State.ADMIN_DOWN): State.DOWN,
}
"""State here and state heard to the state that follows; ADMIN_DOWN here hears nothing."""


@dataclass(frozen=True, slots=True)
class Send:
    """A control packet to the neighbour."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """A transition."""

    old: State
    new: State
    diagnostic: Diagnostic


Effect = Send | Changed


class Session:
    """With one neighbour.

    ``discriminator``: not 0, no other session's. ``uniform``: chance between two numbers.
    """

    def __init__(
        self, wanted: Bfd, discriminator: int, uniform: Callable[[float, float], float]
    ) -> None:
        self.wanted = wanted
        self.discriminator = discriminator
        self.state = State.DOWN
        self.diagnostic = Diagnostic.NONE
        self._uniform = uniform
        self._effects: list[Effect] = []
        self._yours = 0
        self._remote_min_rx = 1
        self._detection = 0.0
        self._polling = False
        self._send_at: float | None = None
        self._detect_at: float | None = None

    def start(self, now: float) -> None:
        """Begin; a passive one waits for its neighbour."""
        if not self.wanted.passive:
            self._send_at = now

    def stop(self) -> None:
        """Say that this is on purpose."""
        self._become(State.ADMIN_DOWN, Diagnostic.ADMINISTRATIVELY_DOWN)
        if self._yours:
            self._send()
        self._send_at = self._detect_at = None

    def received(self, control: Control, now: float) -> None:
        """A packet that ``parse`` and the hop check let through."""
        if self.state is State.ADMIN_DOWN:
            return
        self._yours = control.mine
        self._remote_min_rx = control.required_min_rx
        if control.final:
            self._polling = False
        heard = max(_microseconds(self.wanted.min_rx), control.desired_min_tx)
        self._detection = control.multiplier * heard / 1e6
        self._detect_at = now + self._detection
        after = TABLE[self.state, control.state]
        if after is not self.state:
            down = after is State.DOWN
            self._become(after, Diagnostic.NEIGHBOUR_SAID_DOWN if down else Diagnostic.NONE)
            if after is State.UP:
                self._polling = True  # the intervals are other ones from now on
            self._send_at = now
        elif self._send_at is None:
            self._send_at = now
        else:
            # A neighbour that wants packets more often than until now need not wait.
            self._send_at = min(self._send_at, now + self._interval())
        if control.poll:
            self._send(final=True)

    def tick(self, now: float) -> None:
        """The deadline has come."""
        if self._detect_at is not None and self._detect_at <= now + _EARLY:
            self._detect_at = None
            self._yours = 0
            if self.state in (State.INIT, State.UP):
                self._become(State.DOWN, Diagnostic.DETECTION_TIME_EXPIRED)
                self._send_at = now
            if self.wanted.passive:
                self._send_at = None
        if self._send_at is not None and self._send_at <= now + _EARLY:
            if self._remote_min_rx:
                self._send()
            self._send_at = now + self._interval()

    def take_effects(self) -> list[Effect]:
        """What is to be done, once."""
        effects, self._effects = self._effects, []
        return effects

    @property
    def deadline(self) -> float | None:
        """When to call ``tick``."""
        times = [time for time in (self._send_at, self._detect_at) if time is not None]
        return min(times, default=None)

    def _become(self, state: State, diagnostic: Diagnostic) -> None:
        if state is self.state:
            return
        old, self.state = self.state, state
        if state is not State.INIT:
            self.diagnostic = diagnostic
        if state is not State.UP:
            self._polling = False
        self._effects.append(Changed(old, state, diagnostic))

    def _desired(self) -> int:
        if self.state is State.UP:
            return _microseconds(self.wanted.min_tx)
        return max(_microseconds(self.wanted.idle_tx), _SLOW)

    def _interval(self) -> float:
        interval = max(self._desired(), self._remote_min_rx) / 1e6
        # RFC 5880 6.8.7: so that sessions do not march in step.
        most = 0.9 if self.wanted.multiplier == 1 else 1.0
        return interval * self._uniform(0.75, most)

    def _send(self, *, final: bool = False) -> None:
        self._effects.append(
            Send(
                build(
                    Control(
                        self.state,
                        self.diagnostic,
                        self.wanted.multiplier,
                        self.discriminator,
                        self._yours,
                        self._desired(),
                        _microseconds(self.wanted.min_rx),
                        poll=self._polling and not final,
                        final=final,
                    )
                )
            )
        )


def _microseconds(milliseconds: float) -> int:
    return max(round(milliseconds * 1000), 1)
