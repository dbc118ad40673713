# SPDX-License-Identifier: Apache-2.0
"""``ldirectord.cf`` to ``keepalived.conf``: for those who come from there.

The result is text for people to read and go on with, with comments where the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from xlvs.config.keepalived.places import Findings, Place, Wrong
from xlvs.model.service import Address

CHECK_INTERVAL = 10
CHECK_TIMEOUT = 5
NEGOTIATE_TIMEOUT = 30
"""ldirectord's defaults, in seconds."""

RANGE_MAX = 4096
"""Real servers that one range may stand for."""

LONGEST_LINE = 4096

PORT_MAX = 65535

_LINE = re.compile(r"(\s*)([A-Za-z0-9-]+)\s*=\s*(.*)", re.ASCII)
_REAL = re.compile(
    r"(\S+?)(?:->(\S+))?\s*(?:\s(gate|masq|ipip)\b)?\s*(?:\s(\d{1,10}))?"
    r'\s*(?:\s"([^"]*)"\s*,\s*"([^"]*)")?\s*'
)

_METHODS = {"gate": "DR", "masq": "NAT", "ipip": "TUN"}

_SERVICES = dict(
    [
        *((21, "ftp"), (25, "smtp"), (53, "dns"), (80, "http"), (110, "pop"), (119, "nntp")),
        *((143, "imap"), (389, "ldap"), (443, "https"), (587, "submission"), (993, "imaps")),
        *((995, "pops"), (1521, "oracle"), (1812, "radius"), (3128, "http_proxy")),
        *((3306, "mysql"), (5432, "pgsql"), (5060, "sip")),
    ]
)
"""What ldirectord takes a service for by its port."""

_KNOWN_SERVICES = frozenset((*_SERVICES.values(), "simpletcp", "ldaps", "none"))

_BOTH = frozenset(
    (
        *("checktimeout", "negotiatetimeout", "checkinterval", "checkcount", "failurecount"),
        *("fallback", "fallback6", "fallbackcommand", "emailalert", "emailalertfrom"),
        *("emailalertfreq", "emailalertstatus", "smtp", "quiescent", "readdquiescent", "cleanstop"),
    )
)
_GLOBAL = _BOTH | {
    *("autoreload", "callback", "logfile", "execute", "supervised", "fork", "maintenancedir"),
}
_VIRTUAL = _BOTH | {
    *("real", "real6", "checktype", "service", "checkcommand", "checkport", "request", "receive"),
    *("httpmethod", "virtualhost", "login", "passwd", "database", "secret", "load", "scheduler"),
    *("persistent", "netmask", "protocol", "monitorfile", "ops"),
}

_DROPPED = {
    "autoreload": "reload with systemctl reload or SIGHUP",
    "callback": "nothing is run when the file changes",
    "logfile": "the journal has the log",
    "execute": "one daemon serves all services",
    "supervised": "the service manager decides",
    "fork": "all servers are checked at once",
    "emailalertfreq": "an alert is sent once for each change",
    "emailalertstatus": "alerts are sent while the daemon runs",
    "readdquiescent": "the table is put right at every reload",
    "monitorfile": "xlvs status and the journal show checks",
    "checkcount": "failurecount is taken instead",
}
"""What has no counterpart, and why none is needed."""


class Converted(NamedTuple):
    """``text`` of a keepalived.conf; ``remarks``: ``file:line:column: sentence``."""

    text: str
    remarks: tuple[str, ...]


@dataclass
class _Section:
    """The file's beginning, or one ``virtual``: its options with the places of their values."""

    place: Place
    name: str = ""
    options: dict[str, tuple[str, Place]] = field(default_factory=dict)
    reals: list[tuple[str, Place]] = field(default_factory=list)

    def get(self, name: str, above: _Section | None = None) -> str | None:
        """The value of an option, here or above."""
        found = self.options.get(name) or (above.options.get(name) if above else None)
        return found[0] if found else None

    def place_of(self, name: str, above: _Section | None = None) -> Place:
        """Where that was said."""
        found = self.options.get(name) or (above.options.get(name) if above else None)
        return found[1] if found else self.place


def convert(text: str, file: str) -> Converted:
    """The same services as a keepalived.conf. Raises ConfigurationError."""
    findings = Findings()
    top, sections = _sections(text, file, findings)
    out = _Output(top, findings)
    blocks: list[str] = []
    for section in (top, *sections):
        try:
            blocks.append("\n".join(out.service(section)) if section is not top else out.globals())
        except Wrong as wrong:
            findings.problem(section.place, wrong.message)
    findings.raise_problems()
    return Converted("\n\n".join(filter(None, blocks)) + "\n", findings.in_order())


