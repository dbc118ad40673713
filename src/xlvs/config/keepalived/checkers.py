# SPDX-License-Identifier: Apache-2.0
"""The checkers of a real server, with all their keywords.

A checker's values come from its own block, else from the real server's, else from the
virtual server's, else they are keepalived's defaults for that checker.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from xlvs.config.keepalived.commands import command, user_and_group, warn_of_shell
from xlvs.config.keepalived.lines import split_quoted
from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import (
    Keyword,
    Table,
    Values,
    flag,
    no_effect,
    read_block,
    table,
    value,
    words,
)
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import (
    INT_MAX,
    UINT_MAX,
    address,
    boolean,
    choice,
    interface_name,
    number,
    port,
    text,
    timer,
    word,
)
from xlvs.model.checker import (
    AnyCheck,
    BfdCheck,
    DnsCheck,
    FileCheck,
    HttpCheck,
    HttpProtocol,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    SmtpHost,
    TcpCheck,
    UdpCheck,
    Url,
)
from xlvs.model.notification import Command

CONNECT_TIMEOUT = 5.0
DELAY_LOOP = 60.0
RETRY = 1
DELAY_BEFORE_RETRY = 1.0
"""keepalived's defaults, in seconds and tries."""

LENGTH_MAX = 65535
"""Bytes of a datagram."""

_MD5_DIGITS = 32
_STATUS_MIN, _STATUS_MAX = 100, 599

_CONNECTION = (
    value("connect_ip", address, "ADDRESS"),
    value("connect_port", port, "1..65535"),
    value("bindto", address, "ADDRESS", into="bind_ip"),
    value("bind_port", port, "1..65535"),
    value("bind_if", interface_name, "INTERFACE", into="bind_interface"),
    value("fwmark", number(0, UINT_MAX), "0.."),
)

_TIMES = (
    value("delay_loop", timer(0.000001), "seconds"),
    value("retry", number(0, UINT_MAX), "0.."),
    value("delay_before_retry", timer(), "seconds"),
    value("warmup", timer(), "seconds"),
    value("alpha", boolean, "[BOOL]"),
    value("log_all_failures", boolean, "[BOOL]"),
    value("rise", number(1, INT_MAX), "1..", note="ours: successes in a row until it is up"),
)

_OF_HTTP = no_effect(
    "nb_get_retry", "it is of HTTP_GET and SSL_GET; copied into many tutorials: write retry"
)

_CONNECTING = (
    *_CONNECTION,
    _OF_HTTP,
    value("connect_timeout", timer(0.000001), "seconds"),
    *_TIMES,
    value(
        "through_datapath",
        boolean,
        "[BOOL]",
        note="ours: the probe goes to the virtual address, on the way that clients take",
    ),
)


# ---- HTTP_GET, SSL_GET

REGEX_OPTIONS = (
    *("allow_empty_class", "alt_bsux", "auto_callout", "caseless", "dollar_endonly", "dotall"),
    *("dupnames", "extended", "firstline", "match_unset_backref", "multiline", "never_ucp"),
    *("never_utf", "no_auto_capture", "no_auto_possess", "no_dotstar_anchor"),
    *("no_start_optimize", "ucp", "ungreedy", "utf", "never_backslash_c", "alt_circumflex"),
    *("alt_verbnames", "use_offset_limit"),
)
"""PCRE2's, as keepalived names them."""


def _digest(found: list[str], index: int) -> str:
    digest = word(found, index, "an MD5 digest")
    if len(digest) != _MD5_DIGITS or not re.fullmatch("[0-9A-Fa-f]+", digest):
        raise Wrong(f"a digest has {_MD5_DIGITS} hexadecimal digits (MD5), not {digest!r}", index)
    return digest.lower()


def _status_codes(found: list[str], index: int) -> tuple[tuple[int, int], ...]:
    word(found, index, "a status code")
    ranges: list[tuple[int, int]] = []
    for at in range(index, len(found)):
        matched = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", found[at], re.ASCII)
        least, most = (int(matched[1]), int(matched[2] or matched[1])) if matched else (0, 0)
        if not _STATUS_MIN <= least <= most <= _STATUS_MAX:
            raise Wrong(
                f"a status code is {_STATUS_MIN} to {_STATUS_MAX}, or a range such as 200-299, "
                f"not {found[at]!r}",
                at,
            )
        ranges.append((least, most))
    return tuple(ranges)


