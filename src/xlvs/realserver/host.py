# SPDX-License-Identifier: Apache-2.0
"""Everything of the kernel that ``xlvs realserver`` reads and changes.

Works in the network namespace of this process. ``Host`` is what ``change`` and
``check`` see, so that their tests can do without a kernel.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from xlvs.model.problem import Code, Problem
from xlvs.realserver.address import host_prefix

# Numbers of linux/if_addr.h, rtnetlink.h, pkt_sched.h and if_link.h.
_IFA_F_NODAD = 0x02
_SCOPE_LINK = 253
_CLSACT_INGRESS = 0xFFFFFFF2
_CLSACT_EGRESS = 0xFFFFFFF3
_XDP_FLAGS_SKB_MODE = 2
_SYS = Path("/proc/sys")


class Host(Protocol):
    """The machine, or a test's idea of one."""

    def interfaces(self) -> list[str]:
        """Names of all interfaces."""

    def read(self, sysctl: str) -> str | None:
        """A setting below /proc/sys, None if there is none."""

    def write(self, sysctl: str, value: str) -> None:
        """Change a setting."""

    def addresses(self) -> list[tuple[str, str]]:
        """(interface, address) of every address of this host, link-local ones left out."""

    def add_to_lo(self, address: str) -> None:
        """Put an address on lo, as a host address."""

    def remove_from_lo(self, address: str) -> None:
        """Take it off again; no complaint if it is not there."""

    def route(self, source: str, target: str) -> str | None:
        """Interface by which a packet of ours would leave; None if there is no route."""


class LinuxHost:
    """``Host`` by netlink and /proc/sys."""

    def __init__(self) -> None:
        self._netlink = IPRoute()
        self._names: dict[int, str] = {
            link["index"]: link.get_attr("IFLA_IFNAME") for link in self._netlink.get_links()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._netlink.close()

    def interfaces(self) -> list[str]:
        return list(self._names.values())

    def index(self, interface: str) -> int:
        """The interface's number."""
        return next(index for index, name in self._names.items() if name == interface)

    def read(self, sysctl: str) -> str | None:
        try:
            return (_SYS / sysctl).read_text().strip()
        except FileNotFoundError:
            return None

    def write(self, sysctl: str, value: str) -> None:
        try:
            (_SYS / sysctl).write_text(value)
        except OSError as error:
            raise Problem(
                Code.INTERNAL,
                f"/proc/sys/{sysctl} cannot be written ({error.strerror}): it needs root"
                " and a /proc/sys that is not read-only",
            ) from error

    def addresses(self) -> list[tuple[str, str]]:
        found = []
        for message in self._netlink.get_addr():
            # Of a point-to-point link IFA_ADDRESS is the other end, IFA_LOCAL ours.
            address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            if message["scope"] != _SCOPE_LINK:
                found.append((self._names.get(message["index"], "?"), str(address)))
        return found

    def add_to_lo(self, address: str) -> None:
        self._change("add", address, errno.EEXIST, flags=_IFA_F_NODAD if ":" in address else 0)

    def remove_from_lo(self, address: str) -> None:
        self._change("delete", address, errno.EADDRNOTAVAIL)

    def _change(self, verb: str, address: str, harmless: int, **options: int) -> None:
        try:
            self._netlink.addr(
                verb,
                index=self.index("lo"),
                address=address,
                prefixlen=host_prefix(address),
                **options,
            )
        except NetlinkError as error:
            if error.code == harmless:
                return
            raise _problem(f"{verb} {address} on lo", error.code) from error

    def route(self, source: str, target: str) -> str | None:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        try:
            (answer,) = self._netlink.route("get", family=family, src=source, dst=target)
        except NetlinkError:
            return None
        index = answer.get_attr("RTA_OIF")
        return self._names.get(index) if index else None

    def has_clsact(self, interface: str) -> bool:
        """The qdisc that carries filters at ingress and egress is there."""
        qdiscs = self._netlink.get_qdiscs(self.index(interface))
        return any(qdisc.get_attr("TCA_KIND") == "clsact" for qdisc in qdiscs)

    def has_filters(self, interface: str) -> bool:
        """Somebody's filter is on clsact, on either side."""
        index = self.index(interface)
        return any(
            True
            for parent in (_CLSACT_INGRESS, _CLSACT_EGRESS)
            for _ in self._netlink.get_filters(index, parent=parent)
        )

    def set_generic_xdp(self, interface: str, program: int) -> None:
        """Attach a program (its descriptor; -1 takes it off) without a driver's help."""
        try:
            self._netlink.link(
                "set",
                index=self.index(interface),
                IFLA_XDP={
                    "attrs": [("IFLA_XDP_FD", program), ("IFLA_XDP_FLAGS", _XDP_FLAGS_SKB_MODE)]
                },
            )
        except NetlinkError as error:
            raise _problem(f"attach the XDP program to {interface}", error.code) from error


def _problem(what: str, code: int) -> Problem:
    if code == errno.EPERM:
        return Problem(Code.INVALID, f"cannot {what}: it needs root (CAP_NET_ADMIN)")
    return Problem(Code.INTERNAL, f"cannot {what}: {errno.errorcode.get(code, code)}")
