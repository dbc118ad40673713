# SPDX-License-Identifier: Apache-2.0
"""From a run's bytes to what it means: pure, and without a sentence (xlvs.engine.explanation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from xlvs.datapath import records
from xlvs.datapath.addresses import AF_INET, text
from xlvs.datapath.explain import frame as frames
from xlvs.datapath.explain.trial import Copy, Note, TemplateFound, Trial
from xlvs.datapath.layout import Layout
from xlvs.datapath.records import (
    AddressRole,
    ConnectionFlag,
    DestinationFlag,
    Scheduler,
    ServiceFlag,
    State,
    Transport,
)
from xlvs.wire.explanation import (
    Candidate,
    Connection,
    Decision,
    Explanation,
    Packet,
    Template,
)

R = TypeVar("R", bound=tuple[Any, ...])

_TICKS = 1 << 32
_METHODS = {0: "nat", 1: "dr", 2: "tun", 3: "fullnat"}
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
_TRANSPORTS = {Transport.TCP: "tcp", Transport.UDP: "udp", Transport.SCTP: "sctp"}
_ROUND = (Scheduler.RR, Scheduler.WRR)
_HASHING = (Scheduler.MH, Scheduler.SH, Scheduler.DH)
_TAKEN = ConnectionFlag.LIVE | ConnectionFlag.ANSWER
_SHOWN_FLAGS = {
    ConnectionFlag.HALF_OPEN: "half-open",
    ConnectionFlag.NO_OUTPUT: "no packet of the server's seen",
    ConnectionFlag.CONTROLLED: "under a template",
    ConnectionFlag.SHADOWED: "a newer one has its server's packets",
    ConnectionFlag.SPECIAL: "its service says more about it",
}


class Door(NamedTuple):
    """What a story needs besides the run. ``read``: a live map's value; ``name``: a link's."""

    layout: Layout
    hz: int
    read: Callable[[str, int], bytes | None]
    name: Callable[[int], str]


class _Place(NamedTuple):
    """A tenant of the table; addresses of four or 16 bytes."""

    word: int
    expires: int
    destination: int
    extra_block: int
    local_port: int
    src: bytes
    dst: bytes
    sport: int
    dport: int


class Story:
    """One run's; ``tell`` makes the value."""

    def __init__(self, door: Door, trial: Trial) -> None:
        self._door = door
        self._trial = trial
        self._now = trial.number("now")

    def tell(self, packet: Packet) -> Explanation:
        """What the run says, behind what is known of the packet already."""
        trial = self._trial
        opened, ended, changed = self._table()
        known = trial.note("known")
        service = self._service()
        destination = self._destination_of(opened, known)
        found = self._destination(destination) if destination is not None else None
        mark = trial.note("mark")
        new = self._connection(opened[0][1]) if opened else self._unlisted(found)
        word = trial.number("c.word")
        return Explanation(
            packet=packet,
            roles=self._roles(),
            reason=trial.reason,
            verdict=trial.verdict,
            mark=mark.id if mark else None,
            service=self._service_title(service) if service else "",
            service_found=self._service_found(service) if service else "",
            persistence=service.persistence / self._door.hz if service else 0,
            known=self._known(known),
            reply=bool(trial.number("reply")),
            after=self._connection(changed[0]) if changed and not opened else None,
            template=self._template(service),
            decision=self._decision(service, destination),
            stateless=self._stateless(),
            opened=new,
            ended=[self._connection(each) for each in ended],
            server=self._server(destination) if destination is not None else "",
            method=_METHODS[word >> records.CONNECTION_METHOD_SHIFT & 3] if found else "",
            on_director=bool(found and word & ConnectionFlag.ON_DIRECTOR),
            out=self._out(),
            next_hop=self._next_hop(),
            frame=frames.read(trial.frame) if trial.verdict != "drop" else [],
            changes=list(self._changes()),
            remarks=list(self._remarks(service)),
        )

    # ---- records

    def _unpack(self, record: type[R], data: bytes) -> R:
        return self._door.layout.unpack(record, data)

    def _copy(self, name: str, key: int) -> Copy | None:
        copies = self._trial.copies.get(name, {})
        return next((c for k, c in copies.items() if int.from_bytes(k[:4], "little") == key), None)

    def _record(self, name: str, record: type[R], key: int) -> R | None:
        """As the packet saw it at first, else as it is."""
        copy = self._copy(name, key)
        data = (copy.was if copy else None) or self._door.read(name, key)
        return self._unpack(record, data) if data else None

    def _destination(self, id_: int) -> records.Destination | None:
        return self._record("destinations", records.Destination, id_)

    def _server(self, id_: int, port: int | None = None) -> str:
        found = self._destination(id_)
        if found is None or not found.family:
            return f"destination {id_}"
        keeps = found.flags & DestinationFlag.CLIENT_PORT
        shown = port if keeps and port is not None else found.port
        return _endpoint(found.address, shown)

    # ---- who it is

    def _roles(self) -> list[str]:
        bits = self._trial.number("roles")
        return [role.name.lower() for role in AddressRole if bits & role and role.name]

    def _service(self) -> records.Service | None:
        note = self._trial.note("service")
        if note is None:
            return None
        return self._record("services", records.Service, note.id)

    @staticmethod
    def _service_title(service: records.Service) -> str:
        key = service.key
        if key.fwmark:
            return f"fwm {key.fwmark}"
        protocol = _PROTOCOLS.get(key.protocol, str(key.protocol))
        return f"{protocol} {_endpoint(key.address, key.port)}"

    def _service_found(self, service: records.Service) -> str:
        if service.key.fwmark:
            return "mark"
        port = int.from_bytes(self._trial.packet["tuple.dport"], "big")
        return "exact" if service.key.port == port else "other port"

    # ---- the table

    def _places(self) -> Iterator[tuple[_Place | None, _Place | None]]:
        for name, unpack in (("connections4", self._line4), ("connections6", self._line6)):
            for copy in self._trial.copies.get(name, {}).values():
                yield from zip(unpack(copy.now), unpack(copy.was), strict=True)

    def _line4(self, data: bytes | None) -> list[_Place | None]:
        return [_place(each) for each in self._unpack(records.Line4, data or b"").way]

    def _line6(self, data: bytes | None) -> list[_Place | None]:
        return [_place(each) for each in self._unpack(records.Line6, data or b"").way]

    def _table(
        self,
    ) -> tuple[list[tuple[_Place | None, _Place]], list[_Place], list[_Place]]:
        """Connections (no templates) that begin, that end, and that are changed."""
        opened: list[tuple[_Place | None, _Place]] = []
        ended: list[_Place] = []
        changed: list[_Place] = []
        for after, before in self._places():
            same = (
                after is not None
                and before is not None
                and not (after.word ^ before.word) >> records.CONNECTION_GENERATION_SHIFT
            )
            if before is not None and not same and not _is_template(before):
                ended.append(before)
            if after is not None and not _is_template(after):
                if not same:
                    opened.append((before, after))
                elif after != before:
                    changed.append(after)
        return opened, ended, changed

    def _connection(self, place: _Place) -> Connection:
        word = place.word
        protocol = Transport(word >> records.CONNECTION_PROTOCOL_SHIFT & 3)
        method = word >> records.CONNECTION_METHOD_SHIFT & 3
        local = ""
        if method == records.Method.FULLNAT:
            block = self._door.read("port_blocks", place.extra_block)
            if block:
                address = self._unpack(records.PortBlock, block).local
                local = _endpoint(address, place.local_port)
        left = (place.expires - self._now) % _TICKS
        left -= _TICKS if left >> 31 else 0
        state = State(word & records.CONNECTION_STATE)
        return Connection(
            protocol=_TRANSPORTS.get(protocol, "ip"),
            state=state.name.removeprefix("SCTP_"),
            client=_endpoint(place.src, place.sport),
            virtual=_endpoint(place.dst, place.dport),
            server=self._server(place.destination, place.dport),
            method=_METHODS[method],
            expires=round(left / self._door.hz, 1),
            local=local,
            flags=[words for bit, words in _SHOWN_FLAGS.items() if word & bit]
            + ["inactive" if word & ConnectionFlag.INACTIVE else "active"],
        )

    def _known(self, note: Note | None) -> Connection | None:
        """The connection as it was found: its tuple is that of the packet, or of its answer."""
        if note is None:
            return None
        for _, before in self._places():
            if before is None or (before.word, before.destination) != (note.a, note.id):
                continue
            if before.expires == note.b and self._is_ours(before):
                return self._connection(before)
        return None

    def _is_ours(self, place: _Place) -> bool:
        """Whether the packet, from either side, is of this connection."""
        trial = self._trial
        which = "to" if trial.number("reply") else "tuple"
        ports = (
            int.from_bytes(trial.packet[f"{which}.sport"], "big"),
            int.from_bytes(trial.packet[f"{which}.dport"], "big"),
        )
        here = (place.sport, place.dport)
        return ports == (here[::-1] if which == "to" else here)

    def _unlisted(self, found: records.Destination | None) -> Connection | None:
        """A connection for one packet, which is in no table."""
        trial = self._trial
        if not trial.number("opened") or not trial.number("one_packet") or found is None:
            return None
        return self._connection(
            _Place(
                trial.number("c.word"),
                trial.number("c.expires"),
                trial.number("c.destination"),
                trial.number("c.extra") & 0xFFFF,
                int.from_bytes(trial.packet["c.extra"][2:4], "big"),
                trial.packet["tuple.src"],
                trial.packet["tuple.dst"],
                int.from_bytes(trial.packet["tuple.sport"], "big"),
                int.from_bytes(trial.packet["tuple.dport"], "big"),
            )
        )

    def _destination_of(
        self, opened: list[tuple[_Place | None, _Place]], known: Note | None
    ) -> int | None:
        trial = self._trial
        if opened or known or trial.number("opened") or trial.number("stateless"):
            return trial.number("c.destination")
        return None

    # ---- persistence

    def _template(self, service: records.Service | None) -> Template | None:
        note = self._trial.note("template")
        if note is None or service is None:
            return None
        entry = None
        for after, before in self._places():
            for place in (after, before):
                if place is not None and _is_template(place) and entry is None:
                    entry = self._connection(place)
        controlled = 0
        for copy in self._trial.copies.get("templates", {}).values():
            if copy.was:
                controlled = self._unpack(records.Template, copy.was).controlled
        client = self._trial.template["tuple.src"]
        return Template(
            found=TemplateFound(note.id).name.lower(),
            client=text(client) + _prefix(service),
            entry=entry,
            connections=controlled,
        )

    # ---- the scheduler

    def _decision(
        self, service: records.Service | None, destination: int | None
    ) -> Decision | None:
        note, remembered = self._trial.note("schedule"), self._trial.note("locality")
        if service is None or (note is None and remembered is None):
            return None
        scheduler = Scheduler(service.scheduler)
        candidates, looked = self._candidates(scheduler, destination)
        chose = self._trial.note("choose")
        slot = self._trial.note("slot")
        draws = self._trial.note("tickets")
        cursor, weight = self._cursor(note.id) if note and scheduler in _ROUND else (None, None)
        return Decision(
            scheduler=scheduler.name.lower(),
            servers=note.b if note else 0,
            looked=looked,
            candidates=candidates,
            cursor=cursor,
            current_weight=weight if scheduler is Scheduler.WRR else None,
            slots=slot.b if slot else 0,
            draws=(draws.a, draws.b) if draws else None,
            remembered=self._server(remembered.id) if remembered and remembered.a else "",
            chosen=(
                self._server(destination)
                if (chose or remembered) and destination is not None
                else ""
            ),
        )

    def _cursor(self, service: int) -> tuple[tuple[int | None, int | None], tuple[int, int]]:
        copy = self._copy("schedules", service)
        words = [
            self._unpack(records.Schedule, data or b"").word
            for data in ((copy.was, copy.now) if copy else (None, None))
            if data
        ]
        before, after = (words[0], words[-1]) if words else (0, 0)
        return (_cursor(before), _cursor(after)), (before & 0xFFFFFFFF, after & 0xFFFFFFFF)

    def _candidates(
        self, scheduler: Scheduler, destination: int | None
    ) -> tuple[list[Candidate], int]:
        trial = self._trial
        overheads = {note.id: note for note in trial.notes["compare"]}
        kind = "slot" if scheduler in _HASHING else "look"
        found: dict[int, Candidate] = {}
        for note in trial.notes[kind]:
            if note.id not in found:
                found[note.id] = self._candidate(note, overheads.get(note.id), scheduler)
        if destination in found:
            found[destination] = _chosen(found[destination])
        elif destination is not None and (choose := trial.note("choose")) is not None:
            found[destination] = _chosen(
                self._candidate(Note(destination, choose.a, 0), None, scheduler)
            )
        return list(found.values()), trial.looked[kind]

    def _candidate(self, note: Note, compared: Note | None, scheduler: Scheduler) -> Candidate:
        record = self._destination(note.id) or records.Destination()
        load = self._record("destination_load", records.DestinationLoad, note.id)
        load = load or records.DestinationLoad()
        overloaded = bool(record.upper_threshold and load.overloaded == record.overload_epoch + 1)
        unfit = "weight 0" if record.weight <= 0 else "overloaded" if overloaded else ""
        hashed = scheduler in _HASHING
        return Candidate(
            server=self._server(note.id),
            weight=record.weight,
            active=load.active,
            inactive=load.inactive,
            overloaded=overloaded,
            position=None if hashed else note.a,
            slot=note.a if hashed else None,
            overhead=compared.a if compared else None,
            unfit=unfit,
        )

    def _stateless(self) -> str:
        note = self._trial.note("stateless")
        if note is None:
            return ""
        if note.a == records.NO_DESTINATION:
            return f"its slot belongs to {self._server(note.id)}"
        return (
            f"its slot belongs to {self._server(note.id)} now and belonged to "
            f"{self._server(note.a)} before"
        )

    # ---- what leaves, and what is written

    def _out(self) -> str:
        if self._trial.verdict != "send":
            return ""
        index = self._trial.number("next_hop.ifindex")
        return self._door.name(index)

    def _next_hop(self) -> str:
        trial = self._trial
        if trial.verdict != "send":
            return ""
        family = trial.number("unresolved")
        if family:
            return f"{text(trial.packet['neighbour'])}, whose MAC address the kernel asks for first"
        return trial.packet["next_hop.dst_mac"].hex(":")

    def _changes(self) -> Iterator[str]:
        for key, copy in self._trial.copies.get("destination_load", {}).items():
            if copy.now and copy.was and copy.now != copy.was:
                yield from self._load_changes(key, copy.was, copy.now)
        for copy in self._trial.copies.get("next_hops", {}).values():
            if copy.now != copy.was:
                yield "the way to the client is remembered"
        if self._trial.asked:
            yield "the daemon is asked to resolve a neighbour"

    def _load_changes(self, key: bytes, before: bytes, after: bytes) -> Iterator[str]:
        server = self._server(int.from_bytes(key[:4], "little"))
        was = self._unpack(records.DestinationLoad, before)
        now = self._unpack(records.DestinationLoad, after)
        for name, title in (
            ("active", "ActiveConn"),
            ("inactive", "InActConn"),
            ("persistent", "PersistConn"),
        ):
            if getattr(was, name) != getattr(now, name):
                yield f"{title} of {server}: {getattr(was, name)} to {getattr(now, name)}"
        if was.overloaded != now.overloaded:
            yield (
                f"{server} is overloaded from now on"
                if now.overloaded
                else (f"{server} is no longer overloaded")
            )
        if was.path_mtu != now.path_mtu:
            yield f"{server}: the path's MTU is remembered"

    def _remarks(self, service: records.Service | None) -> Iterator[str]:
        trial = self._trial
        if trial.note("tickets"):
            yield "twos draws at random: the next packet may get another server"
        for copy in trial.copies.get("local_ports", {}).values():
            if copy.was and self._unpack(records.LocalPorts, copy.was).cursor == 0:
                yield "the first local port of a block is chosen at random"
        if any(copy.now != copy.was for copy in trial.copies.get("answers", {}).values()):
            yield "ICMP errors are limited on each CPU by itself: another one may answer otherwise"
        if service and service.flags & ServiceFlag.SIP:
            yield "--pe sip needs a datagram with a Call-ID, and this one has no content"


