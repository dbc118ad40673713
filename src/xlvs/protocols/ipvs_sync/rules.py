# SPDX-License-Identifier: Apache-2.0
"""When IPVS's master sends a connection: the sysctls ``net.ipv4.vs.sync_*``.

Asked after each packet of a client. A connection is sent when the count of its packets
hits the threshold, and at once when its state has become one in which it ends. Without
``sync_refresh_period`` nothing else sends it: a backup's timer runs out unless packets
come often enough.
"""

from __future__ import annotations

from typing import NamedTuple

from xlvs.model.synced import SCTP, TCP, Flag, SctpState, Synced, SyncedKey, TcpState

_SENT = {
    TCP: frozenset(
        {
            TcpState.ESTABLISHED,
            TcpState.FIN_WAIT,
            TcpState.CLOSE,
            TcpState.CLOSE_WAIT,
            TcpState.TIME_WAIT,
        }
    ),
    SCTP: frozenset(
        {
            SctpState.ESTABLISHED,
            SctpState.SHUTDOWN_SENT,
            SctpState.SHUTDOWN_RECEIVED,
            SctpState.SHUTDOWN_ACK_SENT,
            SctpState.CLOSED,
        }
    ),
}
_ESTABLISHED = {TCP: int(TcpState.ESTABLISHED), SCTP: int(SctpState.ESTABLISHED)}
_RETRY_PART = 8  # of the refresh period between two repetitions
_REFRESH_MIN = 10.0  # seconds: a shorter life is not refreshed more often


class Rules(NamedTuple):
    """The sysctls; ``refresh_period`` in seconds.

    ``threshold`` and ``period`` are ``sync_threshold``'s two numbers.
    """

    threshold: int = 3
    period: int = 50
    refresh_period: float = 0.0
    retries: int = 0
    persist_mode: bool = False


DEFAULT = Rules()


class Memory(NamedTuple):
    """What the master remembers of a connection.

    ``ends``: when it ends by what was sent last, None: nothing was. ``state``: the one
    that was sent.
    """

    state: int = 0
    ends: float | None = None
    repeated: int = 0


NEW = Memory()


def needed(
    connection: Synced,
    packets: int,
    memory: Memory,
    rules: Rules,
    now: float,
    *,
    persistent: bool = False,
) -> Memory | None:
    """What to remember when the connection is sent now; None: it is not.

    ``packets``: of the client, with this one. ``persistent``: it has a template.
    """
    if not _sendable(connection, rules, persistent=persistent):
        return None
    if _is_ending(connection, memory):
        return Memory(connection.state, now + connection.timeout)
    repeated = _repeated(connection, memory, rules, now)
    if repeated is None or not _counted(connection, packets, rules):
        return None
    return Memory(connection.state, now + connection.timeout, repeated)


def _sendable(connection: Synced, rules: Rules, *, persistent: bool) -> bool:
    if connection.flags & Flag.ONE_PACKET:
        return False
    if connection.template:
        return True
    if rules.persist_mode and persistent:
        return False
    sent = _SENT.get(connection.protocol)
    return sent is None or connection.state in sent


def _is_ending(connection: Synced, memory: Memory) -> bool:
    established = _ESTABLISHED.get(connection.protocol)
    if connection.template or established is None:
        return False
    return connection.state not in {memory.state, established}


def _repeated(connection: Synced, memory: Memory, rules: Rules, now: float) -> int | None:
    """How often the same was sent; None: it is too early to send it again."""
    if rules.refresh_period <= 0 or memory.ends is None:
        return 0
    least = min(rules.refresh_period, max(connection.timeout / 2, _REFRESH_MIN))
    if abs(now + connection.timeout - memory.ends) >= least:
        return 0
    last = memory.ends - connection.timeout
    if memory.repeated >= rules.retries or now < last + rules.refresh_period / _RETRY_PART:
        return None
    return memory.repeated + 1


def _counted(connection: Synced, packets: int, rules: Rules) -> bool:
    """Whether this packet is one of those that send."""
    if rules.period > 0:
        return connection.template or packets % rules.period == rules.threshold
    return rules.refresh_period > 0 or packets == rules.threshold


class Watch:
    """The rules with their memory, for as many connections as are watched."""

    def __init__(self, rules: Rules = DEFAULT, *, version: int = 1) -> None:
        self.rules = rules
        self._version = version
        self._memories: dict[SyncedKey, Memory] = {}
        self._packets: dict[SyncedKey, int] = {}

    def packet(
        self, connection: Synced, packets: int, now: float, template: Synced | None = None
    ) -> list[Synced]:
        """What is sent after a client's packet: the connection, its template, both, none."""
        found = []
        if self._due(connection, packets, now, persistent=template is not None):
            found.append(connection)
        elif not self._version:
            return found  # version 0 sends a template only behind its connection
        if template is not None:
            count = self._packets[template.key] = self._packets.get(template.key, 0) + 1
            if self._due(template, count, now):
                found.append(template)
        return found

    def kept(self, template: Synced, now: float) -> list[Synced]:
        """What is sent when a template's time is over and it stays for its connections."""
        return [template] if self._due(template, self.rules.threshold, now) else []

    def forget(self, key: SyncedKey) -> None:
        """The connection has ended."""
        self._memories.pop(key, None)
        self._packets.pop(key, None)

    def _due(
        self, connection: Synced, packets: int, now: float, *, persistent: bool = False
    ) -> bool:
        key = connection.key
        memory = self._memories.get(key, NEW)
        after = needed(connection, packets, memory, self.rules, now, persistent=persistent)
        if after is None:
            return False
        self._memories[key] = after
        return True
