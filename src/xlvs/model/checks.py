# SPDX-License-Identifier: Apache-2.0
"""What of a service or a destination is refused, and how a destination is kept."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import msgspec

from xlvs.model.admission import check_admission
from xlvs.model.problem import Code, Problem
from xlvs.model.service import (
    NO_SYN_PROXY,
    NO_TIMEOUTS,
    Address,
    Destination,
    Family,
    Method,
    Protocol,
    ProxyProtocol,
    ProxyTlv,
    Service,
    ServiceKey,
    SynProxyMode,
)

SCHEDULERS = frozenset(
    (
        *("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq"),
        *("fo", "ovf", "mh", "twos"),
    )
)
"""The kernel's schedulers by name (``twos`` since 5.12)."""

HASHING = frozenset(("mh",))
"""Schedulers that know a client's server without a table: what a stateless service needs."""

PERSISTENCE_ENGINES = frozenset(("sip",))

WEIGHT_MAX = 2**31 - 1
"""Weights are a signed int in the kernel; ipvsadm accepts 0 to this."""

THRESHOLD_MAX = 2**31 - 1

PORT_MAX = 65535

PERSISTENCE_MAX = 31 * 86400
"""Seconds, ipvsadm's limit."""

SERVICE_TIMEOUT_MAX = 31 * 86400
"""Seconds, ipvsadm's limit for the director's time-outs."""

_TIMEOUTS = {
    "tcp": frozenset((Protocol.TCP, Protocol.FWM)),
    "tcp_fin": frozenset((Protocol.TCP, Protocol.FWM)),
    "udp": frozenset((Protocol.UDP, Protocol.FWM)),
}
"""Which services have use for a time-out: a mark may be of any protocol."""

SYN_MSS_MIN = 536
SYN_MSS_MAX = 65495
"""RFC 9293's least, and what fits into an IPv4 packet."""

WINDOW_SCALE_MAX = 14
"""RFC 7323's."""

SYN_THRESHOLD_MAX = 1_000_000_000

FLAGS_MAX = 7
"""The scheduler's three flags."""

_IPV4, _IPV6 = 4, 6

_NO_UNICAST = frozenset(map(IPv4Address, (0, 0x7FFFFFFF, 0xFFFFFFFF)))
"""0.0.0.0, 127.255.255.255, 255.255.255.255: broadcast on every machine."""


def check_service(service: Service) -> None:
    """Raises Problem for a service that cannot be."""
    key = service.key
    if service.scheduler not in SCHEDULERS:
        raise Problem(
            Code.NO_SUCH_SCHEDULER,
            f"there is no scheduler {service.scheduler!r}",
            "/service/scheduler",
        )
    if service.persistence_engine and service.persistence_engine not in PERSISTENCE_ENGINES:
        raise Problem(
            Code.NO_SUCH_SCHEDULER,
            f"there is no persistence engine {service.persistence_engine!r}",
            "/service/persistence_engine",
        )
    if key.protocol is Protocol.FWM:
        if not 0 < key.fwmark < 2**32 or key.address is not None or key.port:
            raise Problem(
                Code.INVALID,
                "a mark service has a fwmark from 1 to 4294967295 and no address or port",
                "/service/key",
            )
    elif key.address is None or key.fwmark or not 0 <= key.port <= PORT_MAX:
        raise Problem(
            Code.INVALID,
            f"a {key.protocol} service has an address, a port from 0 to {PORT_MAX} and no fwmark",
            "/service/key",
        )
    elif key.family is not Family.INET:
        raise Problem(
            Code.INVALID,
            "the family is spelled for mark services only: an address says it itself",
            "/service/key/family",
        )
    _check_numbers(service)
    if service.timeouts != NO_TIMEOUTS:
        _check_timeouts(service)
    if service.guarded:
        check_admission(service)
    if service.stateless:
        _check_stateless(service)
    _check_telling(service)
    _check_syn_proxy(service)


def _check_syn_proxy(service: Service) -> None:
    wanted = service.syn_proxy
    if wanted == NO_SYN_PROXY:
        return
    for name, least, most in (
        ("threshold", 1, SYN_THRESHOLD_MAX),
        ("mss", SYN_MSS_MIN, SYN_MSS_MAX),
        ("window_scale", 0, WINDOW_SCALE_MAX),
    ):
        number = getattr(wanted, name)
        learnt = 0 if name == "mss" else None
        if number != learnt and not least <= number <= most:
            raise Problem(
                Code.INVALID,
                f"SYN proxy: {name} is {least} to {most}, not {number}",
                f"/service/syn_proxy/{name}",
            )
    if wanted.mode is SynProxyMode.OFF:
        return
    why = ""
    if service.key.protocol not in (Protocol.TCP, Protocol.FWM):
        why = f"SYN proxy is for TCP: {service.key.protocol} has no SYN"
    elif service.stateless:
        why = "a stateless service has no SYN proxy: it forwards by dr and tun only"
    elif service.one_packet:
        why = "a service with one-packet scheduling has no SYN proxy: it is for UDP"
    if why:
        raise Problem(Code.NOT_SUPPORTED, why, "/service/syn_proxy/mode")


