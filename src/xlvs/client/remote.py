# SPDX-License-Identifier: Apache-2.0
"""The way to a director's API on TCP: HTTPS, or HTTP to this machine itself."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from xlvs.model.problem import Code, Problem

PORT = 8443

_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


class Remote:
    """A director at a URL.

    ``authority``: a PEM file with the certificates that vouch for the director's; "": the
    system's. Raises Problem for a URL that is none, and for HTTP to other machines, where the
    token could be read on the way.
    """

    def __init__(self, url: str, token: str, authority: str = "") -> None:
        self.name = url
        try:
            found = urlsplit(url)
            port = found.port
        except ValueError as error:
            raise Problem(Code.INVALID, f"{url}: {error}") from error
        if found.scheme not in {"https", "http"} or not found.hostname or found.path.strip("/"):
            raise Problem(Code.INVALID, f"a director's URL is https://HOST:PORT, not {url!r}")
        if found.scheme == "http" and found.hostname not in _LOCAL:
            raise Problem(Code.INVALID, f"{url}: without TLS only this machine itself is asked")
        self._host = found.hostname
        self._port = port or PORT
        self._tls = None if found.scheme == "http" else _context(authority)
        self.head: Mapping[str, str] = {
            "Host": found.netloc.rpartition("@")[2],
            "Authorization": f"Bearer {token}",
        }

    def connect(self, patience: float) -> socket.socket:
        """A connection. Raises OSError."""
        channel = socket.create_connection((self._host, self._port), patience)
        if self._tls is None:
            return channel
        try:
            return self._tls.wrap_socket(channel, server_hostname=self._host)
        except BaseException:
            channel.close()
            raise


def from_environment(url: str) -> Remote:
    """With the token of the file $XLVS_TOKEN_FILE, and $XLVS_AUTHORITY. Raises Problem."""
    path = os.environ.get("XLVS_TOKEN_FILE", "")
    if not path:
        words = "XLVS_URL needs XLVS_TOKEN_FILE, a file with the token alone"
        raise Problem(Code.INTERNAL, words)
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Problem(Code.INTERNAL, f"the token of {path} cannot be read: {error}") from error
    return Remote(url, token, os.environ.get("XLVS_AUTHORITY", ""))


def _context(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority or None)
    except OSError as error:
        words = f"the certificates of {authority} cannot be read: {error}"
        raise Problem(Code.INVALID, words) from error
