# SPDX-License-Identifier: Apache-2.0
"""The requests of HTTP_GET and SSL_GET (RFC 9112)."""

from __future__ import annotations

from ipaddress import IPv6Address

from xlvs.model.checker import HttpCheck, HttpProtocol, Url
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address

# Servers' access logs are filtered by this name; a migration should not fill them.
USER_AGENT = "KeepAliveClient"

_VERSION = {
    HttpProtocol.HTTP_1_0: "1.0",
    HttpProtocol.HTTP_1_0_CLOSE: "1.0",
    HttpProtocol.HTTP_1_0_KEEP: "1.0",
    HttpProtocol.HTTP_1_1: "1.1",
    HttpProtocol.HTTP_1_1_KEEP: "1.1",
}
_CONNECTION = {
    HttpProtocol.HTTP_1_0: "",
    HttpProtocol.HTTP_1_0_CLOSE: "close",
    HttpProtocol.HTTP_1_1: "close",
    HttpProtocol.HTTP_1_0_KEEP: "keep-alive",
    HttpProtocol.HTTP_1_1_KEEP: "keep-alive",
}


def keeps(check: HttpCheck) -> bool:
    """Whether the connection is to be used for the next url too."""
    return _CONNECTION[check.protocol] == "keep-alive"


def host(address: Address, port: int) -> str:
    """What the Host line says where no virtualhost is given."""
    if isinstance(address, IPv6Address):
        return f"[{str(address).partition('%')[0]}]:{port}"
    return f"{address}:{port}"


def virtualhost(check: HttpCheck, url: Url, default: str) -> str:
    """The virtualhost that counts: url's, checker's, else ``default`` (real, virtual server's)."""
    return url.virtualhost or check.virtualhost or default


def server_name(check: HttpCheck, url: Url, default: str) -> str:
    """What TLS is told of whom is wanted (SNI); "": nothing."""
    if not check.enable_sni:
        return ""
    return check.sni_name or virtualhost(check, url, default)


def request(check: HttpCheck, url: Url, host_line: str) -> bytes:
    """The bytes to send for one url."""
    lines = [
        f"GET {url.path} HTTP/{_VERSION[check.protocol]}",
        f"User-Agent: {USER_AGENT}",
        f"Host: {host_line}",
    ]
    if _CONNECTION[check.protocol]:
        lines.append(f"Connection: {_CONNECTION[check.protocol]}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def verify(check: HttpCheck) -> None:
    """Raise Problem if a request would not be one."""
    if not check.urls:
        raise Problem(Code.INVALID, "HTTP_GET needs a url", "url")
    for word in (check.virtualhost, check.sni_name):
        _verify_word(word, "virtualhost")
    for url in check.urls:
        _verify_word(url.path, "path")
        _verify_word(url.virtualhost, "virtualhost")
        if not url.path:
            raise Problem(Code.INVALID, "the path is empty", "path")


def _verify_word(word: str, where: str) -> None:
    if any(c <= " " or c == "\x7f" for c in word):
        raise Problem(Code.INVALID, f"{where} {word!r} has blanks or control characters", where)