def _sections(text: str, file: str, findings: Findings) -> tuple[_Section, list[_Section]]:
    top = _Section(Place(file, 1))
    sections: list[_Section] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0] if raw.lstrip().startswith("#") else _uncommented(raw)
        if not line.strip():
            continue
        if len(line) > LONGEST_LINE:
            findings.problem(Place(file, number), f"the line is longer than {LONGEST_LINE} signs")
            continue
        found = _LINE.fullmatch(line.rstrip())
        if found is None:
            findings.problem(Place(file, number), f"wants NAME = VALUE, not {line.strip()!r}")
            continue
        indent, name, value = found[1], found[2].lower(), found[3].strip()
        place = Place(file, number, len(indent) + 1)
        if name in ("virtual", "virtual6"):
            sections.append(_Section(place, value))
            continue
        section = sections[-1] if indent and sections else top
        known = _GLOBAL if section is top else _VIRTUAL
        if name not in known:
            findings.problem(place, f"ldirectord has no option {name!r} here")
        elif name in ("real", "real6"):
            section.reals.append((value, place))
        else:
            section.options[name] = _unquoted(value), place
            if name in _DROPPED:
                findings.remark(place, f"{name} is left out: {_DROPPED[name]}")
    return top, sections


def _uncommented(line: str) -> str:
    quoted = False
    for at, sign in enumerate(line):
        if sign == '"':
            quoted = not quoted
        elif sign == "#" and not quoted:
            return line[:at]
    return line


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def _endpoint(text: str) -> tuple[Address, int]:
    """``ADDRESS[:PORT]`` or ``[IPv6][:PORT]``. Raises Wrong."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        raise Wrong(f"{host!r} is no address: names of hosts are not looked up") from None
    return address, _port(port) if port else 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(PORT_MAX))):
        raise Wrong(f"{text!r} is no port: names of services are not looked up")
    if not int(text) <= PORT_MAX:
        raise Wrong(f"a port is at most {PORT_MAX}, not {text}")
    return int(text)


def _quoted(text: str, what: str) -> str:
    """A word of keepalived.conf. Raises Wrong for what cannot be written there."""
    if '"' in text or "\n" in text:
        raise Wrong(f"{what} has a double quote, which keepalived.conf cannot say")
    return text if re.fullmatch(r"[\w./:?&=%+@,~-]+", text, re.ASCII) else f'"{text}"'


class _Real(NamedTuple):
    address: Address
    port: int
    method: str
    weight: str
    request: str | None
    receive: str | None


class _Output:
    """Writes the blocks."""

    def __init__(self, top: _Section, findings: Findings) -> None:
        self._top = top
        self._findings = findings

    def globals(self) -> str:
        """``global_defs``, if there is something to say."""
        lines: list[str] = []
        alert = self._top.get("emailalert")
        if alert:
            lines += ["    notification_email {"]
            lines += [f"        {_quoted(each.strip(), 'emailalert')}" for each in alert.split(",")]
            lines += ["    }"]
        sender = self._top.get("emailalertfrom")
        if sender:
            lines.append(f"    notification_email_from {_quoted(sender, 'emailalertfrom')}")
        smtp = self._top.get("smtp")
        if smtp:
            lines.append(f"    smtp_server {_quoted(smtp, 'smtp')}")
        if self._top.get("maintenancedir"):
            self._findings.remark(
                self._top.place_of("maintenancedir"),
                "maintenancedir is left out: drain a server with xlvs destination drain",
            )
        return "\n".join(["global_defs {", *lines, "}"]) if lines else ""

    def service(self, section: _Section) -> Iterator[str]:  # noqa: C901  # line after line
        """One ``virtual_server``. Raises Wrong."""
        key, port, protocol = self._key(section)
        get = partial(section.get, above=self._top)
        yield f"virtual_server {key} {{"
        yield f"    delay_loop {_number(get('checkinterval'), CHECK_INTERVAL, 'checkinterval')}"
        yield f"    lvs_sched {_quoted(section.get('scheduler') or 'wrr', 'scheduler')}"
        reals = [each for value, place in section.reals for each in self._reals(value, place)]
        methods = {each.method for each in reals}
        common = reals[0].method if reals else "DR"
        yield f"    lvs_method {common}"
        if protocol:
            yield f"    protocol {protocol}"
        persistent = section.get("persistent")
        if persistent:
            yield f"    persistence_timeout {_number(persistent, 0, 'persistent')}"
        netmask = section.get("netmask")
        if netmask:
            yield f"    persistence_granularity {_quoted(netmask, 'netmask')}"
        if section.get("ops") == "yes":
            yield "    ops"
        # A real server is down until its first check has passed.
        yield "    alpha"
        if (get("quiescent") or "yes") == "yes":
            yield "    inhibit_on_failure"
        failures = _number(get("failurecount"), 1, "failurecount")
        host = section.get("virtualhost")
        if host:
            yield f"    virtualhost {_quoted(host, 'virtualhost')}"
        yield from self._fallback(section, get)
        check = self._check(section, port, protocol, key, retry=max(0, failures - 1))
        if not reals:
            raise Wrong(f"virtual={section.name} has no real server")
        off = section.get("checktype") == "off"
        for each in reals:
            yield ""
            yield f"    real_server {each.address} {each.port or port or ''}".rstrip() + " {"
            yield f"        weight {0 if off else each.weight}"
            if len(methods) > 1:
                yield f"        lvs_method {each.method}"
            for line in check(each):
                yield f"        {line}"
            yield "    }"
        yield "}"

    def _key(self, section: _Section) -> tuple[str, int, str]:
        """How the virtual server is called, its port and protocol."""
        said = (section.get("protocol") or "").lower()
        if section.name.isascii() and section.name.isdecimal():
            if said not in ("", "fwm"):
                raise Wrong(f"a firewall mark has protocol=fwm, not {said}")
            return f"fwmark {int(section.name)}", 0, ""
        address, port = _endpoint(section.name)
        if said not in ("", "tcp", "udp"):
            raise Wrong(f"protocol is tcp or udp, not {said}")
        return f"{address} {port}", port, (said or ("udp" if port == 53 else "tcp")).upper()  # noqa: PLR2004

    def _reals(self, value: str, place: Place) -> Iterator[_Real]:
        before, quote, after = value.partition('"')
        found = _REAL.fullmatch(" ".join(before.split()) + (" " if quote else "") + quote + after)
        if found is None:
            self._findings.problem(
                place, 'wants real = ADDRESS[:PORT] gate|masq|ipip [WEIGHT] ["REQUEST", "RECEIVE"]'
            )
            return
        begin, end, method, weight, request, receive = found.groups()
        try:
            first, port = _endpoint(begin)
            last = first
            if end:
                last, port = _endpoint(end)
            count = int(last) - int(first) + 1
            if last.version != first.version or not 0 < count <= RANGE_MAX:
                raise Wrong(f"{begin}->{end} is no range of 1 to {RANGE_MAX} addresses")  # noqa: TRY301
        except Wrong as wrong:
            self._findings.problem(place, wrong.message)
            return
        for step in range(count):
            yield _Real(
                type(first)(int(first) + step),
                port,
                _METHODS[method or "gate"],
                weight or "1",
                request,
                receive,
            )

    def _fallback(self, section: _Section, get: Callable[[str], str | None]) -> Iterator[str]:
        for name in ("fallback", "fallback6"):
            said = get(name)
            if not said or section.name.startswith("[") is not (name == "fallback6"):
                continue
            where, _, method = said.partition(" ")
            address, port = _endpoint(where)
            yield f"    sorry_server {address} {port or ''}".rstrip()
            method = method.strip() or "gate"
            if method not in _METHODS:
                raise Wrong(f"a fallback is reached by gate, masq or ipip, not {method!r}")
            if not address.is_loopback:
                yield f"    sorry_server_lvs_method {_METHODS[method]}"
        command = get("fallbackcommand")
        if command:
            # ldirectord says start when all servers are down.
            yield f'    quorum_up "{_command(command)} stop"'
            yield f'    quorum_down "{_command(command)} start"'

    def _check(
        self, section: _Section, port: int, protocol: str, key: str, *, retry: int
    ) -> Callable[[_Real], list[str]]:
        """What writes the checker of a real server."""
        kind = section.get("checktype") or "negotiate"
        service = section.get("service") or _SERVICES.get(port, "none")
        if service not in _KNOWN_SERVICES:
            raise Wrong(f"ldirectord knows no service {service!r}")
        remark = partial(self._findings.remark, section.place)
        timeout = _number(
            section.get("checktimeout", self._top) or section.get("negotiatetimeout", self._top),
            CHECK_TIMEOUT,
            "checktimeout",
        )
        if kind.isdecimal():
            remark(f"checktype={kind}: every check negotiates, not every {kind}th one")
            kind = "negotiate"
        if kind in ("on", "off"):
            if kind == "off":
                remark("checktype=off: the real servers have weight 0")
            return lambda _: []
        if kind in ("external", "external-perl"):
            command = section.get("checkcommand") or "/bin/true"
            address = key.rpartition(" ")[0] if not key.startswith("fwmark") else key.split()[1]
            return lambda real: [
                "MISC_CHECK {",
                f'    misc_path "{_command(command)} {address} {port} {real.address} '
                f'{real.port or port}"',
                f"    misc_timeout {timeout}",
                f"    retry {retry}",
                "}",
            ]
        if kind == "ping" or (kind == "connect" and protocol == "UDP"):
            return lambda _: ["PING_CHECK {", *_waits(timeout, retry), "}"]
        if kind not in ("connect", "negotiate"):
            raise Wrong(f"ldirectord knows no checktype {kind!r}")
        ports = _check_port(section)
        if kind == "connect":
            return lambda _: ["TCP_CHECK {", *_waits(timeout, retry), *ports, "}"]
        timeout = _number(
            section.get("negotiatetimeout", self._top) or section.get("checktimeout", self._top),
            NEGOTIATE_TIMEOUT,
            "negotiatetimeout",
        )
        return self._negotiate(section, service, protocol, [*_waits(timeout, retry), *ports])

    def _negotiate(
        self, section: _Section, service: str, protocol: str, common: list[str]
    ) -> Callable[[_Real], list[str]]:
        if service in ("http", "https"):
            if section.get("httpmethod") not in (None, "GET"):
                self._findings.remark(section.place_of("httpmethod"), "the check says GET")
            return lambda real: _http(section, real, common, tls=service == "https")
        if service in ("smtp", "submission"):
            return lambda _: ["SMTP_CHECK {", *common, "}"]
        if service == "dns":
            if section.get("receive"):
                self._findings.remark(
                    section.place_of("receive"), "any answer without an error is taken"
                )

            def dns(real: _Real) -> list[str]:
                name = real.request or section.get("request")
                lines = ["    type A", f"    name {_quoted(name, 'request')}"] if name else []
                return ["DNS_CHECK {", *common, *lines, "}"]

            return dns
        if service == "none":
            return lambda _: []
        instead = "PING_CHECK" if protocol == "UDP" else "TCP_CHECK"
        self._findings.remark(
            section.place,
            f"there is no check that speaks {service}: {instead} is taken; "
            "a MISC_CHECK with a program of yours can do more",
        )
        if instead == "PING_CHECK":
            common = [line for line in common if "connect_port" not in line]
        return lambda _: [f"{instead} {{", *common, "}"]


def _waits(timeout: int, retry: int) -> list[str]:
    return [f"    connect_timeout {timeout}", f"    retry {retry}"]


def _check_port(section: _Section) -> list[str]:
    said = section.get("checkport")
    return [f"    connect_port {_port(said)}"] if said else []


def _http(section: _Section, real: _Real, common: list[str], *, tls: bool) -> list[str]:
    request = real.request if real.request is not None else section.get("request") or ""
    receive = real.receive if real.receive is not None else section.get("receive") or ""
    found = re.fullmatch(r"https?://[^/]+(/.*)?", request)
    path = (found[1] or "/") if found else "/" + request.lstrip("/")
    lines = [f"        path {_quoted(path, 'request')}"]
    if receive:
        # A regular expression of keepalived's is read with C's escapes.
        escaped = receive.replace("\\", "\\\\")
        lines.append(f"        regex {_regex_word(escaped)}")
    return ["SSL_GET {" if tls else "HTTP_GET {", *common, "    url {", *lines, "    }", "}"]


def _regex_word(text: str) -> str:
    if '"' in text:
        raise Wrong("receive has a double quote, which keepalived.conf cannot say")
    return f'"{text}"'


def _command(text: str) -> str:
    if '"' in text:
        raise Wrong("a command has a double quote, which keepalived.conf cannot say")
    return text


def _number(text: str | None, default: int, name: str) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < len("1000000000")):
        raise Wrong(f"{name} is a number, not {text!r}")
    return int(text)
