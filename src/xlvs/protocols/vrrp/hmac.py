# SPDX-License-Identifier: Apache-2.0
"""``auth_hmac``: the trailer of draft-cassen-vrrp-auth-hmac-01, keepalived 2.4.1's.

28 bytes behind the message: scheme 1, key id, two bytes of zero, a sequence number of
eight (seconds since the epoch, 1/65536 s, a counter), and the first 16 bytes of an
HMAC-SHA256 over a pseudo-header (family, version, router id, 0, source in 16 bytes), the
message with its checksum taken as 0, and the trailer with its HMAC taken as 0.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import OrderedDict

from xlvs.model.service import Address
from xlvs.model.vrrp import Authentication
from xlvs.protocols.vrrp.packet import Advert, Reason, Rejected

KEY_MIN, KEY_MAX = 32, 64
WINDOW_MIN, WINDOW_MAX = 1.0, 300.0
WINDOW_FLOOR = 5.0

_PREFIX = struct.Struct(">BBHQ")
_SHA256_128 = 1
_BYTES = 16
_CHECKSUM = slice(6, 8)
_SENDERS = 16
_SEQUENCES = 1 << 64
_HALF = 1 << 63


def window(authentication: Authentication, interval: float) -> float:
    """Seconds that an advert may be old or new."""
    if authentication.window is not None:
        return min(max(authentication.window, WINDOW_MIN), WINDOW_MAX)
    return min(max(3 * interval, WINDOW_FLOOR), WINDOW_MAX)


def digest(key: bytes, message: bytes, prefix: bytes, source: Address, router_id: int) -> bytes:
    """The HMAC that belongs into the trailer that begins with ``prefix``."""
    pseudo = struct.pack(">BBBx16s", source.version, message[0] >> 4, router_id, source.packed)
    body = message[: _CHECKSUM.start] + b"\0\0" + message[_CHECKSUM.stop :]
    return hmac.digest(key, pseudo + body + prefix + bytes(_BYTES), hashlib.sha256)[:_BYTES]


class Signer:
    """Signs what one instance sends; its sequence numbers only grow."""

    def __init__(self, authentication: Authentication, interval: float) -> None:
        self._id, self._key = authentication.keys[0]
        self._window = window(authentication, interval)
        self._monotonic = authentication.monotonic
        self._last = 0

    def trailer(self, message: bytes, source: Address, wall: float) -> bytes:
        """The trailer of a message; ``wall``: seconds since the epoch."""
        now = _sequence(wall)
        if _after(now, self._last):
            self._last = now
        elif not self._monotonic and _after(self._last, now + (int(self._window) << 32)):
            # The clock was set back by more than receivers forgive: begin anew with it.
            self._last = now
        else:
            self._last = (self._last + 1) % _SEQUENCES
        prefix = _PREFIX.pack(_SHA256_128, self._id, 0, self._last)
        return prefix + digest(self._key, message, prefix, source, message[1])


class Verifier:
    """Looks at the trailers that one instance receives, and remembers every sender's last."""

    def __init__(self, authentication: Authentication, interval: float) -> None:
        self._keys = dict(authentication.keys)
        self._window = window(authentication, interval)
        self._monotonic = authentication.monotonic
        self._last: OrderedDict[Address, int] = OrderedDict()

    def check(self, advert: Advert, source: Address, wall: float) -> None:
        """Raises Rejected unless the trailer is right, fresh and newer than the last one."""
        if not advert.trailer:
            raise Rejected(Reason.HMAC_MISSING, "no HMAC")
        scheme, key_id, reserved, sequence = _PREFIX.unpack_from(advert.trailer)
        if scheme != _SHA256_128 or reserved:
            raise Rejected(Reason.HMAC_MALFORMED, f"HMAC scheme {scheme}")
        # Before the costly part: a flood of old packets costs no digest. It grants nothing.
        if not self._monotonic and not self._fresh(sequence, wall):
            age = wall % (1 << 32) - (sequence >> 32)
            raise Rejected(Reason.HMAC_STALE, f"signed {age:.0f} s ago: do the clocks agree?")
        key = self._keys.get(key_id)
        if key is None:
            raise Rejected(Reason.HMAC_KEY, f"unknown HMAC key {key_id}")
        prefix = advert.trailer[: _PREFIX.size]
        right = digest(key, advert.message, prefix, source, advert.router_id)
        if not hmac.compare_digest(right, advert.trailer[_PREFIX.size :]):
            raise Rejected(Reason.HMAC_WRONG, f"wrong HMAC with key {key_id}")
        last = self._last.get(source)
        if last is not None and not self._monotonic and not self._fresh(last, wall):
            last = None  # it orders nothing that the window would let in
        if last is not None and not _after(sequence, last):
            raise Rejected(Reason.HMAC_REPLAY, "an advert seen before")
        self._last[source] = sequence
        self._last.move_to_end(source)
        if len(self._last) > _SENDERS:
            self._last.popitem(last=False)

    def _fresh(self, sequence: int, wall: float) -> bool:
        age = (int(wall) - (sequence >> 32)) % (1 << 32)
        return min(age, (1 << 32) - age) <= self._window


def _sequence(wall: float) -> int:
    seconds = int(wall)
    return (seconds % (1 << 32)) << 32 | int((wall - seconds) * 65536) << 16


def _after(one: int, other: int) -> bool:
    """RFC 1982: ``one`` comes after ``other``."""
    return 0 < (one - other) % _SEQUENCES < _HALF
