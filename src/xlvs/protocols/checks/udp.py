# SPDX-License-Identifier: Apache-2.0
"""UDP_CHECK: what a reply, or none, means."""

from __future__ import annotations

from xlvs.model.checker import UdpCheck
from xlvs.protocols.checks.outcome import GOOD, Outcome, failed, in_seconds

REPLY_MAX = 65535


def judge(check: UdpCheck, reply: bytes) -> Outcome:
    """A datagram came back."""
    if not check.require_reply:
        return GOOD
    least, most = check.min_reply_length, check.max_reply_length
    if not least <= len(reply) <= most:
        return failed(f"the reply has {len(reply)} bytes, expected {least} to {most}")
    for at, (got, want) in enumerate(zip(reply, check.reply, strict=False)):
        bits = check.reply_mask[at] if at < len(check.reply_mask) else 0xFF
        if (got ^ want) & bits:
            return failed(f"byte {at} of the reply is {got:02x}, expected {want:02x}")
    return GOOD


def silence(check: UdpCheck, seconds: float) -> Outcome:
    """Nothing came back in time."""
    if check.require_reply:
        return failed(f"timed out after {in_seconds(seconds)} while waiting for the reply")
    return GOOD
