# SPDX-License-Identifier: Apache-2.0
"""Addresses with ports, and services, as commands and paths have them.

Numbers only, IPv6 in brackets.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, DestinationKey, Family, Protocol, ServiceKey
from xlvs.model.words import host_port

PORT_MAX = 65535
_MARK_MAX = 2**32 - 1

_FAMILIES = {"fwm": Family.INET, "fwm6": Family.INET6}
"""What a path calls services by a firewall mark."""


def endpoint(text: str) -> tuple[Address, int]:
    """``10.0.0.1:80`` or ``[fd00::1]:80``. Raises Problem."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise _problem(text) from None
    number = port_number(port)
    if not colon or number is None or isinstance(address, IPv6Address) is not bracketed:
        raise _problem(text)
    return address, number


def port_number(text: str) -> int | None:
    """A port in plain digits, None if it is none."""
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(PORT_MAX))
    return int(text) if plain and int(text) <= PORT_MAX else None


def service_name(key: ServiceKey) -> str:
    """``tcp/10.0.0.1:80``, ``udp/[fd00::1]:53``, ``fwm/7``, ``fwm6/7`` (a mark's IPv6 service)."""
    if key.address is not None:
        return f"{key.protocol.value}/{host_port(key.address, key.port)}"
    word = next(word for word, family in _FAMILIES.items() if family is key.family)
    return f"{word}/{key.fwmark}"


def destination_name(key: DestinationKey) -> str:
    """``10.2.0.11:80`` or ``[fd00::1]:80``."""
    return host_port(key.address, key.port)


def service_key(protocol: str, name: str) -> ServiceKey:
    """The service of that ``service_name``, of its two parts. Raises Problem."""
    if protocol in _FAMILIES:
        plain = name.isascii() and name.isdecimal() and len(name) <= len(str(_MARK_MAX))
        mark = int(name) if plain else 0
        if not 1 <= mark <= _MARK_MAX:
            words = f"a firewall mark is 1 to {_MARK_MAX}, not {name!r}"
            raise Problem(Code.INVALID, words)
        return ServiceKey(protocol=Protocol.FWM, fwmark=mark, family=_FAMILIES[protocol])
    if protocol not in {Protocol.TCP, Protocol.UDP, Protocol.SCTP}:
        words = f"a service's protocol is tcp, udp, sctp, fwm or fwm6, not {protocol!r}"
        raise Problem(Code.INVALID, words)
    address, port = endpoint(name)
    return ServiceKey(protocol=Protocol(protocol), address=address, port=port)


def destination_key(name: str) -> DestinationKey:
    """The real server of that ``destination_name``. Raises Problem."""
    address, port = endpoint(name)
    return DestinationKey(address=address, port=port)


def _problem(text: str) -> Problem:
    return Problem(Code.INVALID, f"wants ADDRESS:PORT or [IPv6]:PORT in numbers, not {text!r}")
