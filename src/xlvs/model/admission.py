# SPDX-License-Identifier: Apache-2.0
"""Which lists and limits a service may have."""

from __future__ import annotations

from xlvs.model.client_list import check_name
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Family, Limit, Service

LISTS_OF_A_SERVICE = 8
"""Lists that one service may name, allowed and denied ones together: each is a look-up."""

CONNECTIONS_MAX = 2**31 - 1

RATE_MAX = 1_000_000
"""New connections per second, and of a burst."""


def check_admission(service: Service) -> None:
    """Raises Problem for lists and limits that the service cannot have."""
    if service.stateless:
        raise Problem(
            Code.NOT_SUPPORTED,
            "a stateless service has no lists and no limits: it keeps no connections, so it does "
            "not know a new one from an old one",
            "/service/stateless",
        )
    for what in ("allow", "deny"):
        names = getattr(service, what)
        for at, name in enumerate(names):
            check_name(name, f"/service/{what}/{at}")
        if len(set(names)) < len(names):
            raise Problem(Code.NOT_SUPPORTED, "a list is named once", f"/service/{what}")
    if len(service.allow) + len(service.deny) > LISTS_OF_A_SERVICE:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"a service names {LISTS_OF_A_SERVICE} lists at most: put them together into fewer",
            "/service/deny" if service.deny else "/service/allow",
        )
    both = sorted(set(service.allow) & set(service.deny))
    if both:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"the list {both[0]} is allowed and denied: name it once",
            "/service/deny",
        )
    _check_limit(service.limits.client, "/service/limits/client")
    _check_limit(service.limits.service, "/service/limits/service")
    bits = address_bits(service)
    if not 0 <= service.limits.client_prefix <= bits:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"a client's prefix is 1 to {bits} bits here (0: the usual), "
            f"not {service.limits.client_prefix}",
            "/service/limits/client_prefix",
        )


def address_bits(service: Service) -> int:
    """How many bits a client's address has."""
    key = service.key
    if key.address is not None:
        return key.address.max_prefixlen
    return 128 if key.family is Family.INET6 else 32


def _check_limit(limit: Limit, where: str) -> None:
    for name, most, what in (
        ("connections", CONNECTIONS_MAX, "a limit of connections"),
        ("rate", RATE_MAX, "a rate (connections per second)"),
        ("burst", RATE_MAX, "a burst"),
    ):
        value = getattr(limit, name)
        if not 0 <= value <= most:
            raise Problem(
                Code.NOT_SUPPORTED, f"{what} is 0 to {most}, not {value}", f"{where}/{name}"
            )
    if limit.burst and not limit.rate:
        raise Problem(Code.NOT_SUPPORTED, "a burst needs a rate", f"{where}/burst")