def _regex(_reading: Reading, node: Node, values: Values) -> None:
    # Split like a command: C's escapes count, so a backslash of the expression is doubled.
    found = split_quoted(node.raw)
    if len(found) < 2 or not found[1].text:  # noqa: PLR2004  # keyword and expression
        raise Wrong("regex wants a regular expression", 1)
    if len(found) > 2:  # noqa: PLR2004
        raise Wrong("regex wants one word: put an expression with blanks in quotes", 2)
    values["regex"] = found[1].text


def _regex_options(found: list[str], index: int) -> tuple[str, ...]:
    word(found, index, "options of a regular expression")
    for at in range(index, len(found)):
        if found[at] not in REGEX_OPTIONS:
            raise Wrong(f"regular expressions have no option {found[at]!r}", at)
    return tuple(found[index:])


_URL = table(
    "url",
    value("path", text("a path"), "PATH"),
    value("digest", _digest, "MD5"),
    words("status_code", _status_codes, "CODE|FROM-TO …"),
    value("virtualhost", text("a host's name"), "NAME"),
    Keyword("regex", _regex, "PCRE2", note="backslashes are doubled"),
    flag("regex_no_match"),
    words("regex_options", _regex_options, "OPTION …"),
    no_effect("regex_stack", "what bounds a search here is time: one second"),
    value("regex_min_offset", number(0, INT_MAX), "0.."),
    value("regex_max_offset", number(0, INT_MAX), "0.."),
    value("tls_compliant", boolean, "[BOOL]"),
)

_OF_REGEX = ("regex_no_match", "regex_options", "regex_min_offset")


def _url(reading: Reading, node: Node, values: Values) -> None:
    found = read_block(reading, node, _URL, {})
    if "path" not in found:
        raise Wrong("url has no path")
    if "regex" not in found:
        for name in (*_OF_REGEX, "regex_max_offset"):
            if found.pop(name, None) is not None:
                reading.findings.remark(node.place(), f"{name} has no effect without regex")
    most = found.get("regex_max_offset", 0)
    if most and found.get("regex_min_offset", 0) >= most:
        raise Wrong("regex_min_offset is not below regex_max_offset")
    # As in keepalived: a digest or a regex does not make other answers good.
    found.setdefault("status_codes", found.pop("status_code", ((200, 299),)))
    values["urls"] = (*values.get("urls", ()), Url(**found))


_HTTP_KEYWORDS = (
    *_CONNECTING,
    value("nb_get_retry", number(0, UINT_MAX), "0..", into="retry", note="as `retry`"),
    Keyword("url", _url, block=True),
    value("virtualhost", text("a host's name"), "NAME"),
    value(
        "http_protocol",
        choice({each.value: each for each in HttpProtocol}, any_case=True),
        "1.0|1.0C|1.1|1.0k|1.1k",
        into="protocol",
    ),
    flag("enable_sni"),
    value("sni_name", text("a host's name"), "NAME"),
    no_effect("fast_recovery", "every check asks all urls, one after the other at once"),
    value("tls_compliant", boolean, "[BOOL]"),
)

_HTTP = table("HTTP_GET, SSL_GET", *_HTTP_KEYWORDS)


def _http(tls: bool) -> Callable[[Reading, Node, Values], AnyCheck]:  # noqa: FBT001
    def make(reading: Reading, node: Node, found: Values) -> AnyCheck:
        urls: tuple[Url, ...] = found.get("urls", ())
        if not urls:
            raise Wrong(f"{node.words[0]} has no url")
        if found.pop("tls_compliant", False):
            found["urls"] = tuple(Url(**{**_fields(url), "tls_compliant": True}) for url in urls)
        if not tls:
            for name in ("enable_sni", "sni_name"):
                if found.pop(name, None):
                    reading.findings.remark(node.place(), f"{name} has no effect in HTTP_GET")
        return HttpCheck(tls=tls, **found)

    return make


def _fields(url: Url) -> Values:
    return {name: getattr(url, name) for name in url.__struct_fields__}


# ---- SMTP_CHECK

_HOST = table("host (SMTP_CHECK)", *_CONNECTION)


def _host(reading: Reading, node: Node, values: Values) -> None:
    found = read_block(reading, node, _HOST, {})
    values["hosts"] = (*values.get("hosts", ()), SmtpHost(**found))


_SMTP = table(
    "SMTP_CHECK",
    *_CONNECTING,
    value("helo_name", text("a name"), "NAME"),
    Keyword("host", _host, note="one more address to check", block=True),
)

