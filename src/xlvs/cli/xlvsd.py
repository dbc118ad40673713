# SPDX-License-Identifier: Apache-2.0
"""xlvsd's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import NoReturn

from xlvs.engine import hook
from xlvs.io.logs import Format
from xlvs.io.paths import DEFAULT_INSTANCE, instance_from_environment, paths
from xlvs.model import settings
from xlvs.model.detail import Detail
from xlvs.model.listening import Tcp
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address
from xlvs.wire.endpoint import endpoint

USAGE_ERROR = 2
_TABLE_MAX = 1 << 26  # 62 bytes each: 4 GB


@dataclass(frozen=True)
class Config:
    """The command line. ``settings``: names and values as they were given."""

    instance: str = DEFAULT_INSTANCE
    interfaces: tuple[str, ...] = ()
    hook: str = "auto"
    table_size: int = 262144
    table_size_ipv6: int | None = None
    local_addresses: tuple[Address, ...] = ()
    tunnel_sources: tuple[IPv4Network | IPv6Network, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    local_clients: bool = False
    syn_cookie_secret: Path | None = None
    file: str | None = None
    config_id: str | None = None
    api: Tcp | None = None
    api_group: str | None = None
    metrics: tuple[Address, int] | None = None
    metrics_detail: Detail = Detail.DESTINATIONS
    log_format: Format = Format.TEXT


class _Parser(argparse.ArgumentParser):
    """Says one sentence instead of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = _Parser(
        prog="xlvsd",
        description="Run a director in this network namespace. Ends on SIGTERM and leaves "
        "the data path running; 'xlvs down' removes that.",
        allow_abbrev=False,
    )
    found.add_argument(
        "--instance",
        default=instance_from_environment(),
        help="name of this director (default: $XLVS_INSTANCE or 'default')",
    )
    found.add_argument(
        "--interfaces",
        required=True,
        type=_interfaces,
        metavar="IF,IF",
        help="interfaces on which packets of clients and real servers arrive",
    )
    found.add_argument(
        "--hook",
        choices=hook.CHOICES,
        default="auto",
        help="where packets are met; auto chooses by driver and says why (default)",
    )
    found.add_argument(
        "--table-size",
        type=_table_size,
        default=Config.table_size,
        metavar="N",
        help="most connections at once, by fullnat half as many (default %(default)s)",
    )
    found.add_argument(
        "--table-size-ipv6",
        type=_table_size,
        metavar="N",
        help="most of IPv6 at once, besides (default: an eighth of --table-size)",
    )
    found.add_argument(
        "--local-addresses",
        type=_addresses,
        default=(),
        metavar="A,B",
        help="source addresses for fullnat",
    )
    found.add_argument(
        "--tunnel-sources",
        type=_networks,
        default=(),
        metavar="PREFIX[,PREFIX]",
        help="ipip and gre: outer sources out of these prefixes, IPv4 and IPv6, one for each "
        "flow, so that a real server's queues share the load (default: one source for all)",
    )
    found.add_argument(
        "--local-clients",
        action="store_true",
        help="programs on the director itself reach the virtual services too",
    )
    found.add_argument(
        "--syn-cookie-secret-file",
        type=Path,
        metavar="FILE",
        help="SYN proxy: a secret of 16 bytes or more that directors share, so that each takes "
        "the others' cookies (default: one of its own)",
    )
    found.add_argument(
        "-f",
        "--use-file",
        metavar="FILE",
        help="a keepalived.conf: services, checkers, VRRP, connection sync; SIGHUP reads it again",
    )
    found.add_argument(
        "-i",
        "--config-id",
        metavar="ID",
        help="what @ID lines of the file are compared with (default: the host's name up to a dot)",
    )
    found.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="net.ipv4.vs.KEY=VALUE",
        help="settings, as 'xlvs settings' lists them; these win over what the director kept",
    )
    found.add_argument(
        "--profile",
        choices=settings.PROFILES,
        help="ipvs: just as the kernel's (default); modern: better where IPVS is known to hurt. "
        "The same as --set net.xlvs.profile=…; the director keeps it",
    )
    found.add_argument(
        "--api-group",
        metavar="NAME",
        help="whose members may use the API's Unix socket, and so ipvsadm, beside root",
    )
    found.add_argument(
        "--api-listen",
        type=_endpoint,
        metavar="ADDRESS:PORT",
        help="where the API listens on TCP beside its Unix socket; but for loopback with TLS only",
    )
    found.add_argument(
        "--api-token-file",
        metavar="FILE",
        help="who may use it there: lines of NAME read|write TOKEN, for root's eyes only; "
        "SIGHUP reads it again, and the certificate too",
    )
    found.add_argument(
        "--api-tls-certificate", metavar="FILE", help="PEM, with those that vouch for it behind it"
    )
    found.add_argument("--api-tls-key", metavar="FILE", help="PEM, without a password")
    _add_watching(found)
    return found


