# SPDX-License-Identifier: Apache-2.0
"""UDP_CHECK: what a reply, or none, means."""

from __future__ import annotations

from xlvs.model.checker import UdpCheck
from xlvs.protocols.checks.outcome import GOOD, Outcome, failed, in_seconds

REPLY_MAX = 65535


def judge(check: UdpCheck, reply: bytes, expected: bytes = b"", mask: bytes = b"") -> Outcome:
    """A datagram came back.

    ``expected`` is compared as far as both reach, in the bits that ``mask`` has (all, where
    it has none): keepalived's ``require_reply`` with hex digits.
    """
    if not check.require_reply:
        return GOOD
    least, most = check.min_reply_length, check.max_reply_length
    if not least <= len(reply) <= most:
        return failed(f"the reply has {len(reply)} bytes, expected {least} to {most}")
    for at, (got, want) in enumerate(zip(reply, expected, strict=False)):
        bits = mask[at] if at < len(mask) else 0xFF
        if (got ^ want) & bits:
            return failed(f"byte {at} of the reply is {got:02x}, expected {want:02x}")
    return GOOD


def silence(check: UdpCheck, seconds: float) -> Outcome:
    """Nothing came back in time."""
    if check.require_reply:
        return failed(f"timed out after {in_seconds(seconds)} while waiting for the reply")
    return GOOD