# ---- DNS_CHECK, TCP_CHECK, PING_CHECK, UDP_CHECK

_DNS_TYPES = {name: name for name in ("A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA")}

_DNS = table(
    "DNS_CHECK",
    *_CONNECTING,
    value("type", choice(_DNS_TYPES, any_case=True), "A|NS|CNAME|SOA|MX|TXT|AAAA"),
    value("name", text("a domain name"), "NAME"),
)
_TCP = table(
    "TCP_CHECK",
    *_CONNECTING,
    value("nb_sock_retry", number(0, UINT_MAX), "0..", into="retry", note="of a fork, as `retry`"),
)
_PING = table("PING_CHECK", *_CONNECTING)

_HEX = re.compile(r"[0-9A-Fa-f]")


def octets(found: list[str], index: int) -> bytes:
    """Hexadecimal digits as keepalived reads them: in pairs, a last single one is an octet."""
    word(found, index, "hexadecimal digits")
    data = bytearray()
    for at in range(index, len(found)):
        for start in range(0, len(found[at]), 2):
            pair = found[at][start : start + 2]
            if not all(map(_HEX.fullmatch, pair)):
                raise Wrong(f"{found[at]!r} is not in hexadecimal digits", at)
            data.append(int(pair, 16))
    return bytes(data)


def _require_reply(_reading: Reading, node: Node, values: Values) -> None:
    values["require_reply"] = True
    if len(node.words) > 1:
        digits = [word_.upper() for word_ in node.words]
        values["reply"] = octets([each.replace("X", "0") for each in digits], 1)
        # Digits that count are F in the mask, those that may be any (X) are 0.
        mask = octets([re.sub("[0-9A-F]", "F", each).replace("X", "0") for each in digits], 1)
        # Of a single digit the upper half counts as 0, so it is looked at.
        halves = (part for each in digits[1:] for part in re.findall("..?", each))
        mask = bytes(
            bits if len(part) > 1 else bits | 0xF0 for bits, part in zip(mask, halves, strict=True)
        )
        values["reply_mask"] = b"" if mask == b"\xff" * len(mask) else mask


_UDP = table(
    "UDP_CHECK",
    *_CONNECTING,
    words("payload", octets, "hexadecimal digits"),
    Keyword("require_reply", _require_reply, "[hexadecimal digits, X: any]"),
    value("min_reply_length", number(0, LENGTH_MAX), f"0..{LENGTH_MAX}"),
    value("max_reply_length", number(0, LENGTH_MAX), f"0..{LENGTH_MAX}"),
)


def _udp(_reading: Reading, node: Node, found: Values) -> AnyCheck:
    found.setdefault("min_reply_length", 0)
    if found["min_reply_length"] > found.get("max_reply_length", 255):
        raise Wrong(f"{node.words[0]}: min_reply_length is above max_reply_length")
    return UdpCheck(**found)


# ---- MISC_CHECK


def _misc_path(reading: Reading, node: Node, values: Values) -> None:
    values["command"] = command(node, user=False)
    warn_of_shell(reading, node, values["command"])


_MISC = table(
    "MISC_CHECK",
    *_TIMES,
    Keyword("misc_path", _misc_path, "COMMAND"),
    value("misc_timeout", timer(), "seconds", into="timeout", note="0 or nothing: delay_loop"),
    flag("misc_dynamic", into="dynamic"),
    words("user", user_and_group, "USER [GROUP]"),
)


def _misc(_reading: Reading, node: Node, found: Values) -> AnyCheck:
    made: Command | None = found.get("command")
    if made is None:
        raise Wrong(f"{node.words[0]} has no misc_path")
    user, group = found.pop("user", ("", ""))
    if user:
        found["command"] = Command(made.argv, user, group)
    return MiscCheck(**found)


# ---- FILE_CHECK, BFD_CHECK


def _file_weight(_reading: Reading, node: Node, values: Values) -> None:
    values["weight"] = number(-INT_MAX, INT_MAX)(node.words, 1)
    for index, each in enumerate(node.words[2:], 2):
        if each not in ("reverse", "noreverse"):
            raise Wrong(f"after a weight comes reverse or noreverse, not {each!r}", index)
        values["reverse"] = each == "reverse"


_FILE = table(
    "FILE_CHECK",
    value("track_file", text("the name of a track_file"), "NAME"),
    Keyword("weight", _file_weight, f"{-INT_MAX}..{INT_MAX} [reverse]"),
    no_effect("dynamic", "the file's value always changes the weight"),
)