def _check_syn_proxy_destination(service: Service, destination: Destination) -> None:
    """Raises Problem for a destination whose answers would not come by the director."""
    if service.syn_proxy.mode is SynProxyMode.OFF:
        return
    if destination.method not in (Method.NAT, Method.FULLNAT):
        raise Problem(
            Code.NOT_SUPPORTED,
            f"SYN proxy needs nat or fullnat: by {destination.method.value} "
            f"{destination.key.address} would answer the client itself, with numbers that the "
            "client was not told",
            "/destination/method",
        )


def _check_timeouts(service: Service) -> None:
    for name, protocols in _TIMEOUTS.items():
        seconds = getattr(service.timeouts, name)
        if not 0 <= seconds <= SERVICE_TIMEOUT_MAX:
            raise Problem(
                Code.NOT_SUPPORTED,
                f"a service's time-out is 0 to {SERVICE_TIMEOUT_MAX} s, not {seconds}",
                f"/service/timeouts/{name}",
            )
        if seconds and service.key.protocol not in protocols:
            raise Problem(
                Code.NOT_SUPPORTED,
                f"{service.key.protocol} services have no use for the time-out {name}",
                f"/service/timeouts/{name}",
            )


def _check_stateless(service: Service) -> None:
    if service.timeouts != NO_TIMEOUTS:
        raise Problem(
            Code.NOT_SUPPORTED,
            "a stateless service has no time-outs: it keeps no connections",
            "/service/timeouts",
        )
    if service.scheduler not in HASHING:
        raise Problem(
            Code.NOT_SUPPORTED,
            "a stateless service needs a scheduler that finds a client's server again by its hash "
            f"alone ({', '.join(sorted(HASHING))}), not {service.scheduler}",
            "/service/scheduler",
        )
    if service.persistence_timeout:
        raise Problem(
            Code.NOT_SUPPORTED,
            "a stateless service cannot be persistent: it remembers no client "
            f"(without mh-port, {service.scheduler} sends a client always to the same server)",
            "/service/persistence_timeout",
        )
    if service.one_packet:
        raise Problem(
            Code.NOT_SUPPORTED,
            "a stateless service cannot schedule packet by packet: "
            "its hash sends every packet of a client the same way",
            "/service/one_packet",
        )


_OF_TCP = frozenset((Protocol.TCP, Protocol.FWM))
"""Services that may have TCP connections: a mark may be of any protocol."""


def _check_telling(service: Service) -> None:
    """How servers are told who the client is."""
    if service.toa:
        _check_toa(service)
    if service.proxy_protocol or service.proxy_tlvs:
        _check_proxy(service)


def _check_toa(service: Service) -> None:
    if service.key.protocol not in _OF_TCP:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"toa is an option of TCP: {service.key.protocol} has none",
            "/service/toa",
        )
    if service.stateless:
        raise Problem(
            Code.NOT_SUPPORTED,
            "toa goes with fullnat, and a stateless service forwards by dr and tun only",
            "/service/toa",
        )


def _check_proxy(service: Service) -> None:
    def refuse(field: str, why: str) -> Problem:
        return Problem(Code.NOT_SUPPORTED, why, f"/service/{field}")

    if service.key.protocol not in _OF_TCP:
        raise refuse(
            "proxy_protocol",
            f"the PROXY protocol's header is for streams of TCP: {service.key.protocol} has none",
        )
    if service.stateless:
        raise refuse(
            "proxy_protocol",
            "the PROXY protocol goes with nat and fullnat, and a stateless service forwards by dr "
            "and tun only",
        )
    tlvs = service.proxy_tlvs
    if tlvs and service.proxy_protocol is not ProxyProtocol.V2:
        raise refuse("proxy_tlvs", "only version 2 of the PROXY protocol says more than addresses")
    if len(set(tlvs)) < len(tlvs):
        raise refuse("proxy_tlvs", "each may be named once")
    if ProxyTlv.MARK in tlvs and service.key.protocol is not Protocol.FWM:
        raise refuse("proxy_tlvs", "only a mark service has a mark to tell")


