# SPDX-License-Identifier: Apache-2.0
"""What ipvsadm needs of a director, on top of Desired alone: no daemon, no data path, no root."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Literal

from xlvs.cli.ipvsadm.program import Director, Program
from xlvs.model.desired import Bounds, Desired, Draft
from xlvs.model.edit import AnyEdit
from xlvs.model.problem import Problem
from xlvs.model.service import Address
from xlvs.wire import messages
from xlvs.wire.messages import ConnectionView, DestinationLine, ErrorBody, ServiceLine

NOTHING = messages.Counters()
SLOW = messages.Rates()
MTUS = {"lo": 65536, "eth0": 1500, "eth1": 1500}
"""Of the recorded director's interfaces."""


class DesiredDirector:
    """A director that only wants.

    ``broadcasts``: of the subnets that it would have; ``mtus``: of interfaces beyond ``MTUS``.
    """

    def __init__(
        self,
        table_size: int = 4096,
        broadcasts: Sequence[str] = (),
        mtus: Mapping[str, int] = {},
    ) -> None:
        self.desired = Desired()
        self.table: list[ConnectionView] = []
        self.requests = 0
        self._table_size = table_size
        of_subnets = {IPv4Address(each) for each in broadcasts}
        self._bounds = Bounds(is_broadcast=of_subnets.__contains__, mtu={**MTUS, **mtus}.get)

    def edit(
        self, edits: Sequence[AnyEdit], on_error: Literal["abort", "continue"] = "abort"
    ) -> list[ErrorBody | None]:
        """As the daemon, which also refuses what its kernel calls a broadcast address."""
        self.requests += 1
        results: list[ErrorBody | None] = []
        desired = self.desired
        for edit in edits:
            try:
                draft = Draft(desired, self._bounds)
                draft.apply(edit)
                desired = draft.desired()
            except Problem as problem:
                if on_error == "abort":
                    raise
                results.append(ErrorBody(code=problem.code.value, message=problem.message))
            else:
                results.append(None)
        self.desired = desired
        return results

    def pools(self) -> messages.LocalPools:
        """As asked for."""
        return messages.LocalPools(pools=dict(self.desired.pools))

    def listing(self, numbers: messages.Numbers = "") -> messages.Listing:
        """Everything, with counters that say nothing."""
        del numbers
        return messages.Listing(
            services=[
                ServiceLine(
                    service=service,
                    destinations=[
                        DestinationLine(each, stats=NOTHING, rates=SLOW) for each in destinations
                    ],
                    stats=NOTHING,
                    rates=SLOW,
                )
                for service, destinations in self.desired.services.values()
            ],
            table_size=self._table_size,
        )

    def timeouts(self) -> messages.Timeouts:
        """Time-outs."""
        now = self.desired.timeouts
        return messages.Timeouts(tcp=now.tcp, tcp_fin=now.tcp_fin, udp=now.udp)

    def sync_daemons(self) -> messages.SyncDaemons:
        """Sync daemons."""
        return messages.SyncDaemons(roles=dict(self.desired.sync))

    def connections(self) -> Iterator[ConnectionView]:
        """The connection table that the test has put there."""
        return iter(self.table)


class TableNames:
    """A resolver of a few names, the recordings' by default."""

    def __init__(self) -> None:
        self.hosts = {
            "localhost": "127.0.0.1",
            "vip.example": "10.0.0.1",
            "rs1.example": "192.168.200.11",
        }
        self.services = {
            ("ftp", "tcp"): 21,
            ("ssh", "tcp"): 22,
            ("domain", "tcp"): 53,
            ("domain", "udp"): 53,
            ("http", "tcp"): 80,
            ("https", "tcp"): 443,
            ("https", "udp"): 443,
            ("sip", "tcp"): 5060,
            ("sip", "udp"): 5060,
        }

    def address(self, host: str) -> IPv4Address | None:
        """Host to address."""
        found = self.hosts.get(host.lower())
        return None if found is None or ":" in found else IPv4Address(found)

    def port(self, service: str, protocol: str) -> int | None:
        """Service to port."""
        return self.services.get((service, protocol))

    def host(self, address: Address) -> str | None:
        """Address to host."""
        return next((name for name, a in self.hosts.items() if a == str(address)), None)

    def service(self, port: int, protocol: str) -> str | None:
        """Port to service."""
        found = ((n, p) for n, p in self.services if p == protocol)
        return next((n for n, p in found if self.services[n, p] == port), None)


class Run:
    """One run of ipvsadm, or of a ``program`` beside it: ``status``, ``out``, ``err``."""

    def __init__(
        self,
        director: Director,
        words: Sequence[str],
        stdin: str = "",
        program: str = "ipvsadm",
    ) -> None:
        self.stdin = io.StringIO(stdin)
        self.stdout = io.StringIO()
        self.stderr = io.StringIO()
        made = Program(director, TableNames(), self)
        match program:
            case "ipvsadm":
                self.status = made.run(words)
            case "ipvsadm-save":
                self.status = made.save(words)
            case "ipvsadm-restore":
                self.status = made.restore()
            case _:
                raise ValueError(program)
        self.out = self.stdout.getvalue()
        self.err = self.stderr.getvalue()
