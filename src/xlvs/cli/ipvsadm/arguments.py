# SPDX-License-Identifier: Apache-2.0
"""Words to a Request: every option and its value, in order, each wrong one in ipvsadm's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address

from msgspec.structs import replace

from xlvs.cli.ipvsadm import rules, values
from xlvs.cli.ipvsadm.errors import FAILURE, TRY_HELP, Fatal, Refused
from xlvs.cli.ipvsadm.names import Names
from xlvs.cli.ipvsadm.options import Option, OptionError, Verb, Words
from xlvs.cli.ipvsadm.request import HOST_PREFIX, Request
from xlvs.model.checks import SYN_MSS_MAX, SYN_MSS_MIN, SYN_THRESHOLD_MAX, WINDOW_SCALE_MAX
from xlvs.model.service import (
    Method,
    Protocol,
    ProxyProtocol,
    ProxyTlv,
    SynProxyMode,
    TunnelType,
)
from xlvs.model.syncing import SyncRole

INT_MAX = 2**31 - 1
MARK_MAX = 2**32 - 1
PERSISTENCE_DEFAULT = 360
SECONDS_MAX = 31 * 86400
"""ipvsadm's limit for every time-out: 31 days."""

_SYNC_NUMBERS = {
    "syncid": ("sync_id", 0, 255),
    "sync-maxlen": ("max_length", 1, 65507),
    "mcast-port": ("port", 1, 65535),
    "mcast-ttl": ("ttl", 1, 255),
}
_SYN_NUMBERS = {
    "syn-threshold": ("threshold", 1, SYN_THRESHOLD_MAX),
    "syn-mss": ("mss", SYN_MSS_MIN, SYN_MSS_MAX),
    "syn-wscale": ("window_scale", 0, WINDOW_SCALE_MAX),
}
_DEFAULT_SCHEDULER = "wlc"
_INTERFACE_MAX = 15
"""Characters of an interface's name: ipvsadm cuts it there."""
_TUNNEL_CHECKSUM = {"tun-nocsum": 0, "tun-csum": 1, "tun-remcsum": 2}
"""The kernel's IP_VS_TUNNEL_ENCAP_FLAG_*."""

_PLAIN_FLAGS = {"flag-1": 1, "flag-2": 2, "flag-3": 4}
SCHEDULER_FLAGS = {
    "sh": {"sh-fallback": 1, "sh-port": 2},
    "mh": {"mh-fallback": 1, "mh-port": 2},
}


def parse(words: Sequence[str], names: Names) -> Request:
    """The request of a command line (without the program's name).

    Raises Fatal for what ends the program, Refused for what only ends this command.
    """
    reader = Words(words)
    try:
        first = reader.option()
    except OptionError:
        first = None
    if first is None or first.verb is None:
        raise Fatal(TRY_HELP, FAILURE)
    request = Request(verb=first.verb, given=set())
    if request.verb in (Verb.HELP, Verb.VERSION):
        return request  # whatever else is there
    if request.verb in (Verb.START_DAEMON, Verb.STOP_DAEMON):
        request.role = _role(request.verb, reader.value or "")
    _read_options(request, reader, names)
    _read_rest(request, reader.rest)
    if "sched-flags" in request.given:
        request.flags = _flags(request.flag_words, request.scheduler or _DEFAULT_SCHEDULER)
    rules.check_command(request.verb, frozenset(request.given))
    _settle(request)
    return request


def _role(verb: Verb, word: str) -> SyncRole:
    try:
        return SyncRole(word)
    except ValueError:
        starting = verb is Verb.START_DAEMON
        what = "start-daemon parameter" if starting else "start_daemon"
        raise Fatal(f"illegal {what} specified") from None


def _read_options(request: Request, reader: Words, names: Names) -> None:
    while True:
        try:
            option = reader.option()
        except OptionError as error:
            raise Refused(error.text) from None
        if option is None:
            return
        if option.verb is not None:
            raise Fatal(f"invalid option `{reader.word}'")
        _READERS.get(option.name, _note)(request, option, reader.value or "", names)
        if option.name == "persistent":
            _read_persistence(request, reader.value)