def _place(entry: records.Entry4 | records.Entry6) -> _Place | None:
    """The tenant; None: free, being written, or an ANSWER."""
    word = entry.entry.word
    if word & _TAKEN != ConnectionFlag.LIVE:
        return None
    src, dst = (
        each if isinstance(each, bytes) else each.to_bytes(4, "big")
        for each in (entry.src, entry.dst)
    )
    return _Place(
        word,
        entry.entry.expires,
        entry.entry.destination,
        entry.entry.block,
        entry.entry.local_port,
        src,
        dst,
        entry.sport,
        entry.dport,
    )


def _is_template(place: _Place) -> bool:
    return bool(place.word >> records.CONNECTION_PROTOCOL_SHIFT & Transport.TEMPLATE)


def _chosen(candidate: Candidate) -> Candidate:

    return msgspec.structs.replace(candidate, chosen=True)


def _cursor(word: int) -> int | None:
    cursor = word >> 32 & 0xFFFF
    return None if cursor == records.CURSOR_HEAD else cursor


def _endpoint(address: bytes, port: int) -> str:
    shown = text(address)
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def _prefix(service: records.Service) -> str:
    bits = sum(byte.bit_count() for byte in service.mask)
    v4 = service.key.family == AF_INET
    whole = 32 if v4 else 128
    length = bits - 96 if v4 else bits
    return "" if length == whole else f"/{length}"
