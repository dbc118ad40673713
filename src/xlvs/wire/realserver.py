# SPDX-License-Identifier: Apache-2.0
"""What a real server says of itself."""

from __future__ import annotations

import msgspec


class ClientAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Telling a cgroup's programs the client's address, by the TCP option ``kind``.

    ``believed``: local addresses and prefixes of directors. ``connections``: how many by what
    became of them: client known ``by_syn``, ``by_ack`` (the handshake's last packet), ``later``;
    ``without`` the option; ``not_believed``, ``malformed``, ``no_memory``; ``second``: with a
    further option, which was ignored.
    """

    cgroup: str
    believed: list[str]
    kind: int
    connections: dict[str, int]


class UnFullnat(msgspec.Struct, frozen=True, kw_only=True):
    """Showing the whole host the client, on an interface, by a mark.

    ``connections``: how many by what became of them: ``shown``; ``without`` the option in the
    SYN; ``malformed``; ``collisions``: of a client's address and port that were in use;
    ``no_memory``. Packets: ``fragments``, and ``lost`` answers.
    """

    interface: str
    mark: int
    believed: list[str]
    kind: int
    connections: dict[str, int]


class RealserverCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences of what is wrong, none: nothing. ``methods``: of each virtual address.

    ``notes``: what is not wrong but should be known.
    """

    methods: dict[str, str]
    problems: list[str]
    notes: list[str] = []
    client_address: list[ClientAddress] = []
    un_fullnat: list[UnFullnat] = []