def _read_rest(request: Request, rest: list[str]) -> None:
    if request.verb is Verb.SET:
        if len(rest) < len(request.timeouts):
            raise Fatal("--set option requires 3 timeout values")
        tcp, tcp_fin, udp = (_seconds(text, 0) for text in rest[:3])
        request.timeouts = tcp, tcp_fin, udp
        rest = rest[3:]
    if rest:
        raise Fatal(f"unexpected argument {rest[0]}")


def _give(request: Request, name: str) -> None:
    if name in request.given:
        raise Fatal(f"multiple '{name}' options specified")
    request.given.add(name)


def _seconds(text: str, least: int) -> int:
    value = values.number(text, least, SECONDS_MAX)
    if value is None:
        raise Fatal(f"invalid timeout value `{text}' specified")
    return value


def _note(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, option.name)


def _read_service(request: Request, option: Option, text: str, names: Names) -> None:
    _give(request, "service-address")
    request.protocol = Protocol(option.name.removesuffix("-service"))
    found = values.endpoint(text, request.protocol, names)
    if found is None:
        raise Fatal("illegal virtual server address[:port] specified")
    request.address = found.address
    if found.port is not None:
        request.port = found.port
    request.ipv6 = isinstance(found.address, IPv6Address)
    if request.ipv6:
        request.netmask = HOST_PREFIX


def _read_fwmark(request: Request, _option: Option, text: str, _names: Names) -> None:
    _give(request, "service-address")
    mark = values.number(text, 1, MARK_MAX)
    if mark is None:
        raise Fatal(f"invalid fwmark value `{text}' specified")
    request.fwmark = mark
    request.protocol = Protocol.TCP


def _read_ipv6(request: Request, _option: Option, _text: str, _names: Names) -> None:
    if not request.fwmark:
        raise Fatal("-6 used before -f\n")
    request.ipv6 = True
    request.netmask = HOST_PREFIX


