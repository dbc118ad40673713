# SPDX-License-Identifier: Apache-2.0
"""``xlvs status``: one look at a director, for people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from xlvs.cli.commands import following
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.model.words import host_port, service_title
from xlvs.wire.messages import DestinationView, LocalPorts, ServerPorts, ServiceView, Status

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

NO_ANSWER = 255
_NEARLY_FULL = 0.9
_PORTS_SHOWN = 10
_UNITS = ("", "K", "M", "G", "T")
_KILO = 1000
_WIDTH_WITHOUT_TERMINAL = 120
_NOT_COUNTED = "\N{EN DASH}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The same as JSON for programs."""
    add_output(parser, "everything, as the API gives it")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 all is well, 1 there are problems, 255 no answer."""
    from xlvs.client import from_environment
    from xlvs.io.paths import paths
    from xlvs.model.problem import Problem

    try:
        paths(args.instance)  # a bad name is told as such
        status = from_environment().status()
    except Problem as problem:
        print(f"xlvs status: {problem.message}", file=sys.stderr)
        return NO_ANSWER
    if wants_json(args):
        print_json(status)
        return 0
    show(status, console())
    return 1 if status.problems else 0


def console() -> Console:
    """Standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False)


def show(status: Status, console: Console) -> None:
    """Print it."""
    console.print(_head(status))
    console.print(services_table(status.services))
    if any(view.service.stateless for view in status.services):
        console.print(
            "  stateless: connections are not counted; "
            "Act/In are those remembered since servers changed"
        )
    if status.file is not None:
        following.show(status.file, console)
    if status.sync is not None:
        following.show_sync(status.sync, console)
    for part in (_refused(status), _local_ports(status), _reasons(status), _streams(status)):
        if part is not None:
            console.print(part)
    if status.problems:
        console.print("[bold red]Problems[/]")
        for problem in status.problems:
            console.print(f"  [red]•[/] {_plain(problem)}")
    else:
        console.print("[green]No problems.[/]")


def _head(status: Status) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    adopted = ", adopted a running data path" if status.adopted else ""
    table.add_row(
        "[bold]Director[/]",
        f"[bold cyan]{status.instance}[/] (xlvs {status.version}, xlvsd {status.pid}{adopted})",
    )
    for each in status.interfaces:
        state = "[green]attached[/]" if each.attached else "[bold red]not attached[/]"
        state += ", egress too" if each.egress else ""
        table.add_row(each.name, f"{each.hook} {state} [dim]{_plain(each.why)}[/]")
    connections = status.table
    full = connections.used >= connections.size * _NEARLY_FULL
    colour = "bold red" if full or connections.full else "green"
    share = 100 * connections.used / connections.size
    table.add_row(
        "Connections",
        f"[{colour}]{connections.used}[/] of {connections.size} ({share:.1f} %), "
        f"most so far {connections.high_water}; {connections.created} made, "
        f"{connections.expired} ended, {connections.full} refused",
    )
    crowded = connections.half_open >= connections.half_open_max
    colour = "yellow" if crowded or connections.evicted else "green"
    table.add_row(
        "Half-open",
        f"[{colour}]{connections.half_open}[/] of {connections.half_open_max}; "
        f"{connections.evicted} made room for others",
    )
    rates = status.rates
    table.add_row(
        "Traffic",
        f"{scaled(rates.connections)} conn/s, {scaled(rates.in_packets)} packets/s in, "
        f"{scaled(rates.out_packets)} out, {scaled(rates.in_bytes)} bytes/s in, "
        f"{scaled(rates.out_bytes)} out",
    )
    return table


def services_table(services: Sequence[ServiceView]) -> RenderableType:
    """Services and below each its destinations."""
    if not services:
        return "  no services: ipvsadm -A adds one"
    numbers = ("W", "Act/In", "Conn/s", "Pkt/s", "B/s")
    table = _table("Service", "How", right=numbers)
    for view in services:
        table.add_row(
            f"[bold cyan]{_plain(service_title(view.service))}[/]",
            _scheduler(view),
            "",
            _connections(view, *view.destinations),
            *_rates(view),
        )
        for destination in view.destinations:
            _add_destination(table, destination, _connections(view, destination))
    return table


def _connections(service: ServiceView, *destinations: DestinationView) -> str:
    """Active and inactive ones; a stateless service's are those that the table remembers."""
    active = sum(each.active for each in destinations)
    inactive = sum(each.inactive for each in destinations)
    if service.service.stateless and not active and not inactive:
        return _NOT_COUNTED
    return f"{active}/{inactive}"


def _add_destination(table: Table, view: DestinationView, connections: str) -> None:
    wanted = view.destination
    table.add_row(
        f" {_health(view.next_hop)} {_plain(host_port(wanted.key.address, wanted.key.port))}",
        wanted.method.value,
        str(wanted.weight) if wanted.weight else "[yellow]0[/]",
        connections,
        *_rates(view),
    )


def _health(next_hop: str) -> str:
    """Whether packets can be sent there; the problems say why not."""
    return "[bold red]✗[/]" if next_hop.startswith("unresolved") else "[green]✓[/]"


