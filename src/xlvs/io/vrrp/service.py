# SPDX-License-Identifier: Apache-2.0
"""The core with its sockets: what one VRRP process does.

Everything here runs in one event loop that never waits for a file, a name or a program:
addresses and ``ip`` go through ``Worker`` threads, scripts and files through the helper.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_interface

from xlvs.io import clock
from xlvs.io.bfd.sessions import Sessions
from xlvs.io.vrrp import acceptance, notify, vmac
from xlvs.io.vrrp import messages as m
from xlvs.io.vrrp.announcer import Announcer, Place
from xlvs.io.vrrp.conflicts import Listener
from xlvs.io.vrrp.helper import Result, Watchlist
from xlvs.io.vrrp.helping import Helping
from xlvs.io.vrrp.holdings import Holdings, holding
from xlvs.io.vrrp.sockets import FrameSocket, RawSocket, multicast_frame
from xlvs.io.vrrp.surroundings import Link, Surroundings
from xlvs.model.service import Address, Family
from xlvs.model.vrrp import Group, Instance, Notifications
from xlvs.protocols.vrrp import effects as e
from xlvs.protocols.vrrp.neighbours import virtual_mac
from xlvs.protocols.vrrp.packet import OWNER
from xlvs.protocols.vrrp.router import Packet, Router, Weight, vmac_name
from xlvs.protocols.vrrp.sending import group
from xlvs.protocols.vrrp.track import Kind, Watch

_ROUTES_PERIOD = 10.0
"""Seconds after which a master's routes and rules are put there once more."""

_END_PATIENCE = 2.0
_LAST_PATIENCE = 0.5  # the helper tells the rest without us
_ELECTED = (e.State.BACKUP, e.State.MASTER)

_GO = 0.2
"""Seconds. A segment that comes to an address before the data path knows that it is ours
would be reset by the stack; a daemon that does not answer is not waited for any longer."""

log = logging.getLogger(__name__)
_LEVELS = {e.Level.INFO: logging.INFO, e.Level.WARNING: logging.WARNING}


def _wait(gate: threading.Event) -> None:
    gate.wait(_GO)