def _read_scheduler(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.scheduler = values.name(text)


def _read_persistence(request: Request, text: str | None) -> None:
    request.persistence = PERSISTENCE_DEFAULT if text is None else _seconds(text, 1)


def _read_netmask(request: Request, option: Option, text: str, names: Names) -> None:
    _give(request, option.name)
    if request.ipv6:
        prefix = values.leading_integer(text)
        if not 1 <= prefix <= int(HOST_PREFIX):
            raise Fatal("illegal ipv6 netmask specified")
        request.netmask = str(prefix)
        return
    mask = values.ipv4(text, names)
    if mask is None:
        raise Fatal("illegal virtual server persistent mask specified")
    request.netmask = str(mask)


def _read_server(request: Request, option: Option, text: str, names: Names) -> None:
    _give(request, option.name)
    found = values.endpoint(text, request.protocol, names)
    if found is None:
        raise Fatal("illegal real server address[:port] specified")
    request.server = found.address
    request.server_port = request.port if found.port is None else found.port


def _read_method(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, "forwarding-method")
    request.method = _METHODS[option.name]


_METHODS = {
    "masquerading": Method.NAT,
    "ipip": Method.TUN,
    "gatewaying": Method.DR,
    "fullnat": Method.FULLNAT,
}


def _read_weight(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.weight = _in_range(text, 0, INT_MAX, "weight")


def _read_upper(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.upper = _in_range(text, 0, INT_MAX, "u_threshold")


def _read_lower(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.lower = _in_range(text, 0, INT_MAX, "l_threshold")


def _read_sync_number(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    field, least, most = _SYNC_NUMBERS[option.name]
    value = _in_range(text, least, most, option.name)
    request.channel = replace(request.channel, **{field: value})


def _read_interface(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    if text:
        request.channel = replace(request.channel, interface=values.name(text)[:_INTERFACE_MAX])


def _read_group(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    found = values.address(text)
    if found is None or not found.is_multicast:
        family = "IPv6" if ":" in text else "IPv4"
        raise Fatal(f"invalid {family} mcast-group `{text}'")
    request.channel = replace(request.channel, group=found)


def _read_ops(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, option.name)
    request.one_packet = True


def _read_engine(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.engine = values.name(text)


def _read_flags(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.flag_words = text


def _read_stateless(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, option.name)
    request.stateless = True


def _read_own_timeout(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.own_timeouts[option.name] = _seconds(text, 0)


def _read_toa(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, option.name)
    request.toa = True


def _read_proxy_protocol(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    if text not in set(ProxyProtocol) - {ProxyProtocol.OFF}:
        raise Fatal("illegal proxy-protocol specified: it is v1 or v2")
    request.proxy_protocol = ProxyProtocol(text)


def _read_proxy_tlvs(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    words = text.split(",")
    if not set(words) <= set(ProxyTlv):
        raise Fatal(f"illegal proxy-tlv specified: {', '.join(ProxyTlv)}")
    request.proxy_tlvs = tuple(map(ProxyTlv, words))


def _read_lists(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.lists[option.name] = tuple(filter(None, text.split(",")))


def _read_limit(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    value = values.number(text, 0, INT_MAX)
    if value is None:
        raise Fatal(f"illegal {option.name} specified: a number from 0 to {INT_MAX}")
    request.limits[option.name] = value


def _read_rate(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    rate, colon, burst = text.partition(":")
    found = values.number(rate, 0, INT_MAX), values.number(burst, 0, INT_MAX) if colon else 0
    if found[0] is None or found[1] is None:
        raise Fatal(f"illegal {option.name} specified: PER_SECOND or PER_SECOND:BURST")
    request.limits[option.name] = found[0]
    request.limits[option.name.replace("-rate", "-burst")] = found[1]


def _read_syn_proxy(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    try:
        mode = SynProxyMode(text)
    except ValueError:
        raise Fatal(f"invalid SYN proxy mode `{text}' specified: off, on or auto") from None
    request.syn_proxy = replace(request.syn_proxy, mode=mode)


def _read_syn_number(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    field, least, most = _SYN_NUMBERS[option.name]
    value = _in_range(text, least, most, option.name)
    request.syn_proxy = replace(request.syn_proxy, **{field: value})


def _read_syn_promise(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, option.name)
    *no, field = option.name.removeprefix("syn-").split("-")
    other = f"syn-{field}" if no else f"syn-no-{field}"
    if other in request.given:
        raise Fatal(f"'{other}' and '{option.name}' contradict one another: choose one")
    request.syn_proxy = replace(request.syn_proxy, **{field: not no})


def _read_tunnel_type(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    if text not in rules.TUNNELS:
        raise Fatal("illegal tunnel type specified")
    request.tunnel = TunnelType(text)


def _read_tunnel_port(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.tunnel_port = _in_range(text, 1, 65535, "tunnel port")


def _read_tunnel_checksum(request: Request, option: Option, _text: str, _names: Names) -> None:
    _give(request, option.name)
    request.tunnel_flags |= _TUNNEL_CHECKSUM[option.name]


def _read_local_addresses(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    found = [values.address(word) for word in text.split(",")]
    addresses = tuple(each for each in found if each is not None)
    if len(addresses) < len(found) or len(set(addresses)) < len(addresses):
        raise Fatal("illegal local address specified")
    request.local_addresses = addresses


def _read_local_pool(request: Request, option: Option, text: str, _names: Names) -> None:
    _give(request, option.name)
    request.local_pool = text


def _nothing(_request: Request, _option: Option, _text: str, _names: Names) -> None:
    """``--sort`` does nothing, and may be repeated."""


def _in_range(text: str, least: int, most: int, what: str) -> int:
    value = values.number(text, least, most)
    if value is None:
        raise Fatal(f"illegal {what} specified")
    return value


_READERS: dict[str, Callable[[Request, Option, str, Names], None]] = {
    "tcp-service": _read_service,
    "udp-service": _read_service,
    "sctp-service": _read_service,
    "fwmark-service": _read_fwmark,
    "ipv6": _read_ipv6,
    "scheduler": _read_scheduler,
    "netmask": _read_netmask,
    "real-server": _read_server,
    "masquerading": _read_method,
    "ipip": _read_method,
    "gatewaying": _read_method,
    "fullnat": _read_method,
    "weight": _read_weight,
    "u-threshold": _read_upper,
    "l-threshold": _read_lower,
    "syncid": _read_sync_number,
    "sync-maxlen": _read_sync_number,
    "mcast-port": _read_sync_number,
    "mcast-ttl": _read_sync_number,
    "mcast-group": _read_group,
    "mcast-interface": _read_interface,
    "ops": _read_ops,
    "pe": _read_engine,
    "sched-flags": _read_flags,
    "stateless": _read_stateless,
    "tcp-timeout": _read_own_timeout,
    "tcpfin-timeout": _read_own_timeout,
    "udp-timeout": _read_own_timeout,
    "toa": _read_toa,
    "proxy-protocol": _read_proxy_protocol,
    "proxy-tlv": _read_proxy_tlvs,
    "allow": _read_lists,
    "deny": _read_lists,
    "client-connections": _read_limit,
    "client-rate": _read_rate,
    "client-prefix": _read_limit,
    "service-connections": _read_limit,
    "service-rate": _read_rate,
    "syn-proxy": _read_syn_proxy,
    "syn-threshold": _read_syn_number,
    "syn-mss": _read_syn_number,
    "syn-wscale": _read_syn_number,
    "syn-sack": _read_syn_promise,
    "syn-no-sack": _read_syn_promise,
    "syn-timestamps": _read_syn_promise,
    "syn-no-timestamps": _read_syn_promise,
    "tun-type": _read_tunnel_type,
    "tun-port": _read_tunnel_port,
    "tun-nocsum": _read_tunnel_checksum,
    "tun-csum": _read_tunnel_checksum,
    "tun-remcsum": _read_tunnel_checksum,
    "local-address": _read_local_addresses,
    "local-pool": _read_local_pool,
    "sort": _nothing,
}
"""Options with a meaning of their own; the others are only noted."""


def _settle(request: Request) -> None:
    """What depends on more than one option."""
    if request.verb in (Verb.ADD_SERVICE, Verb.EDIT_SERVICE):
        request.scheduler = request.scheduler or _DEFAULT_SCHEDULER
        if not request.fwmark and not request.port and not request.persistence:
            raise Fatal("Zero port specified for non-persistent service")
        if request.one_packet and not request.fwmark and request.protocol is not Protocol.UDP:
            raise Fatal("One-Packet Scheduling is only for UDP virtual services")
    if request.verb in (Verb.ADD_SERVER, Verb.EDIT_SERVER):
        _settle_server(request)
    if any(isinstance(each, IPv6Address) != request.ipv6 for each in request.local_addresses):
        raise Fatal("Local addresses must be of the service's address family")


def _settle_server(request: Request) -> None:
    if not request.fwmark and request.method in (Method.DR, Method.TUN):
        request.server_port = request.port
    if request.method is Method.TUN:
        rules.check_tunnel(request.tunnel.value, frozenset(request.given))
    elif isinstance(request.server, IPv6Address) != request.ipv6:
        raise Fatal("Different address family is allowed only for tunneling servers")
    elif request.given & rules.TUNNEL_OPTIONS:
        raise Fatal("Tunnel options conflict with forward method")


def _flags(words: str, scheduler: str) -> int:
    bits = 0
    for word in filter(None, words.split(",")):
        if word in _PLAIN_FLAGS:
            bits |= _PLAIN_FLAGS[word]
            continue
        owner = word.partition("-")[0]
        if word not in SCHEDULER_FLAGS.get(owner, {}):
            raise Fatal(f"invalid scheduler flag `{word}'")
        if owner != scheduler:
            raise Fatal(f"incompatible scheduler flag `{word}'")
        bits |= SCHEDULER_FLAGS[owner][word]
    return bits
