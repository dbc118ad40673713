# SPDX-License-Identifier: Apache-2.0
"""How long one probe may take as a whole."""

from __future__ import annotations

from xlvs.model.checker import AnyCheck, HttpCheck, MiscCheck, SmtpCheck


def patience(check: AnyCheck, connect_timeout: float, delay_loop: float) -> float:
    """Seconds. ``connect_timeout`` counts for each url and host.

    keepalived lets it count anew for every step of a conversation, so its probes may take
    several times as long.
    """
    match check:
        case HttpCheck():
            return connect_timeout * max(1, len(check.urls))
        case SmtpCheck():
            return connect_timeout * max(1, len(check.hosts))
        case MiscCheck():
            return check.timeout or check.command.timeout or delay_loop
    return connect_timeout
