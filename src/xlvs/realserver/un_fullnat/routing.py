# SPDX-License-Identifier: Apache-2.0
"""The way of answers: a rule for the mark, a table with a default route, a neighbour."""

from __future__ import annotations

import errno
import socket
from types import TracebackType
from typing import Any, Protocol, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from xlvs.model.problem import Code, Problem
from xlvs.realserver.un_fullnat.wanted import NOBODY, NOBODYS_ADDRESS, PRIORITY, TABLE

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ETHERNET = 1
_PERMANENT = 0x80
_LEARNT = 0x200  # RTM_F_CLONED
_EVERYBODY = {4: "0.0.0.0/0", 6: "::/0"}
_THERE = (errno.EEXIST,)
_GONE = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EINVAL)


class Routing(Protocol):
    """The host's routes, or a test's idea of them."""

    def refusal(self, interface: str, families: tuple[int, ...]) -> str | None:
        """Why this cannot be set up there; None: it can."""

    def add(self, interface: str, families: tuple[int, ...], mark: int) -> None:
        """Rule, route and neighbour; fine if they are there."""

    def remove(self, interface: str, families: tuple[int, ...], mark: int) -> None:
        """Take them away; fine if they are not there."""

    def missing(self, interface: str, families: tuple[int, ...], mark: int) -> list[str]:
        """What of it is not there, in words."""

    def leaves_by(self, address: str) -> str | None:
        """The interface by which the host sends to an address; None: no route."""


class LinuxRouting:
    """``Routing`` by netlink."""

    def __init__(self) -> None:
        self._netlink = IPRoute()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._netlink.close()

    def refusal(self, interface: str, families: tuple[int, ...]) -> str | None:
        (link,) = self._netlink.link("get", ifname=interface)
        if link["ifi_type"] != _ETHERNET or interface == "lo":
            return f"{interface} is no Ethernet: frames of others are not understood"
        for family in families:
            if self._routes(family) or self._rules(family, None):
                return f"there are a rule or routes of somebody else with the number {TABLE}"
        return None

    def add(self, interface: str, families: tuple[int, ...], mark: int) -> None:
        index = self._index(interface)
        for family in families:
            self._change(
                "neighbour", _THERE,
                "neigh", "replace", family=_FAMILIES[family], dst=NOBODY[family],
                lladdr=NOBODYS_ADDRESS, ifindex=index, state=_PERMANENT,
            )  # fmt: skip
            self._change(
                "route", _THERE,
                "route", "replace", family=_FAMILIES[family], dst=_EVERYBODY[family],
                gateway=NOBODY[family], oif=index, table=TABLE, flags=["onlink"],
            )  # fmt: skip
            if not self._rules(family, mark):
                self._change("rule", _THERE, "rule", "add", **_rule(family, mark))

    def remove(self, interface: str, families: tuple[int, ...], mark: int) -> None:
        links = self._netlink.link_lookup(ifname=interface)
        for family in families:
            self._change("rule", _GONE, "rule", "delete", **_rule(family, mark))
            if not links:
                continue  # which took the rest along
            self._change(
                "route", _GONE,
                "route", "delete", family=_FAMILIES[family], dst=_EVERYBODY[family],
                oif=links[0], table=TABLE,
            )  # fmt: skip
            self._change(
                "neighbour", _GONE,
                "neigh", "delete", family=_FAMILIES[family], dst=NOBODY[family],
                ifindex=links[0],
            )  # fmt: skip

    def missing(self, interface: str, families: tuple[int, ...], mark: int) -> list[str]:
        index = self._index(interface)
        found = []
        for family in families:
            if not self._rules(family, mark):
                found.append(f"the IPv{family} rule for mark {mark} is gone")
            if [route.get_attr("RTA_OIF") for route in self._routes(family)] != [index]:
                found.append(f"the IPv{family} route of table {TABLE} is gone")
            if not self._neighbour(family, index):
                found.append(f"the neighbour {NOBODY[family]} of {interface} is gone")
        return found

    def leaves_by(self, address: str) -> str | None:
        family = 6 if ":" in address else 4
        try:
            (answer,) = self._netlink.route("get", family=_FAMILIES[family], dst=address)
        except NetlinkError:
            return None
        (link,) = self._netlink.get_links(answer.get_attr("RTA_OIF"))
        return str(link.get_attr("IFLA_IFNAME"))

    def _index(self, interface: str) -> int:
        return int(self._netlink.link_lookup(ifname=interface)[0])

    def _rules(self, family: int, mark: int | None) -> list[Any]:
        """Of our priority; ``mark`` None: whatever they say."""
        return [
            rule
            for rule in self._netlink.get_rules(family=_FAMILIES[family])
            if rule.get_attr("FRA_PRIORITY") == PRIORITY
            and (
                mark is None
                or (rule.get_attr("FRA_FWMARK"), rule.get_attr("FRA_TABLE")) == (mark, TABLE)
            )
        ]

    def _routes(self, family: int) -> list[Any]:
        found = self._netlink.get_routes(family=_FAMILIES[family], table=TABLE)
        # What was learnt of smaller ways is listed with the route that it belongs to.
        return [route for route in found if not route["flags"] & _LEARNT]

    def _neighbour(self, family: int, index: int) -> bool:
        return any(
            each.get_attr("NDA_DST") == NOBODY[family] and each["state"] & _PERMANENT
            for each in self._netlink.get_neighbours(family=_FAMILIES[family], ifindex=index)
        )

    def _change(
        self, what: str, harmless: tuple[int, ...], call: str, verb: str, **words: object
    ) -> None:
        try:
            getattr(self._netlink, call)(verb, **words)
        except NetlinkError as error:
            if error.code in harmless:
                return
            reason = errno.errorcode.get(error.code, error.code)
            raise Problem(
                Code.INTERNAL, f"cannot {verb} the {what} of un-FULLNAT's answers: {reason}"
            ) from error


def _rule(family: int, mark: int) -> dict[str, object]:
    return {
        "family": _FAMILIES[family],
        "fwmark": mark,
        "table": TABLE,
        "priority": PRIORITY,
        "action": "FR_ACT_TO_TBL",
    }
