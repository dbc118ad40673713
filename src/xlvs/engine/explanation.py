# SPDX-License-Identifier: Apache-2.0
"""An Explanation in words, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xlvs.engine.reasons import sentence
from xlvs.wire.explanation import Candidate, Connection, Decision, Explanation, Layer, Template

RULES = {
    "rr": "the next server after the last choice, going round, that has a weight",
    "wrr": "the next server whose weight reaches the current weight, which falls at the end "
    "of the list",
    "lc": "the least overhead (256 x active + inactive); of equals the first, the newest",
    "wlc": "the least overhead (256 x active + inactive) per weight; of equals the first, the "
    "newest",
    "sed": "the least (active + 1) per weight; of equals the first, the newest",
    "nq": "the first without an active connection, else the least (active + 1) per weight",
    "fo": "the greatest weight; of equals the first, the newest",
    "ovf": "the greatest weight among those with no more active connections than weight",
    "mh": "the client's hash chooses a slot, the slot the server",
    "sh": "the client's address chooses a slot, the slot the server",
    "dh": "the virtual address chooses a slot, the slot the server",
    "lblc": "the server that the virtual address had, unless it is overloaded; then as wlc",
    "lblcr": "the best of the servers that the virtual address had, unless it is overloaded; "
    "then as wlc",
    "twos": "two drawn by weight, of them the one with less overhead per weight",
    "none": "this scheduler is not known to the data path",
}

_ROLES = {
    "virtual": "is a virtual address",
    "local": "is a local address (FULLNAT)",
    "stateless": "is of a stateless service",
    "server": "may be a real server",
}
_METHODS = {
    "nat": "NAT: addresses and ports are translated",
    "dr": "DR: only the frame's MAC addresses change",
    "tun": "TUN: the packet goes into a tunnel",
    "fullnat": "FULLNAT: both addresses and ports are translated",
}
_INDENT = "  "
_WIDTH = 12


class Section(NamedTuple):
    """A title and the lines beside it."""

    title: str
    lines: list[str]


def text(explanation: Explanation) -> str:
    """All of it, for a terminal."""
    lines = [explanation.packet.title]
    lines += [f"{_INDENT}{words}" for words in explanation.packet.chosen]
    for title, beside in sections(explanation):
        for number, line in enumerate(beside):
            head = title if not number else ""
            lines.append(f"{_INDENT}{head:{_WIDTH}} {line}".rstrip())
    return "\n".join(lines)


def sections(e: Explanation) -> list[Section]:
    """What happens, in its order; nothing is said of steps that are not reached."""
    found = [
        Section("addresses", _addresses(e)),
        Section("mark", _mark(e)),
        Section("connection", _known(e)),
        Section("service", _service(e)),
        Section("persistence", _persistence(e.template, e.persistence)),
        Section("scheduler", _decision(e.decision) if e.decision else []),
        Section("ends", [f"{_connection(each)} would end" for each in e.ended]),
        Section("opens", _opened(e)),
        Section("forwarding", _forwarding(e)),
        Section("rewrite", list(rewrite(e.packet.frame, e.frame))),
        Section("leaves", _leaves(e)),
        Section("changes", e.changes),
        Section("but", e.remarks),
        Section("outcome", [f"{sentence(e.reason)} ({e.reason})"]),
    ]
    return [section for section in found if section.lines]


def _addresses(e: Explanation) -> list[str]:
    source, destination = _ends(e.packet.frame)
    lines = []
    for role in e.roles:
        whose = source if role == "server" else destination
        lines.append(f"{whose} {_ROLES.get(role, role)}")
    if e.roles or e.reason in {"pass_disabled", "pass_not_ip", "pass_malformed"}:
        return lines
    return [f"neither {source} nor {destination} is an address of a service"]


def _is_error(frame: Sequence[Layer]) -> bool:
    return any(layer.name == "icmp" for layer in frame)


def _ends(frame: Sequence[Layer]) -> tuple[str, str]:
    """Source and destination; of an error those of an answer to what it quotes."""
    for layer in frame:
        if layer.name in {"quoted ipv4", "quoted ipv6"}:
            return layer.fields["destination"], layer.fields["source"]
    for layer in frame:
        if layer.name in {"ipv4", "ipv6"}:
            return layer.fields["source"], layer.fields["destination"]
    return "the source", "the destination"


def _mark(e: Explanation) -> list[str]:
    if e.mark is None:
        return []
    if not e.marked_by:
        return [f"{e.mark} (0x{e.mark:x}), as it came: no rule of xlvs mark is for it"]
    rules = ", ".join(map(str, e.marked_by))
    return [f"{e.mark} (0x{e.mark:x}), by xlvs mark's rules {rules}"]


def _known(e: Explanation) -> list[str]:
    if e.known is None:
        return ["none is known"] if e.service and not e.stateless else []
    lines = [f"known: {_connection(e.known)}"]
    if e.reply:
        lines.append(
            "the error is about a packet that its server got"
            if _is_error(e.packet.frame)
            else "the packet is its server's answer"
        )
    if e.after is not None and e.after.state != e.known.state:
        lines.append(f"becomes {e.after.state}, for {_seconds(e.after.expires)}")
    elif e.after is not None:
        lines.append(f"stays {e.after.state}, for {_seconds(e.after.expires)} from now")
    gained = set(e.known.flags) - set(e.after.flags) if e.after else set()
    if "half-open" in gained:
        lines.append("its client has proved itself: no longer half-open")
    return lines


def _connection(c: Connection) -> str:
    flags = f", {', '.join(c.flags)}" if c.flags else ""
    local = f" from {c.local}" if c.local else ""
    return (
        f"{c.protocol} {c.client} > {c.virtual} at {c.server} by {c.method}{local}, "
        f"{c.state}, {_seconds(c.expires)} left{flags}"
    )


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 1 or value <= -1 else f"{value:.1f} s"


def _service(e: Explanation) -> list[str]:
    if not e.service:
        return []
    how = {"mark": ", by the packet's mark", "other port": ", which has all ports"}
    lines = [e.service + how.get(e.service_found, "")]
    if e.stateless:
        lines.append(f"stateless: {e.stateless}")
    return lines


def _persistence(template: Template | None, timeout: float) -> list[str]:
    if template is None:
        return [f"{_seconds(timeout)}"] if timeout else []
    entry = template.entry
    server = entry.server if entry else "a server"
    said = {
        "found": f"{template.client} has a template: {server}",
        "none": f"{template.client} has no template",
        "over": f"the time of {template.client}'s template is over",
        "abandoned": f"{template.client}'s template is abandoned: its server takes no more "
        "connections",
    }
    lines = [said.get(template.found, template.found)]
    if template.found == "found" and entry is not None:
        lines.append(
            f"its time runs anew, {_seconds(timeout)}; connections under it: {template.connections}"
        )
    elif entry is not None:
        lines.append(f"one would be made: {server} for {_seconds(timeout)}")
    return lines


def _decision(d: Decision) -> list[str]:
    lines = [f"{d.scheduler}: {RULES.get(d.scheduler, d.scheduler)}"]
    if d.cursor is not None:
        lines.append(f"cursor: {_position(d.cursor[0])} before, {_position(d.cursor[1])} after")
    if d.current_weight is not None:
        before, after = d.current_weight
        lines.append(f"current weight: {before} before, {after} after")
    if d.draws is not None:
        lines.append(f"drawn: tickets {d.draws[0]} and {d.draws[1]}")
    if d.remembered:
        lines.append(f"the virtual address had {d.remembered}")
    elif not d.servers and not d.slots:
        lines.append("the service has no server")
    lines += _table(d.candidates)
    more = d.looked - len(d.candidates)
    if more > 0:
        lines.append(f"… {d.looked} looks at {d.servers} servers, not all are shown")
    lines.append(f"chosen: {d.chosen}" if d.chosen else "no server is fit")
    return lines


def _position(cursor: int | None) -> str:
    return "at the head of the list" if cursor is None else f"position {cursor}"


def _table(candidates: Sequence[Candidate]) -> list[str]:
    width = max((len(each.server) for each in candidates), default=0)
    return [_candidate(each, width) for each in candidates]


def _candidate(c: Candidate, width: int) -> str:
    where = f"slot {c.slot}" if c.slot is not None else f"[{c.position}]"
    words = f"weight {c.weight}, active {c.active}, inactive {c.inactive}"
    if c.overhead is not None:
        words += f", compared {c.overhead} / {c.weight}"
    if c.unfit:
        words += f": not fit, {c.unfit}"
    return f"{'>' if c.chosen else ' '} {where} {c.server:{width}}  {words}"


def _opened(e: Explanation) -> list[str]:
    if e.opened is None:
        return []
    for_one = " for this packet only" if "ops" in e.opened.flags else ""
    return [f"{_connection(e.opened)}{for_one}"]


def _forwarding(e: Explanation) -> list[str]:
    if not e.server or e.verdict == "drop":
        return []
    if e.on_director:
        return [f"{e.server} is on the director itself"]
    if e.reply:
        return [f"{e.method.upper()}: back in the virtual address's name"]
    return [f"to {e.server} by {_METHODS.get(e.method, e.method)}"]


def rewrite(before: Sequence[Layer], after: Sequence[Layer]) -> Iterator[str]:
    """What differs between two frames, a line for each header."""
    if not after:
        return
    new = list(after)
    old = list(before)
    if _is_error(new) and not _is_error(old):
        yield "an ICMP error takes its place:"
        for layer in new[1:3]:
            yield f"  {layer.name} {_fields(layer)}"
        return
    added = len(new) - len(old)
    if added > 0:
        for layer in new[1 : 1 + added]:
            yield f"a header in front: {layer.name} {_fields(layer)}"
        new[1 : 1 + added] = []
    for was, now in zip(old, new, strict=False):
        yield from _differences(was, now)


def _differences(was: Layer, now: Layer) -> Iterator[str]:
    keys = [*was.fields, *(key for key in now.fields if key not in was.fields)]
    changed = [
        f"{key} {was.fields.get(key, 'none')} to {now.fields.get(key, 'none')}"
        for key in keys
        if was.fields.get(key) != now.fields.get(key)
    ]
    if changed:
        yield f"{now.name}: {', '.join(changed)}"


def _fields(layer: Layer) -> str:
    return ", ".join(f"{key} {value}" for key, value in layer.fields.items())


def _leaves(e: Explanation) -> list[str]:
    return [f"by {e.out} to {e.next_hop}"] if e.out else []
