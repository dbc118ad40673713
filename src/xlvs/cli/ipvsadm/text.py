# SPDX-License-Identifier: Apache-2.0
"""How ipvsadm writes services, servers and numbers, in listings and in saved rules."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from xlvs.cli.ipvsadm.arguments import SCHEDULER_FLAGS
from xlvs.cli.ipvsadm.names import Names
from xlvs.cli.ipvsadm.sorting import signed
from xlvs.cli.ipvsadm.values import address_text
from xlvs.model.service import (
    NO_SYN_PROXY,
    NO_TIMEOUTS,
    Address,
    Destination,
    Family,
    Limit,
    Method,
    Protocol,
    Service,
    SynProxyMode,
    TunnelType,
)

_NAME_MAX = 59
"""Characters: ipvsadm cuts a name with its port there."""

_FLAGS = ("flag-1", "flag-2", "flag-3")

FORWARD = {
    Method.NAT: "Masq",
    Method.DR: "Route",
    Method.TUN: "Tunnel",
    Method.FULLNAT: "FullNat",
}

METHOD_OPTIONS = {
    Method.NAT: "-m",
    Method.DR: "-g",
    Method.TUN: "-i",
    Method.FULLNAT: "--fullnat",
}


def endpoint(address: Address, port: int, protocol: Protocol, names: Names | None) -> str:
    """``10.0.0.1:80``, ``[fd00::1]:80``; with ``names`` also ``vip.example:http``.

    A mark says no protocol, so its servers' ports have no names.
    """
    if names is None and isinstance(address, IPv4Address):
        return f"{address_text(address)}:{port}"  # there may be a hundred thousand
    host = names.host(address) if names else None
    service = names.service(port, protocol.value) if names and _has_names(protocol) else None
    host = address_text(address) if host is None else host
    if isinstance(address, IPv6Address):
        host = f"[{host}]"
    return f"{host}:{port if service is None else service}"[:_NAME_MAX]


def _has_names(protocol: Protocol) -> bool:
    return protocol is not Protocol.FWM


def mark(service: Service) -> str:
    """A mark as ipvsadm prints it: signed."""
    return str(signed(service.key.fwmark))


def is_ipv6(service: Service) -> bool:
    """Whether the service's clients speak IPv6."""
    address = service.key.address
    if address is None:
        return service.key.family is Family.INET6
    return isinstance(address, IPv6Address)


def flags(service: Service) -> str:
    """Scheduler flags by name; empty also when there are some that have none."""
    bits = service.flags
    named = SCHEDULER_FLAGS.get(service.scheduler)
    if named is None:
        named = {name: 1 << place for place, name in enumerate(_FLAGS)}
    return ",".join(name for name, bit in named.items() if bits & bit)


def own_timeouts(service: Service) -> Iterator[tuple[str, str]]:
    """Names and seconds of the time-outs that the service has of its own."""
    own = service.timeouts
    if own == NO_TIMEOUTS:
        return  # there may be ten thousand services
    for name, seconds in (
        ("tcp-timeout", own.tcp),
        ("tcpfin-timeout", own.tcp_fin),
        ("udp-timeout", own.udp),
    ):
        if seconds:
            yield name, str(seconds)


def telling(service: Service) -> Iterator[tuple[str, ...]]:
    """How servers are told who the client is: options by name, each with its value if any."""
    if service.toa:
        yield ("toa",)
    if service.proxy_protocol:
        yield "proxy-protocol", service.proxy_protocol.value
    if service.proxy_tlvs:
        yield "proxy-tlv", ",".join(service.proxy_tlvs)


def admission(service: Service) -> Iterator[tuple[str, str]]:
    """Names and values of the options that say who may open connections."""
    if not service.guarded:
        return
    limits = service.limits
    for name, value in (
        ("allow", ",".join(service.allow)),
        ("deny", ",".join(service.deny)),
        ("client-connections", _plain(limits.client.connections)),
        ("client-rate", _rate(limits.client)),
        ("client-prefix", _plain(limits.client_prefix)),
        ("service-connections", _plain(limits.service.connections)),
        ("service-rate", _rate(limits.service)),
    ):
        if value:
            yield name, value


def _plain(number: int) -> str:
    return str(number) if number else ""


def _rate(limit: Limit) -> str:
    return f"{limit.rate}:{limit.burst}" if limit.burst else _plain(limit.rate)


def syn_proxy(service: Service) -> Iterator[str]:
    """SYN proxy's options, as saved; none where all is as without them."""
    wanted = service.syn_proxy
    if wanted.mode is not SynProxyMode.OFF:
        yield f"--syn-proxy {wanted.mode.value}"
    for option, now, usual in (
        ("threshold", wanted.threshold, NO_SYN_PROXY.threshold),
        ("mss", wanted.mss, NO_SYN_PROXY.mss),
        ("wscale", wanted.window_scale, NO_SYN_PROXY.window_scale),
    ):
        if now != usual:
            yield f"--syn-{option} {now}"
    for option, promised in (("sack", wanted.sack), ("timestamps", wanted.timestamps)):
        if promised is not None:
            yield f"--syn-{option}" if promised else f"--syn-no-{option}"


def tunnel_options(destination: Destination) -> list[str]:
    """The options of a tunnel, as saved."""
    words = ["--tun-type", destination.tunnel_type.value]
    if destination.tunnel_type is TunnelType.GUE:
        words += ["--tun-port", str(destination.tunnel_port)]
    if destination.tunnel_type is not TunnelType.IPIP:
        words.append(("--tun-nocsum", "--tun-csum", "--tun-remcsum")[_checksum(destination)])
    return words


def tunnel_info(destination: Destination) -> str:
    """The TunnelInfo column."""
    if destination.method is not Method.TUN:
        return "n/a"
    words = [destination.tunnel_type.value]
    if destination.tunnel_type is TunnelType.GUE:
        words.append(str(destination.tunnel_port))
    if destination.tunnel_type is not TunnelType.IPIP:
        words.append(("-c", "+c", "r+c")[_checksum(destination)])
    return ":".join(words)


def _checksum(destination: Destination) -> int:
    """0 none, 1 checksum, 2 remote checksum."""
    if destination.tunnel_flags & 1:
        return 1
    return 2 if destination.tunnel_flags & 2 else 0


_SCALES = (
    (100_000_000, 1, ""),
    (1_000_000_000, 1_000, "K"),
    (100_000_000_000, 1_000_000, "M"),
    (100_000_000_000_000, 1_000_000_000, "G"),
)


def count(value: int, *, exact: bool) -> str:
    """A counter in nine columns; ``exact`` lets it grow instead of scaling it."""
    if exact:
        digits = str(value)
        return digits.rjust(max(len(digits), 8) + 1)
    for limit, unit, letter in _SCALES:
        if value < limit:
            return f"{value // unit:{8 if letter else 9}}{letter}"
    return f"{value // 1_000_000_000_000:8}T"
