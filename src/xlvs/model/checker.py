# SPDX-License-Identifier: Apache-2.0
"""How real servers are checked, and what follows from it: keepalived's words.

All times in seconds. Where a field is None, keepalived's default for that checker holds
(``xlvs.engine.health`` knows them).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from xlvs.model.notification import Command
from xlvs.model.service import Address, Destination, Service


class Check(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="check",
    omit_defaults=True,
):
    """What all checkers have. Where to: the real server's address and port unless said.

    ``retry``: failures more than the first before the server is down. ``rise``: successes in
    a row before it is up again. ``warmup``: the first check comes within that time, at
    random. ``alpha``: down until the first success. ``through_datapath``: the probe goes to
    the virtual address and takes the way that clients' packets take to this server (ours).
    """

    connect_ip: Address | None = None
    connect_port: int | None = None
    bind_ip: Address | None = None
    bind_port: int = 0
    bind_interface: str = ""
    fwmark: int = 0
    connect_timeout: float | None = None
    retry: int | None = None
    rise: int = 1
    delay_before_retry: float | None = None
    delay_loop: float | None = None
    warmup: float | None = None
    alpha: bool | None = None
    log_all_failures: bool = False
    through_datapath: bool = False


class TcpCheck(Check, frozen=True, tag="tcp"):
    """A connection can be made."""


class HttpProtocol(StrEnum):
    """``http_protocol``: what the request says."""

    HTTP_1_0 = "1.0"
    HTTP_1_0_CLOSE = "1.0C"
    HTTP_1_1 = "1.1"
    HTTP_1_0_KEEP = "1.0k"
    HTTP_1_1_KEEP = "1.1k"


class Url(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request of HTTP_GET or SSL_GET, and what is right for an answer.

    ``digest``: MD5 of the body, hex. ``status_codes``: inclusive ranges; none: 200 to 299,
    unless a digest or a regex is given, then any. Offsets in bytes of the body.
    """

    path: str = "/"
    digest: str = ""
    status_codes: tuple[tuple[int, int], ...] = ()
    virtualhost: str = ""
    regex: str = ""
    regex_no_match: bool = False
    regex_options: tuple[str, ...] = ()
    regex_min_offset: int = 0
    regex_max_offset: int = 0
    tls_compliant: bool = False


class HttpCheck(Check, frozen=True, tag="http"):
    """HTTP_GET, SSL_GET (``tls``). All urls have to be right, one after the other."""

    tls: bool = False
    urls: tuple[Url, ...] = ()
    virtualhost: str = ""
    protocol: HttpProtocol = HttpProtocol.HTTP_1_0
    enable_sni: bool = False
    sni_name: str = ""


class SmtpHost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the ``host`` blocks of SMTP_CHECK."""

    connect_ip: Address | None = None
    connect_port: int | None = None
    bind_ip: Address | None = None
    bind_port: int = 0
    bind_interface: str = ""
    fwmark: int = 0


class SmtpCheck(Check, frozen=True, tag="smtp"):
    """Greeting, HELO and QUIT are answered well (RFC 5321)."""

    helo_name: str = ""
    hosts: tuple[SmtpHost, ...] = ()


class DnsCheck(Check, frozen=True, tag="dns"):
    """A question gets an answer without an error (RFC 1035)."""

    type: str = "SOA"
    name: str = "."


class PingCheck(Check, frozen=True, tag="ping"):
    """An ICMP echo is answered."""


class UdpCheck(Check, frozen=True, tag="udp"):
    """A datagram is not refused; with ``require_reply`` it is answered, within these lengths.

    ``reply``: what the answer begins with, in the bits of ``reply_mask`` (all where it has
    none); compared as far as both reach.
    """

    payload: bytes = b""
    require_reply: bool = False
    reply: bytes = b""
    reply_mask: bytes = b""
    min_reply_length: int = 0
    max_reply_length: int = 255


class MiscCheck(Check, frozen=True, tag="misc"):
    """A program's exit status: 0 up, else down; ``dynamic``: 1 down, 2..255 the weight plus 2.

    ``timeout`` 0: it may run as long as ``delay_loop``.
    """

    command: Command
    timeout: float = 0.0
    dynamic: bool = False


class FileCheck(Check, frozen=True, tag="file"):
    """FILE_CHECK: follows a ``track_file``; ``weight`` None: the file's."""

    track_file: str
    weight: int | None = None
    reverse: bool = False


class BfdCheck(Check, frozen=True, tag="bfd"):
    """BFD_CHECK: up while the BFD session is."""

    name: str


AnyCheck = (
    TcpCheck
    | HttpCheck
    | SmtpCheck
    | DnsCheck
    | PingCheck
    | UdpCheck
    | MiscCheck
    | FileCheck
    | BfdCheck
)


class RealServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A real server as a configuration file has it."""

    destination: Destination
    checks: tuple[AnyCheck, ...] = ()
    inhibit_on_failure: bool = False
    notify_up: Command | None = None
    notify_down: Command | None = None
    smtp_alert: bool | None = None
    virtualhost: str = ""
    slow_start: float = 0.0
    """Seconds over which the weight grows to its full after the server has come up (ours)."""


class VirtualService(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A virtual service as a configuration file has it.

    ``name``: what it is called in the file (``10.0.0.1 80``, ``group web``). A service of a
    group's is several of these, which share their real servers' checks and one quorum:
    ``group``. Their real servers are the same ones in the same order.
    """

    name: str
    service: Service
    group: str = ""
    real_servers: tuple[RealServer, ...] = ()
    sorry_server: Destination | None = None
    sorry_server_inhibit: bool = False
    quorum: int = 1
    hysteresis: int = 0
    quorum_up: Command | None = None
    quorum_down: Command | None = None
    alpha: bool = False
    omega: bool = False
    ha_suspend: bool = False
    smtp_alert: bool | None = None
    delay_loop: float = 60.0
    virtualhost: str = ""
