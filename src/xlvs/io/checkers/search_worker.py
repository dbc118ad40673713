# SPDX-License-Identifier: Apache-2.0
"""The process that searches for regexes: some take for ever, and only a process can be ended."""

from __future__ import annotations

import socket
import struct

import msgspec

from xlvs.protocols.checks.regex import Search, found

HEAD = struct.Struct("!II")


def main() -> None:
    """Answer requests on standard input, a socket, until it is closed."""
    with socket.socket(fileno=0) as channel, channel.makefile("rb") as requests:
        while head := requests.read(HEAD.size):
            search_length, body_length = HEAD.unpack(head)
            search = msgspec.json.decode(requests.read(search_length), type=Search)
            body = requests.read(body_length)
            channel.sendall(b"\1" if found(search, body) else b"\0")


if __name__ == "__main__":
    main()
