# SPDX-License-Identifier: Apache-2.0
"""The parts of ``xlvs status`` that are about a configuration file and connection sync."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from xlvs.wire.following import FileView, HealthView, SyncView, VrrpView

if TYPE_CHECKING:
    from rich.console import Console

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def show(view: FileView, console: Console) -> None:
    """Print it."""
    from rich.markup import escape

    console.print(f"[bold]File[/] {escape(view.path)}, read {_ago(view.loaded)} ago")
    for each in view.vrrp:
        console.print(f"  {_vrrp(each)}", highlight=False)
    for service in view.services:
        down = [server for server in service.servers if not server.up]
        state = "[green]up[/]" if service.up else "[red]no quorum[/]"
        more = ", sorry server in" if service.sorry_server else ""
        more += ", checks stand still (ha_suspend)" if service.suspended else ""
        console.print(
            f"  {escape(service.name)}: {state}, {len(service.servers) - len(down)} of "
            f"{len(service.servers)} servers up, weight {service.weight}{more}"
        )
        for server in service.servers:
            if not server.up or server.last_failure is not None:
                console.print(f"    {_server(server)}")


def show_sync(view: SyncView, console: Console) -> None:
    """Print it."""
    from rich.markup import escape

    console.print("[bold]Connection sync[/]")
    for line in _sync(view):
        console.print(f"  {escape(line)}", highlight=False)


def _vrrp(view: VrrpView) -> str:
    return (
        f"VRRP {view.instance}: [bold]{view.state}[/] for {_ago(view.since)}, "
        f"priority {view.priority} ({view.cause})"
    )


def _server(server: HealthView) -> str:
    from rich.markup import escape

    state = "[green]up[/]" if server.up else "[red]down[/]"
    said = f"{escape(server.name)}: {state} for {_ago(server.since)}, weight {server.weight}"
    if server.last_failure is not None:
        cause = escape(server.last_failure.cause)
        said += f"; last failure {_ago(server.last_failure.at)} ago: {cause}"
    return said


def _sync(view: SyncView) -> list[str]:
    roles = [name for name, on in (("master", view.master), ("backup", view.backup)) if on]
    lines = []
    if roles:
        lines.append(f"sync by IPVS's protocol: {' and '.join(roles)}")
    for peer in view.peers:
        there = "in sync" if peer.there_in_sync else f"does not know ours ({peer.last_error})"
        here = "we know its" if peer.here_in_sync else "we do not know its"
        lines.append(f"sync with {peer.address}: {there}, {peer.there_queued} wait; {here}")
    if view.error:
        lines.append(view.error)
    if view.refused:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(view.refused.items()))
        lines.append(f"connections of others not taken: {told}")
    return lines


def _ago(since: float) -> str:
    seconds = max(int(time.time() - since), 0)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
