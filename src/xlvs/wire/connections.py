# SPDX-License-Identifier: Apache-2.0
"""The JSON of the connection table: what is asked of it, and what comes back.

``GET  /v1/connections``        ConnectionFilterText -> one ConnectionView per line, streamed
``GET  /v1/connections/page``   PageQuery -> ConnectionPage
``GET  /v1/connections/count``  CountQuery -> ConnectionCount
``POST /v1/connections/close``  CloseRequest -> CloseResult
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from xlvs.wire.messages import ConnectionView

PAGE_MAX = 1000
CLOSE_MAX = 1_000_000


class ConnectionFilterText(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Which connections; all that is said has to fit, "" is anything.

    ``service``: ``tcp/10.0.0.1:80``, ``udp/[fd00::1]:53``, ``fwm/7`` or ``fwm6/7``.
    ``destination``, ``client``, ``virtual``: ``10.0.0.1``, ``10.0.0.0/8``, ``10.0.0.1:80``,
    ``[fd00::1]:80`` or ``:80``. ``protocol``, ``state``, ``method``: words as of ConnectionView,
    several with commas between. A filter by states leaves templates out.
    """

    service: str = ""
    destination: str = ""
    client: str = ""
    virtual: str = ""
    protocol: str = ""
    state: str = ""
    method: str = ""
    templates: Literal["with", "without", "only"] = "with"


class PageQuery(ConnectionFilterText, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which connections, and how many of them. ``after``: what the page before said in ``next``."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100
    after: str = ""


class ConnectionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some connections. ``next``: where to go on, null at the end of the table.

    A page may have fewer than were asked for, or none, and still not be the last. Who lives from
    the first page to the last is in exactly one; who comes or goes meanwhile may be in one.
    """

    connections: list[ConnectionView]
    next: str | None = None


class CountQuery(ConnectionFilterText, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which connections, and by what they are counted besides: who has most of them."""

    by: Literal["", "client", "service", "destination"] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 10


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Connections of one client, service or destination."""

    name: str
    connections: int


class ConnectionCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many connections. ``top``: those with most, if that was asked.

    ``inexact``: so much too low may a number of ``top`` be, for there were too many clients to
    count each; 0 where all is exact.
    """

    connections: int
    top: list[Share] = []
    inexact: int = 0


class CloseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End connections, at most ``limit``.

    ``reset``: both ends of TCP get a reset when they send something within two minutes; until then
    the connection is in the state CLOSE. Without it, and of all other protocols, it ends at once
    and nobody is told.
    """

    filter: ConnectionFilterText
    limit: Annotated[int, msgspec.Meta(ge=1, le=CLOSE_MAX)] = PAGE_MAX
    reset: bool = True


class CloseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of them.

    ``reset``: their ends are told when they send something; ``ended``: they are not there any
    more; ``gone``: they had ended already; ``contended``: packets kept changing them, ask again.
    ``more``: there are others beyond the limit.
    """

    reset: int = 0
    ended: int = 0
    gone: int = 0
    contended: int = 0
    more: bool = False