def _scheduler(view: ServiceView) -> str:
    service = view.service
    extra = f" {service.persistence_timeout} s" if service.persistence_timeout else ""
    extra += " ops" if service.one_packet else ""
    extra += " stateless" if service.stateless else ""
    extra += " toa" if service.toa else ""
    extra += f" proxy {service.proxy_protocol.value}" if service.proxy_protocol else ""
    extra += _syn_proxy(view)
    words = service.scheduler + extra
    return f"[yellow]{words} (!)[/]" if view.remarks else words


def _syn_proxy(view: ServiceView) -> str:
    """With what clients are promised in the servers' name."""
    promise = view.syn_promise
    if promise is None:
        return ""
    words = [f"mss {promise.mss}"]
    if promise.window_scale is not None:
        words.append(f"wscale {promise.window_scale}")
    words += ["sack"] if promise.sack else []
    words += ["timestamps"] if promise.timestamps else []
    return f" syn-proxy {view.service.syn_proxy.mode.value} ({', '.join(words)})"


def _rates(view: ServiceView | DestinationView) -> tuple[str, str, str]:
    """Connections, packets in and out, bytes in and out."""
    rates = view.rates
    return (
        scaled(rates.connections),
        f"{scaled(rates.in_packets)}/{scaled(rates.out_packets)}",
        f"{scaled(rates.in_bytes)}/{scaled(rates.out_bytes)}",
    )


def _refused(status: Status) -> RenderableType | None:
    """New connections that lists and limits refused, of services that have some."""
    guarded = [view for view in status.services if view.refused is not None]
    if not guarded:
        return None
    table = _table("Lists and limits", "Refused new connections", right=("Counted",))
    for view in guarded:
        words = (f"{name} {count}" for name, count in (view.refused or {}).items() if count)
        refused = _plain(", ".join(words)) or "none"
        table.add_row(_plain(service_title(view.service)), refused, str(view.counted))
    return table


def _local_ports(status: Status) -> RenderableType | None:
    """The fullest ones."""
    if not status.local_ports:
        return None
    table = ports_table(status.local_ports[:_PORTS_SHOWN])
    more = len(status.local_ports) - _PORTS_SHOWN
    if more > 0:
        table.add_row(f"[dim]{more} more, less full: xlvs local-ports[/]", "", "", "", "")
    return table


def ports_table(ports: Iterable[LocalPorts]) -> Table:
    """Each local address towards each real server."""
    table = _table("Local address", "Real server", right=("Used", "Free", "Refused"))
    for each in ports:
        refused = f"[bold red]{each.exhausted}[/]" if each.exhausted else "0"
        server = f"{each.protocol.value} {host_port(each.destination, each.destination_port)}"
        free = "[dim]retired[/]" if each.retired else str(each.free)
        table.add_row(str(each.local), _plain(server), str(each.used), free, refused)
    return table


def server_ports_table(servers: Iterable[ServerPorts]) -> Table:
    """All local addresses of a service towards each real server together."""
    table = _table("Real server", right=("Local addresses", "Used", "Free", "Taken", "Refused"))
    for each in servers:
        refused = f"[bold red]{each.exhausted}[/]" if each.exhausted else "0"
        server = f"{each.protocol.value} {host_port(each.destination, each.destination_port)}"
        table.add_row(
            _plain(server),
            str(len(each.local_addresses)),
            str(each.used),
            str(each.free),
            f"{100 * each.used / (each.used + each.free):.1f} %",
            refused,
        )
    return table


def _reasons(status: Status) -> RenderableType | None:
    if not status.reasons:
        return None
    table = _table("What became of packets", right=("Packets", "Bytes"))
    ordered = sorted(status.reasons.items(), key=lambda item: -item[1]["packets"])
    for name, counted in ordered:
        kind = name.split("_")[0]
        colour = {"drop": "red", "reply": "yellow", "fwd": "green"}.get(kind, "dim")
        table.add_row(f"[{colour}]{name}[/]", scaled(counted["packets"]), scaled(counted["bytes"]))
    return table


_MISSED = ("toa_no_room", "toa_mtu", "toa_gso")
"""What keeps a real server from learning who the client is."""


def _streams(status: Status) -> RenderableType | None:
    counted = {name: packets for name, packets in status.streams.items() if packets}
    if not counted:
        return None
    table = _table("Client's address", right=("Packets",))
    for name, packets in counted.items():
        table.add_row(f"[yellow]{name}[/]" if name in _MISSED else name, scaled(packets))
    return table


def _table(*left: str, right: tuple[str, ...]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def scaled(number: int) -> str:
    """At most four digits and a unit: 950, 12.3K, 4.5G."""
    value = float(number)
    for unit in _UNITS:
        if value < _KILO or unit == _UNITS[-1]:
            break
        value /= _KILO
    return f"{number}" if not unit else f"{value:.1f}{unit}"


def _plain(text: str) -> str:
    """Text that is not rich's markup."""
    return text.replace("[", "\\[")
