# SPDX-License-Identifier: Apache-2.0
"""A connection that conversations are held over, plain or in TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from ipaddress import ip_address

from xlvs.protocols.checks.outcome import Wrong

_PIECE = 65536


def tls_context(
    certificate: str = "", key: str = "", password: str = "", ca: str = ""
) -> ssl.SSLContext:
    """For SSL_GET: like keepalived, it does not ask who the server is.

    ``certificate``, ``key`` (PEM files), ``password``: what is shown to a server that asks who
    we are; ``ca``: those who signed it, which go with it. Raises OSError (ssl.SSLError).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
    if certificate:
        context.load_cert_chain(certificate, key or None, password or None)
    return context


class Channel:
    """Takes over a connected socket that does not block."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._tls: ssl.SSLObject | None = None
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._ended = False
        self.clean_end = True
        """Whether the end was announced (TLS: by close_notify)."""

    def close(self) -> None:
        """Close without waiting for anything."""
        self._sock.close()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Shake hands. Raises Wrong, OSError."""
        name = server_name if server_name and not _is_address(server_name) else None
        try:
            self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        except ValueError as error:  # a name that IDNA cannot spell
            raise Wrong(f"SNI {server_name!r}: {error}") from None
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if self._ended:
                    raise Wrong("the connection was closed during the TLS handshake") from None
                await self._fill()
            except ssl.SSLError as error:
                await self._flush()  # the alert
                raise Wrong(f"TLS handshake failed: {_reason(error)}") from None
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        if self._tls is None:
            await self._loop.sock_sendall(self._sock, data)
            return
        self._tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        """What comes next, b"" at the end. Raises Wrong, OSError."""
        if self._tls is None:
            return await self._loop.sock_recv(self._sock, _PIECE)
        while True:
            try:
                return self._tls.read(_PIECE)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                self.clean_end = False
                return b""
            except ssl.SSLError as error:
                raise Wrong(f"TLS: {_reason(error)}") from None

    async def _fill(self) -> None:
        data = await self._loop.sock_recv(self._sock, _PIECE)
        if data:
            self._in.write(data)
        else:
            self._ended = True
            self._in.write_eof()

    async def _flush(self) -> None:
        data = self._out.read()
        if data:
            await self._loop.sock_sendall(self._sock, data)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