def check_fits(service: Service, destination: Destination) -> None:
    """Raises Problem for a destination that the service cannot have by what it asks for."""
    _check_syn_proxy_destination(service, destination)
    if service.proxy_protocol and destination.method not in (Method.NAT, Method.FULLNAT):
        raise Problem(
            Code.NOT_SUPPORTED,
            f"the PROXY protocol is for nat and fullnat: by {destination.method.value} the answers "
            f"of {destination.key.address} do not pass the director",
            "/destination/method",
        )
    if service.toa and destination.method is not Method.FULLNAT:
        raise Problem(
            Code.NOT_SUPPORTED,
            f"toa is for fullnat: by {destination.method.value} {destination.key.address} sees "
            "the client's address anyway",
            "/destination/method",
        )
    if service.stateless and destination.method not in (Method.DR, Method.TUN):
        raise Problem(
            Code.NOT_SUPPORTED,
            f"a stateless service forwards by dr and tun only: {destination.method.value} to "
            f"{destination.key.address} needs to know each connection",
            "/destination/method",
        )


def _check_numbers(service: Service) -> None:
    if not 0 <= service.persistence_timeout <= PERSISTENCE_MAX:
        raise Problem(
            Code.INVALID,
            f"the persistence time-out is 0 to {PERSISTENCE_MAX} s",
            "/service/persistence_timeout",
        )
    if not 0 <= service.flags <= FLAGS_MAX:
        raise Problem(Code.INVALID, f"flags are 0 to {FLAGS_MAX}", "/service/flags")
    if any(each.version != _version(service.key) for each in service.local_addresses):
        raise Problem(
            Code.INVALID,
            "local addresses are of the service's family",
            "/service/local_addresses",
        )
    if service.netmask and not _is_mask(service.netmask, _version(service.key)):
        raise Problem(
            Code.INVALID,
            "the netmask is an IPv4 mask such as 255.255.255.0, or an IPv6 prefix length 1 to 128",
            "/service/netmask",
        )


def _is_mask(text: str, version: int) -> bool:
    if version == _IPV6:
        return text.isdecimal() and 1 <= int(text) <= IPv6Address(0).max_prefixlen
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def check_unicast(address: Address, is_broadcast: Callable[[Address], bool]) -> None:
    """Raises Problem for an address that no real server can have."""
    if not is_unicast(address) or (address.version == _IPV4 and is_broadcast(address)):
        raise Problem(
            Code.INVALID,
            f"{address} cannot be a real server: it is no unicast address",
            "/destination/key/address",
        )


def is_unicast(address: Address) -> bool:
    """Whether a host may have it: no broadcast, no multicast, no link-local IPv6 address."""
    if isinstance(address, IPv4Address):
        return not (address in _NO_UNICAST or address.is_multicast)
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or address.ipv4_mapped
    )


def settled(service: Service, wanted: Destination) -> Destination:
    """The destination as it is kept; Problem if it is refused.

    DR and TUN do not translate ports: the port is the service's whatever is asked.
    A mark service has no port, so there the destination keeps its own.
    """
    check_fits(service, wanted)
    address = wanted.key.address
    if wanted.method is not Method.TUN and address.version != _version(service.key):
        raise Problem(
            Code.INVALID,
            f"{address} is of another family than the service: only tun forwards across",
            "/destination/key/address",
        )
    if not 0 <= wanted.key.port <= PORT_MAX:
        raise Problem(Code.INVALID, f"a port is 0 to {PORT_MAX}", "/destination/key/port")
    if not 0 <= wanted.weight <= WEIGHT_MAX or not 0 <= wanted.weight_before <= WEIGHT_MAX:
        raise Problem(
            Code.OUT_OF_RANGE, f"the weight must be 0 to {WEIGHT_MAX}", "/destination/weight"
        )
    if wanted.upper_threshold or wanted.lower_threshold:
        _check_thresholds(wanted)
    untranslated = wanted.method in (Method.DR, Method.TUN)
    by_address = service.key.protocol is not Protocol.FWM
    if untranslated and by_address and wanted.key.port != service.key.port:
        key = msgspec.structs.replace(wanted.key, port=service.key.port)
        wanted = msgspec.structs.replace(wanted, key=key)
    if wanted.weight and wanted.weight_before:
        wanted = msgspec.structs.replace(wanted, weight_before=0)
    return wanted


def _check_thresholds(wanted: Destination) -> None:
    for name in ("upper_threshold", "lower_threshold"):
        if not 0 <= getattr(wanted, name) <= THRESHOLD_MAX:
            raise Problem(
                Code.OUT_OF_RANGE,
                f"a threshold must be 0 to {THRESHOLD_MAX}",
                f"/destination/{name}",
            )
    if wanted.lower_threshold > wanted.upper_threshold:
        raise Problem(
            Code.OUT_OF_RANGE,
            "the lower threshold must not be above the upper one",
            "/destination/lower_threshold",
        )


def _version(key: ServiceKey) -> int:
    if key.address is not None:
        return key.address.version
    return 6 if key.family is Family.INET6 else 4