def _file(reading: Reading, node: Node, found: Values) -> AnyCheck:
    if "track_file" not in found:
        raise Wrong(f"{node.words[0]} has no track_file")
    reading.refer("track_file", found["track_file"], node.place(), node.words[0])
    return FileCheck(**found)


_BFD = table(
    "BFD_CHECK",
    value("name", text("the name of a bfd_instance"), "NAME"),
    value("alpha", boolean, "[BOOL]"),
)


def _bfd(reading: Reading, node: Node, found: Values) -> AnyCheck:
    if "name" not in found:
        raise Wrong(f"{node.words[0]} has no name")
    reading.refer("bfd_instance", found["name"], node.place(), node.words[0])
    return BfdCheck(**found)


# ---- all of them

Kind = tuple[Table, Callable[[Reading, Node, Values], AnyCheck], int, float | None]
"""Keywords, what makes the checker, its ``retry`` and ``delay_before_retry`` (None: delay_loop)."""

KINDS: dict[str, Kind] = {
    "TCP_CHECK": (_TCP, lambda _r, _n, found: TcpCheck(**found), RETRY, DELAY_BEFORE_RETRY),
    "HTTP_GET": (_HTTP, _http(tls=False), RETRY, 3.0),
    "SSL_GET": (_HTTP, _http(tls=True), RETRY, 3.0),
    "SMTP_CHECK": (_SMTP, lambda _r, _n, found: SmtpCheck(**found), RETRY, DELAY_BEFORE_RETRY),
    "DNS_CHECK": (_DNS, lambda _r, _n, found: DnsCheck(**found), 3, None),
    "PING_CHECK": (_PING, lambda _r, _n, found: PingCheck(**found), RETRY, DELAY_BEFORE_RETRY),
    "UDP_CHECK": (_UDP, _udp, RETRY, DELAY_BEFORE_RETRY),
    "MISC_CHECK": (_MISC, _misc, 0, DELAY_BEFORE_RETRY),
    "FILE_CHECK": (_FILE, _file, RETRY, DELAY_BEFORE_RETRY),
    "BFD_CHECK": (_BFD, _bfd, RETRY, DELAY_BEFORE_RETRY),
}

WITH_PORT = frozenset(("TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK"))
"""Checkers that connect to a port."""

Pending = tuple[Node, Values]
"""A checker's block, and what it says itself."""


def read_checker(reading: Reading, node: Node, values: Values) -> None:
    """``TCP_CHECK {…}`` and the others, in a real server."""
    found = read_block(reading, node, KINDS[node.words[0]][0], {})
    values.setdefault("checks", []).append((node, found))


def made_check(reading: Reading, pending: Pending, server: Values, service: Values) -> AnyCheck:
    """The checker with all values filled in. Raises Wrong.

    ``server`` and ``service``: what the real and the virtual server say.
    """
    node, found = pending
    kind = node.words[0]
    _, make, retry, delay_before_retry = KINDS[kind]
    if kind != "FILE_CHECK":
        inherited = server.get("alpha", service.get("alpha", False))
        found.setdefault("alpha", inherited)
    if kind not in ("FILE_CHECK", "BFD_CHECK"):
        # Written out, for there may be forty thousand of them.
        get_server, get_service = server.get, service.get
        if "delay_loop" not in found:
            found["delay_loop"] = get_server("delay_loop", get_service("delay_loop", DELAY_LOOP))
        if "retry" not in found:
            found["retry"] = get_server("retry", get_service("retry", retry))
        if "delay_before_retry" not in found:
            last = found["delay_loop"] if delay_before_retry is None else delay_before_retry
            found["delay_before_retry"] = get_server(
                "delay_before_retry", get_service("delay_before_retry", last)
            )
        if "warmup" not in found:
            found["warmup"] = get_server("warmup", get_service("warmup", found["delay_loop"]))
        if kind != "MISC_CHECK" and "connect_timeout" not in found:
            found["connect_timeout"] = get_server(
                "connect_timeout", get_service("connect_timeout", CONNECT_TIMEOUT)
            )
        if "log_all_failures" not in found and reading.globals.get("checker_log_all_failures"):
            found["log_all_failures"] = True
    if kind in ("HTTP_GET", "SSL_GET") and "virtualhost" not in found:
        found["virtualhost"] = server.get("virtualhost", service.get("virtualhost", ""))
    return make(reading, node, found)