class Service:
    """``report`` gets what goes up to the daemon."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[m.Up], None]) -> None:
        self._loop = loop
        self._report = report
        self._network = m.Network()
        self._instances: dict[str, Instance] = {}
        self._groups: dict[str, Group] = {}
        self._router = Router(clock.wall)
        self._surroundings = Surroundings(self._on_link, self._on_addresses, self._on_gone)
        self._sockets: dict[tuple[str, Family], RawSocket] = {}
        self._frames = FrameSocket()
        self._holdings = Holdings(loop, self._remark)
        self._announcer = Announcer(loop, self._frames, self._remark)
        self._helping = Helping(loop, self._on_result)
        self._bfd = Sessions(loop, self._on_bfd)
        self._vmacs: dict[str, vmac.Vmac] = {}
        self._refused: dict[str, set[Address]] = {}
        self._listeners: dict[str, Listener] = {}
        self._anywhere = False
        self._held_changed = False
        self._static: dict[str, tuple[str, IPv4Interface | IPv6Interface]] = {}
        self._since: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._late = 0.0
        self._gates: dict[str, threading.Event] = {}
        self._complained: dict[tuple[str, str], str] = {}
        self._flushing = False
        self._loaded = False

    def start(self) -> None:
        """Look at the links. Raises OSError."""
        # Where unicast instances without an interface are: everywhere.
        self._router.link("", up=True, now=self._loop.time())
        self._surroundings.load()
        self._loaded = True
        self._loop.add_reader(self._surroundings.fileno(), self._on_netlink)
        self._loop.call_later(_ROUTES_PERIOD, self._assert_routes)

    # ---- from the daemon

    def handle(self, message: m.Down) -> None:
        """Do what the daemon says, except ``Stop``."""
        now = self._loop.time()
        if isinstance(message, m.Network):
            self.configure(message)
        elif isinstance(message, m.Hold):
            self._router.hold(now + message.seconds if message.seconds > 0 else None, now)
        elif isinstance(message, m.Tracked):
            self._router.result(Kind(message.kind), message.name, message.value, now)
        elif isinstance(message, m.Go):
            gate = self._gates.pop(message.instance, None)
            if gate is not None:
                gate.set()
        elif isinstance(message, m.AskStatistics):
            self._report(self._statistics())
        self._flush()

    def configure(self, wanted: m.Network) -> None:
        """Reconcile with what is wanted; unchanged instances do not notice."""
        before, self._network = self._network, wanted
        old = self._instances
        now = self._loop.time()
        # What ends says so from where it was.
        self._router.retire(wanted.instances, now)
        self._flush()
        self._instances = {one.name: one for one in wanted.instances}
        self._groups = {one.name: one for one in wanted.groups}
        self._holdings.static(before.static, wanted.static)
        self._devices()
        for one in wanted.instances:
            self._open(one)
        self._static = {
            f"{one.address} on {one.device}": (one.device, one.address)
            for one in wanted.static.addresses
            if one.track_group and not one.no_track
        }
        self._anywhere = any(not one.interface for one in wanted.instances)
        if self._anywhere:
            self._look_everywhere()
        self._router.hold_after_faults(wanted.hold_after_fault)
        self._router.configure(
            wanted.instances, wanted.groups, _weights(wanted), now, _depending(wanted)
        )
        self._follow_static()
        self._flush()
        self._close_unused()
        for one in wanted.instances:
            machine = self._router.machines[one.name]
            if one.name in old and old[one.name] != one and machine.state is e.State.MASTER:
                self._take(one)
            self._report(self._state(one.name, machine.state, "configured"))
            if wanted.fifo_states_on_reload and one.name in old:
                what = notify.word(machine.state, deleted=False)
                self._write_fifos(one.name, what, machine.priority)
        self._bfd.configure(wanted.bfds)
        self._helping.watch(Watchlist(wanted.scripts, wanted.files, wanted.processes))
        self._report(m.Ready())

    def stop(self) -> None:
        """Priority 0, addresses away, and no more."""
        self._router.shutdown(self._loop.time())
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        for made in self._vmacs.values():
            self._holdings.job(partial(vmac.remove, made))
        self._bfd.close()
        self._holdings.static(self._network.static, m.Network().static)
        self._holdings.finish(_END_PATIENCE)
        self._helping.close(_LAST_PATIENCE)
        self._loop.remove_reader(self._surroundings.fileno())
        self._surroundings.close()
        for listener in self._listeners.values():
            self._loop.remove_reader(listener.fileno())
            listener.close()
        for key in list(self._sockets):
            self._close(key)
        self._frames.close()

    # ---- what comes in

    def _on_netlink(self) -> None:
        self._surroundings.read()
        self._flush()

    def _on_packets(self, opened: RawSocket) -> None:
        opened.receive(self._on_packet)
        self._flush()

    def _on_packet(self, packet: Packet) -> None:
        self._router.packet(packet, self._loop.time())

    def _on_result(self, result: Result) -> None:
        self._router.result(result.kind, result.name, result.value, self._loop.time())
        self._flush()

    def _on_bfd(self, name: str, up: bool) -> None:  # noqa: FBT001  # a callback's shape
        self._report(m.BfdNow(name=name, up=up))
        self._router.result(Kind.BFD, name, int(up), self._loop.time())
        self._flush()

    def _on_link(self, link: Link) -> None:
        for key in [key for key in self._sockets if key[0] == link.name]:
            if self._surroundings.links.get(link.index) is not link or (
                self._sockets[key].index != link.index
            ):
                self._close(key)
        if self._surroundings.links.get(link.index) is link:
            for one in self._instances.values():
                if one.interface == link.name:
                    self._open(one)
        self._router.link(link.name, up=link.up, now=self._loop.time())
        if not link.up and self._surroundings.links.get(link.index) is not link:
            self._router.addresses(link.name, (), self._loop.time())

    def _on_addresses(self, link: Link) -> None:
        now = self._loop.time()
        self._router.addresses(link.name, link.usable(), now)
        if self._anywhere:
            self._look_everywhere()
        self._follow_static()

    def _look_everywhere(self) -> None:
        links = self._surroundings.links.values()
        everywhere = [one for each in links for one in each.usable()]
        self._router.addresses("", everywhere, self._loop.time())

    def _follow_static(self) -> None:
        """``track_group``: who depends on a static address fails without it."""
        for name, (device, wanted) in self._static.items():
            link = self._surroundings.by_name(device)
            there = link is not None and wanted in link.addresses
            self._router.result(Kind.STATIC, name, int(there), self._loop.time())

    def _on_gone(self, link: Link, address: IPv4Interface | IPv6Interface) -> None:
        self._router.address_gone(link.name, address, self._loop.time())

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        self._late = max(self._late, now - due)
        self._timer = None
        self._router.tick(now)
        self._flush()

    # ---- what goes out

    def _flush(self) -> None:
        if self._flushing or not self._loaded:
            return
        self._flushing = True
        try:
            while effects := self._router.take_effects():
                for effect in effects:
                    self._perform(effect)
        finally:
            self._flushing = False
        if self._held_changed:
            self._held_changed = False
            self._listen()
        deadline = self._router.deadline
        if self._timer is not None:
            if deadline == self._timer.when():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._tick, deadline)

    def _perform(self, effect: e.Effect) -> None:  # noqa: C901  # one branch per kind
        match effect:
            case e.Datagram():
                self._send(effect)
            case e.Take(instance=name):
                self._take(self._instances[name])
            case e.Release(instance=name):
                self._release(name)
            case e.Restore(addresses=gone):
                self._holdings.put_back([(device, str(one)) for device, one in gone])
            case e.Announce(instance=name, repeat=repeat):
                # Behind the addresses: who asks at once must find them.
                self._holdings.after(lambda: self._announce(name, repeat))
            case e.Changed():
                self._changed(effect)
                self._held_changed = True
            case e.GroupChanged(group=name, old=old, new=new):
                self._report(m.GroupNow(group=name, state=new, before=old))
                if name in self._groups and new is not e.State.INIT:
                    self._notify("GROUP", name, new, 0, self._groups[name].notify)
            case e.Rival(instance=name, peer=peer, priority=priority):
                self._report(m.RivalSeen(instance=name, peer=str(peer), priority=priority))
                self._notify("INSTANCE", name, notify.RIVAL, priority, self._instances[name].notify)
            case e.Say(instance=name, level=level, sentence=sentence):
                self._say(name, level, sentence)
            case e.PriorityChanged(instance=name, priority=priority, state=state):
                self._report(self._state(name, state, f"priority {priority}"))
                if self._network.notify_priority_changes and state in _ELECTED:
                    self._write_fifos(name, f"{state}_PRIORITY", priority)

    def _listen(self) -> None:
        """Hear the ARP for what masters hold, where they hold it."""
        wanted: dict[str, set[IPv4Address]] = {}
        for name, machine in self._router.machines.items():
            if machine.state is e.State.MASTER:
                instance = self._instances[name]
                for one in (*instance.addresses, *instance.excluded):
                    if isinstance(one.address, IPv4Interface):
                        device = one.device or instance.interface
                        wanted.setdefault(device, set()).add(one.address.ip)
        for device, listener in list(self._listeners.items()):
            if frozenset(wanted.get(device, ())) != listener.addresses:
                self._loop.remove_reader(listener.fileno())
                listener.close()
                del self._listeners[device]
        for device in wanted.keys() - self._listeners.keys():
            try:
                made = Listener(device, frozenset(wanted[device]))
            except OSError as error:
                self._once("", f"no ARP is heard on {device}: {error.strerror}", device)
                continue
            self._listeners[device] = made
            self._loop.add_reader(made.fileno(), self._on_claims, made)

    def _on_claims(self, listener: Listener) -> None:
        own = {link.mac for link in self._surroundings.links.values()}

        def heard(address: IPv4Address, mac: bytes) -> None:
            if mac not in own:
                self._router.claimed(listener.interface, address, mac, self._loop.time())

        listener.read(heard)
        self._flush()

    def _send(self, datagram: e.Datagram) -> None:
        instance = self._instances[datagram.instance]
        device = vmac_name(instance)
        try:
            if device is not None and not instance.vmac_xmit_base:
                mac = virtual_mac(instance.router_id, v6=instance.family is Family.INET6)
                self._frames.send(device, multicast_frame(datagram, mac))
            else:
                self._sockets[instance.interface, instance.family].send(datagram)
        except KeyError:
            return  # the socket could not be opened, which has been said
        except OSError as error:
            sentence = f"no advert to {datagram.destination}: {error.strerror}"
            self._once(instance.name, sentence, str(datagram.destination))
            return
        if self._complained:
            self._complained.pop((instance.name, str(datagram.destination)), None)

    def _take(self, instance: Instance) -> None:
        # An owner accepts whatever is configured (RFC 9568 6.1).
        if not instance.accept and instance.priority != OWNER:
            self._refused[instance.name] = {
                one.address.ip for one in (*instance.addresses, *instance.excluded)
            }
            self._refuse()
        elif self._refused.pop(instance.name, None) is not None:
            self._refuse()
        gate = threading.Event()
        if self._network.asks:
            self._gates[instance.name] = gate
            self._report(m.Taking(instance.name))
        else:
            gate.set()
        self._holdings.take(instance.name, holding(instance), lambda: _wait(gate))

    def _release(self, name: str) -> None:
        self._announcer.forget(name)
        self._holdings.release(name)
        if self._refused.pop(name, None) is not None:
            self._refuse()

    def _refuse(self) -> None:
        addresses: set[Address] = set().union(*self._refused.values())

        def job() -> None:
            if error := acceptance.apply(addresses):
                self._loop.call_soon_threadsafe(self._remark, error)

        self._holdings.job(job)

    def _announce(self, name: str, repeat: int) -> None:
        instance = self._instances.get(name)
        machine = self._router.machines.get(name)
        if instance is None or machine is None or machine.state is not e.State.MASTER:
            return
        places = []
        for device, text in holding(instance).addresses:
            link = self._surroundings.by_name(device)
            if link is not None and len(link.mac) == 6:  # noqa: PLR2004  # Ethernet
                places.append(Place(device, link.mac, ip_interface(text).ip, _forwards(device)))
        self._announcer.burst(name, places, repeat, instance.garp)

    def _changed(self, effect: e.Changed) -> None:
        name = effect.instance
        instance = self._instances[name]
        self._since[name] = clock.wall()
        sentence = f"{effect.old} -> {effect.new}: {effect.cause}"
        self._say(name, e.Level.INFO, sentence, state=effect.new.lower(), cause=effect.cause)
        if effect.old is e.State.INIT and effect.new is not e.State.MASTER:
            self._holdings.clear(holding(instance))
        self._report(
            m.StateNow(
                instance=name,
                state=effect.new,
                before=effect.old,
                priority=effect.priority,
                cause=effect.cause,
                addresses=_held(instance, effect.new),
                since=self._since[name],
            )
        )
        deleted = all(one.name != name for one in self._network.instances)
        word = notify.word(effect.new, deleted=deleted)
        self._notify("INSTANCE", name, word, effect.priority, instance.notify)

    def _notify(self, kind: str, name: str, what: str, priority: int, whom: Notifications) -> None:
        if not self._network.notify:
            return
        for order in notify.orders((kind, name), what, priority, whom, self._network.fifos):
            self._helping.order(order)

    def _write_fifos(self, name: str, what: str, priority: int) -> None:
        if self._network.notify:
            for fifo in self._network.fifos:
                self._helping.order(notify.line(fifo, ("INSTANCE", name), what, priority))

    def _state(self, name: str, state: e.State, cause: str) -> m.StateNow:
        return m.StateNow(
            instance=name,
            state=state,
            before=state,
            priority=self._router.machines[name].priority,
            cause=cause,
            addresses=_held(self._instances[name], state),
            since=self._since.get(name, clock.wall()),
        )

    def _statistics(self) -> m.StatisticsNow:
        found = []
        for name, machine in self._router.machines.items():
            counted = machine.statistics
            found.append(
                m.InstanceStatistics(
                    instance=name,
                    state=machine.state,
                    priority=machine.priority,
                    master=str(machine.master or ""),
                    rival=str(machine.rival or ""),
                    faults=machine.faults,
                    adverts_sent=counted.adverts_sent,
                    adverts_received=counted.adverts_received,
                    zero_priority_sent=counted.zero_priority_sent,
                    zero_priority_received=counted.zero_priority_received,
                    became_master=counted.became_master,
                    left_master=counted.left_master,
                    rivals_lower=counted.rivals_lower,
                    rivals_higher=counted.rivals_higher,
                    restored=counted.restored,
                    conflicts=counted.conflicts,
                    rejected=dict(counted.rejected),
                )
            )
        late, self._late = self._late, 0.0
        return m.StatisticsNow(
            instances=tuple(found), strangers=self._router.strangers, late_max=late
        )

    # ---- sockets and devices

    def _open(self, instance: Instance) -> None:
        key = instance.interface, instance.family
        link = self._surroundings.by_name(instance.interface)
        if link is None and instance.interface:
            return
        try:
            opened = self._sockets.get(key)
            if opened is None:
                index = link.index if link is not None else 0
                opened = RawSocket(instance.interface, index, instance.family)
                self._sockets[key] = opened
                self._loop.add_reader(opened.fileno(), self._on_packets, opened)
            if not instance.unicast_peers:
                opened.join(group(instance))
        except OSError as error:
            self._once(instance.name, f"no socket on {instance.interface}: {error.strerror}")

    def _close(self, key: tuple[str, Family]) -> None:
        opened = self._sockets.pop(key)
        self._loop.remove_reader(opened.fileno())
        opened.close()

    def _close_unused(self) -> None:
        used = {(one.interface, one.family) for one in self._instances.values()}
        for key in [key for key in self._sockets if key not in used]:
            self._close(key)

    def _devices(self) -> None:
        wanted = {
            made.name: made
            for made in (vmac.vmac(one) for one in self._network.instances)
            if made is not None
        }
        for name, made in list(self._vmacs.items()):
            if wanted.get(name) != made:
                del self._vmacs[name]
                self._holdings.job(partial(vmac.remove, made))
        for name, made in wanted.items():
            if name not in self._vmacs:
                self._vmacs[name] = made
                self._holdings.job(partial(self._create, made))

    def _create(self, made: vmac.Vmac) -> None:
        if error := vmac.create(made):
            self._loop.call_soon_threadsafe(self._remark, error)

    def _assert_routes(self) -> None:
        self._holdings.assert_routes()
        self._loop.call_later(_ROUTES_PERIOD, self._assert_routes)

    # ---- words

    def _remark(self, sentence: str) -> None:
        self._say("", e.Level.WARNING, sentence)

    def _once(self, name: str, sentence: str, about: str = "") -> None:
        if self._complained.get((name, about)) != sentence:
            self._complained[name, about] = sentence
            self._say(name, e.Level.WARNING, sentence)

    def _say(self, name: str, level: e.Level, sentence: str, **about: str) -> None:
        if name:
            about = {"vrrp_instance": name, **about}
        log.log(_LEVELS[level], "%s%s", f"({name}) " if name else "", sentence, extra=about)
        self._report(m.Remark(instance=name, level=level, sentence=sentence))


def _held(instance: Instance, state: e.State) -> tuple[str, ...]:
    if state is not e.State.MASTER:
        return ()
    return tuple(str(one.address.ip) for one in (*instance.addresses, *instance.excluded))


def _weights(network: m.Network) -> dict[tuple[Kind, str], Weight]:
    kinds = (
        (Kind.SCRIPT, network.scripts),
        (Kind.FILE, network.files),
        (Kind.PROCESS, network.processes),
        (Kind.BFD, network.bfds),
    )
    return {
        (kind, one.name): Weight(one.weight, one.reverse) for kind, many in kinds for one in many
    }


def _depending(network: m.Network) -> dict[str, tuple[Watch, ...]]:
    """``track_group``: per instance the static addresses that it cannot do without."""
    found: dict[str, tuple[Watch, ...]] = {}
    for one in network.track_groups:
        watches = tuple(
            Watch(Kind.STATIC, f"{address.address} on {address.device}")
            for address in network.static.addresses
            if address.track_group == one.name and not address.no_track
        )
        for name in one.instances:
            found[name] = found.get(name, ()) + watches
    return found


def _forwards(device: str) -> bool:
    """Whether this host is an IPv6 router there; /proc answers from memory."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{device}/forwarding", "rb") as opened:
            return opened.read(1) == b"1"
    except OSError:
        return False