def _add_watching(found: argparse.ArgumentParser) -> None:
    found.add_argument(
        "--metrics-listen",
        type=_endpoint,
        metavar="ADDRESS:PORT",
        help="GET /metrics for Prometheus, besides the API: without TLS or any authentication, "
        "so of this host's own addresses only 127.0.0.1 and ::1 are taken, unless --metrics-open",
    )
    found.add_argument(
        "--metrics-open",
        action="store_true",
        help="--metrics-listen may be an address that others reach: they may all read which "
        "services there are and what they do",
    )
    found.add_argument(
        "--metrics-detail",
        choices=[each.value for each in Detail],
        default=Config.metrics_detail.value,
        help="series for each real server, or for services only (default %(default)s)",
    )
    found.add_argument(
        "--log-format",
        choices=[each.value for each in Format],
        default=Config.log_format.value,
        help="sentences, or an object of JSON in each line (default %(default)s)",
    )


def read_command_line(argv: Sequence[str]) -> Config:
    """The configuration. Exits with 2 and one sentence when something is wrong."""
    options = parser()
    found = options.parse_args(argv)
    try:
        paths(found.instance)
        wanted = tuple(map(settings.split, found.set))
        if found.profile:
            wanted += ((settings.full_name(settings.PROFILE), found.profile),)
        settings.changed({}, wanted)
        api = _api(found)
    except Problem as problem:
        options.error(problem.message)
    metrics = found.metrics_listen
    if metrics is not None and not (metrics[0].is_loopback or found.metrics_open):
        options.error(
            f"--metrics-listen: whoever reaches {metrics[0]} could read the metrics: "
            "say --metrics-open if that is wanted, or take 127.0.0.1"
        )
    if metrics is None and found.metrics_open:
        options.error("--metrics-open opens nothing without --metrics-listen ADDRESS:PORT")
    return Config(
        instance=found.instance,
        interfaces=found.interfaces,
        hook=found.hook,
        table_size=found.table_size,
        table_size_ipv6=found.table_size_ipv6,
        local_addresses=found.local_addresses,
        tunnel_sources=found.tunnel_sources,
        settings=wanted,
        local_clients=found.local_clients,
        syn_cookie_secret=found.syn_cookie_secret_file,
        file=found.use_file,
        config_id=found.config_id,
        api=api,
        api_group=found.api_group,
        metrics=metrics,
        metrics_detail=Detail(found.metrics_detail),
        log_format=Format(found.log_format),
    )


def _api(found: argparse.Namespace) -> Tcp | None:
    tls = (found.api_tls_certificate, found.api_tls_key)
    if found.api_listen is None:
        if found.api_token_file or any(tls):
            raise Problem(Code.INVALID, "tokens and TLS are for --api-listen ADDRESS:PORT")
        return None
    address, port = found.api_listen
    if not found.api_token_file:
        raise Problem(Code.INVALID, "--api-listen needs --api-token-file: who may use it")
    if any(tls) and not all(tls):
        raise Problem(Code.INVALID, "TLS needs --api-tls-certificate and --api-tls-key")
    if not any(tls) and not address.is_loopback:
        raise Problem(
            Code.INVALID,
            f"{address} is not loopback, where tokens could be read on the way: "
            "--api-tls-certificate and --api-tls-key are needed",
        )
    return Tcp(address, port, found.api_token_file, tls[0] or "", tls[1] or "")


def _interfaces(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise argparse.ArgumentTypeError(f"wants names of interfaces between commas, not {text!r}")
    return names


def _endpoint(text: str) -> tuple[Address, int]:
    try:
        return endpoint(text)
    except Problem as problem:
        raise argparse.ArgumentTypeError(problem.message) from problem


def _table_size(text: str) -> int:
    try:
        size = int(text)
    except ValueError:
        size = 0
    if not 1 <= size <= _TABLE_MAX:
        raise argparse.ArgumentTypeError(f"wants a number from 1 to {_TABLE_MAX}, not {text!r}")
    return size


def _addresses(text: str) -> tuple[Address, ...]:
    try:
        return tuple(dict.fromkeys(ip_address(word.strip()) for word in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"wants IP addresses between commas: {error}") from error


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        found = tuple(ip_network(word.strip()) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"wants prefixes between commas: {error}") from error
    if len({each.version for each in found}) < len(found):
        raise argparse.ArgumentTypeError(f"wants one prefix of each family, not {text!r}")
    for each in found:
        if each.num_addresses == 1 or each.is_multicast or each.is_loopback:
            raise argparse.ArgumentTypeError(f"{each} has no addresses to choose a source from")
    return found
