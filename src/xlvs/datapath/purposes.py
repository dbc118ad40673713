# SPDX-License-Identifier: Apache-2.0
"""Local addresses of FULLNAT are for nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from xlvs.model.local_pool import Pools
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Destination, Service
from xlvs.model.words import key_title


class Purposes:
    """What local addresses there are, and whose: nobody else may have them.

    The data path hands their ports out, and takes what comes to them for answers.
    """

    def __init__(self, pools: Pools, fallback: Iterable[Address]) -> None:
        """``fallback``: the daemon's own."""
        self._whose = dict.fromkeys(fallback, "xlvsd --local-addresses")
        for name, addresses in pools.items():
            self._whose.update(dict.fromkeys(addresses, f"the pool {name!r}"))

    def check(self, entries: Iterable[tuple[Service, tuple[Destination, ...]]]) -> None:
        """Raises Problem where a virtual address or a real server is a local address."""
        listed = list(entries)
        for service, _ in listed:
            if service.local_addresses:
                self._whose.update(dict.fromkeys(service.local_addresses, key_title(service.key)))
        if not self._whose:
            return
        for service, destinations in listed:
            if service.key.address in self._whose:
                self._refuse(
                    service.key.address, f"the virtual address of {key_title(service.key)}"
                )
            for each in destinations:
                if each.key.address in self._whose:
                    what = f"a real server of {key_title(service.key)}"
                    self._refuse(each.key.address, what)

    def _refuse(self, address: Address, what: str) -> None:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"{address} is a local address for fullnat (of {self._whose[address]}) and {what}: "
            "it can be for one of them only",
        )
