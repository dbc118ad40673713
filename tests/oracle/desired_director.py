# SPDX-License-Identifier: Apache-2.0
"""What ipvsadm needs of a director, on top of Desired alone: no daemon, no data path, no root."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from typing import Literal

from xlvs.cli.ipvsadm.program import Program
from xlvs.model.desired import Desired, apply_all
from xlvs.model.edit import AddDestination, AnyEdit
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address
from xlvs.wire import messages
from xlvs.wire.messages import ConnectionView, DestinationView, ErrorBody, ServiceView

NOTHING = messages.Counters()
SLOW = messages.Rates()


class DesiredDirector:
    """A director that only wants. ``broadcasts``: of the subnets that it would have."""

    def __init__(self, table_size: int = 4096, broadcasts: Sequence[str] = ()) -> None:
        self.desired = Desired()
        self.table: list[ConnectionView] = []
        self.requests = 0
        self._table_size = table_size
        self._broadcasts = {IPv4Address(each) for each in broadcasts}

    def edit(
        self, edits: Sequence[AnyEdit], on_error: Literal["abort", "continue"] = "abort"
    ) -> list[ErrorBody | None]:
        """As the daemon, which also refuses what its kernel calls a broadcast address."""
        self.requests += 1
        results: list[ErrorBody | None] = []
        desired = self.desired
        for edit in edits:
            try:
                changed, _ = apply_all(desired, [edit], "abort")
                self._refuse_broadcast(edit)
                desired = changed
            except Problem as problem:
                if on_error == "abort":
                    raise
                results.append(ErrorBody(code=problem.code.value, message=problem.message))
            else:
                results.append(None)
        self.desired = desired
        return results

    def _refuse_broadcast(self, edit: AnyEdit) -> None:
        if isinstance(edit, AddDestination) and edit.destination.key.address in self._broadcasts:
            raise Problem(Code.INVALID, "a broadcast address")

    def services(self) -> messages.ServiceList:
        """Everything, without counters."""
        return messages.ServiceList(
            services=[
                ServiceView(
                    service=service,
                    destinations=[
                        DestinationView(
                            destination=each,
                            active=0,
                            inactive=0,
                            persistent=0,
                            stats=NOTHING,
                            live=NOTHING,
                            rates=SLOW,
                            next_hop="",
                        )
                        for each in destinations
                    ],
                    stats=NOTHING,
                    live=NOTHING,
                    rates=SLOW,
                    remarks=[],
                )
                for service, destinations in self.desired.services.values()
            ],
            table_size=self._table_size,
        )

    def timeouts(self) -> messages.Timeouts:
        """Time-outs."""
        now = self.desired.timeouts
        return messages.Timeouts(tcp=now.tcp, tcp_fin=now.tcp_fin, udp=now.udp)

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
    """One run of ipvsadm: ``status``, ``out``, ``err``."""

    def __init__(self, director: DesiredDirector, words: Sequence[str], stdin: str = "") -> None:
        self.stdin = io.StringIO(stdin)
        self.stdout = io.StringIO()
        self.stderr = io.StringIO()
        self.status = Program(director, TableNames(), self).run(words)
        self.out = self.stdout.getvalue()
        self.err = self.stderr.getvalue()
