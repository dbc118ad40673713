# SPDX-License-Identifier: Apache-2.0
"""``POST /v1/explain``: ExplainRequest -> Explanation, what would happen to one packet.

Addresses with ports are text as people write it, times are seconds.
"""

from __future__ import annotations

import msgspec

from xlvs.model.service import Address, Protocol


class ExplainRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The packet. What is empty, 0 or None is chosen by the daemon, which says so.

    ``flags``: letters of S, A, F, R; of SCTP what stands for them (INIT, DATA, SHUTDOWN,
    ABORT). ``length``: IP bytes. ``mark``: what an earlier program has given it (TC only).

    ``error``: what comes in is not the packet but this ICMP error about it, host-unreachable,
    port-unreachable, too-big or ttl-exceeded, sent to its source by ``sender``; if that is
    not said, by its destination.
    """

    protocol: Protocol
    source: Address
    destination: Address
    destination_port: int
    source_port: int | None = None
    flags: str = "S"
    interface: str = ""
    hook: str = ""
    length: int = 0
    mark: int = 0
    error: str = ""
    sender: Address | None = None


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One header of a frame: its name, and its fields as people read them."""

    name: str
    fields: dict[str, str]


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """The packet that was made, and where it comes in. ``chosen``: what nobody asked for, why."""

    title: str
    interface: str
    hook: str
    frame: list[Layer]
    chosen: list[str]


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection or template; ``expires`` seconds from now. ``flags``: as the table has it."""

    protocol: str
    state: str
    client: str
    virtual: str
    server: str
    method: str
    expires: float
    local: str = ""
    flags: list[str] = []


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """``found``: none, over, abandoned, found; ``entry`` is what there is or would be."""

    found: str
    client: str
    entry: Connection | None = None
    connections: int = 0


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A server that the scheduler looked at, with the numbers that it had before it.

    ``unfit``: why it was not considered, or empty. ``overhead`` and ``weight`` were
    compared as a quotient where ``overhead`` is there.
    """

    server: str
    weight: int
    active: int
    inactive: int
    overloaded: bool = False
    position: int | None = None
    slot: int | None = None
    overhead: int | None = None
    unfit: str = ""
    chosen: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler did. ``looked``: how many it looked at; ``candidates`` the first of them.

    ``cursor`` and ``current_weight``: before and after, of schedulers that keep them.
    ``remembered``: the first server of the virtual address's set, of lblc and lblcr.
    """

    scheduler: str
    servers: int
    looked: int
    candidates: list[Candidate]
    cursor: tuple[int | None, int | None] | None = None
    current_weight: tuple[int, int] | None = None
    slots: int = 0
    draws: tuple[int, int] | None = None
    remembered: str = ""
    chosen: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen, in the order in which it would.

    ``roles``: of the two addresses. ``mark``: None if no service asks for it; ``marked_by``:
    the numbers of the rules that changed it. ``known``: the connection that was found, as it was;
    ``opened`` the one that would begin, ``after`` the known one as it would be. ``ended``:
    connections that would end. ``changes``: what else would be written. ``reason``: the
    name of its counter; ``verdict``: send, pass or drop. ``frame``: as it would leave, if it
    would. ``remarks``: what could be otherwise.
    """

    packet: Packet
    roles: list[str]
    reason: str
    verdict: str
    mark: int | None = None
    marked_by: list[int] = []
    service: str = ""
    service_found: str = ""
    persistence: float = 0
    known: Connection | None = None
    reply: bool = False
    after: Connection | None = None
    template: Template | None = None
    decision: Decision | None = None
    stateless: str = ""
    opened: Connection | None = None
    ended: list[Connection] = []
    server: str = ""
    method: str = ""
    on_director: bool = False
    out: str = ""
    next_hop: str = ""
    frame: list[Layer] = []
    changes: list[str] = []
    remarks: list[str] = []
