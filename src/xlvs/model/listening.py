# SPDX-License-Identifier: Apache-2.0
"""Where the API listens beside its Unix socket, as wanted."""

from __future__ import annotations

from typing import NamedTuple

from xlvs.model.service import Address


class Tcp(NamedTuple):
    """TCP. All but the first two are paths; ``certificate`` and ``key`` are both "" without TLS."""

    address: Address
    port: int
    token_file: str
    certificate: str = ""
    key: str = ""
