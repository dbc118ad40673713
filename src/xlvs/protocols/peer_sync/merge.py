# SPDX-License-Identifier: Apache-2.0
"""Two directors may hold the same connection: the newer record counts.

After a fail-over the one that lost the address still has its old records, and both send
what they have. The record whose last packet is the more recent one is right: only the
director that clients reach sees packets.
"""

from __future__ import annotations

from xlvs.model.synced import Synced


def remaining(connection: Synced) -> float:
    """Seconds that it has to live; not above 0: it is over."""
    return connection.timeout - connection.idle


def newer(held: Synced | None, received: Synced) -> bool:
    """Whether the received record is to take the held one's place.

    A template lives by its connections, not by packets: the longer life is right. If both
    are as good, ours stays.
    """
    if received.timeout > 0 and remaining(received) <= 0:
        return False
    if held is None:
        return True
    if received.template:
        return (remaining(received), received.state) > (remaining(held), held.state)
    return received.idle < held.idle
