# SPDX-License-Identifier: Apache-2.0
"""The receiving side: messages in, connections to be put into the table out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from xlvs.model.synced import Synced
from xlvs.protocols.ipvs_sync import codec
from xlvs.protocols.ipvs_sync.faults import Fault, Kind


class Backup:
    """One sync daemon in the role of the backup."""

    def __init__(self, sync_id: int = 0, engines: Collection[bytes] = codec.ENGINES) -> None:
        self._sync_id = sync_id
        self._engines = engines
        self.messages = 0
        self.bytes = 0
        self.connections = 0
        self.faults: Counter[Kind] = Counter()
        """What was wrong, how often."""
        self.last_fault: Fault | None = None

    def receive(self, data: bytes | memoryview) -> tuple[Synced, ...]:
        """The connections of one datagram, in order."""
        decoded = codec.decode(data, self._sync_id, self._engines)
        self.messages += 1
        self.bytes += len(data)
        self.connections += len(decoded.entries)
        for fault in decoded.faults:
            self.faults[fault.kind] += 1
            self.last_fault = fault
        return decoded.entries
