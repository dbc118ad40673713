# SPDX-License-Identifier: Apache-2.0
"""Labels of services and real servers as text; nothing in them needs a backslash."""

from __future__ import annotations

from functools import lru_cache

from xlvs.model.service import DestinationKey, Family, Protocol, ServiceKey
from xlvs.model.words import host_port, key_title

_REMEMBERED = 1 << 14
"""Real servers whose spelling is remembered: the same ones serve many services."""

_host_port = lru_cache(_REMEMBERED)(host_port)
_text = lru_cache(_REMEMBERED)(str)


def of_service(key: ServiceKey) -> str:
    """``tcp 10.0.0.1:80``, ``fwm 7``; unlike a title, it tells a mark's families apart."""
    title = key_title(key)
    mark6 = key.protocol is Protocol.FWM and key.family is Family.INET6
    return f'service="{title} {key.family}"' if mark6 else f'service="{title}"'


def of_server(service: str, key: DestinationKey) -> str:
    """A service's labels, and ``10.2.0.11:80``."""
    return f'{service},destination="{_host_port(key.address, key.port)}"'


def of_local(key: ServiceKey) -> str:
    """node_exporter's, of a service: a mark as /proc/net/ip_vs has it, in hexadecimal."""
    marked = key.protocol is Protocol.FWM
    address, mark = ("", f"{key.fwmark:08X}") if marked else (key.address, "")
    return (
        f'local_address="{address}",local_port="{key.port}",'
        f'proto="{key.protocol.upper()}",local_mark="{mark}"'
    )


def of_backend(local: str, key: DestinationKey) -> str:
    """node_exporter's, of a real server of a service."""
    return f'{local},remote_address="{_text(key.address)}",remote_port="{key.port}"'
