# SPDX-License-Identifier: Apache-2.0
"""Tell the service manager how it goes (sd_notify's datagrams)."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Send one message, such as ``READY=1``; nothing happens without a service manager."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(message.encode(), address)
        except OSError:
            return  # the manager is gone; there is nobody to tell
