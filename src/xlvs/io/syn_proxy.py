# SPDX-License-Identifier: Apache-2.0
"""What SYN proxy leaves to the daemon: secrets that change, who is under attack, SYNs once more.

Packets are answered without it. While it is not there secrets do not change, a service
stays as it was, and a lost SYN is made up for by the client's probes alone.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from xlvs.datapath.records import SYN_COOKIE_EPOCH, ServiceFlag, SynLoad
from xlvs.datapath.service_key import asked_key
from xlvs.datapath.syn_promise import weakest
from xlvs.datapath.tables import Tables
from xlvs.engine import syn_attack, syn_secret
from xlvs.io import clock
from xlvs.io.bus import Bus
from xlvs.io.director import Director
from xlvs.io.raw_socket import raw_socket
from xlvs.io.secret_file import read_secret
from xlvs.io.syn_maps import SynMaps
from xlvs.model.cookie_secret import SECRET_MIN, check_secrets, cookie_secrets
from xlvs.model.desired import Desired
from xlvs.model.problem import Code, Problem
from xlvs.model.service import ServiceKey, SynProxyMode
from xlvs.model.words import key_title
from xlvs.protocols.tcp_syn import Syn, packet
from xlvs.wire.events import Kind

PERIOD = 0.5
"""Seconds between two looks."""

AGAIN_AFTER = 1.0
"""Seconds after which a server's SYN is sent again, and then twice as many: RFC 6298's."""

TRIES = 6

DRIFT = 64
"""The part of a time slot that the clocks may be apart: what was put is left as it is."""

log = logging.getLogger(__name__)


class Proxied(NamedTuple):
    """A service with SYN proxy. ``given_up``: servers that never answered their SYN."""

    mode: SynProxyMode
    active: bool
    load: SynLoad
    given_up: int


class SynProxying:
    """SYN proxy of one director.

    ``shared``: a file with secrets that directors share, which the command line names; without
    one, and unless a configuration file names one, ``own`` is made.
    """

    def __init__(
        self,
        director: Director,
        maps: SynMaps,
        bus: Bus,
        shared: Path | None,
        own: Path,
    ) -> None:
        self._director = director
        self._maps = maps
        self._bus = bus
        self._shared = shared
        self._own = own
        self._secrets: syn_secret.Secrets | None = None
        self._given_up: Counter[ServiceKey] = Counter()
        self._checked = 0.0
        self._seen: dict[ServiceKey, syn_attack.Seen] = {}
        self._looked = 0.0
        self._tries: dict[bytes, int] = {}

    @property
    def attacked(self) -> frozenset[ServiceKey]:
        """Services with ``auto`` whose clients are answered now."""
        return self._director.options.attacked

    def warnings(self) -> Iterator[str]:
        """Attacks that go on, in words."""
        for key, seen in self._seen.items():
            if seen.attacked:
                yield (
                    f"{key_title(key)} is under attack, {seen.rate} SYNs a second have no client: "
                    "SYN proxy is on"
                )

    def proxied(self, keys: Iterable[ServiceKey]) -> dict[ServiceKey, Proxied]:
        """Those of these services that have SYN proxy."""
        desired, ids = self._director.desired.services, self._director.effective.service_ids
        modes = {
            key: desired[key][0].syn_proxy.mode
            for key in keys
            if key in desired
            and key in ids
            and desired[key][0].syn_proxy.mode is not SynProxyMode.OFF
        }
        loads = self._maps.loads(ids[key] for key in modes)
        return {
            key: Proxied(
                mode,
                mode is SynProxyMode.ON or key in self.attacked,
                loads[ids[key]],
                self._given_up[key],
            )
            for key, mode in modes.items()
        }

    def follow(self, secrets: tuple[bytes, ...]) -> None:
        """What a configuration file says of secrets, if anything. Raises Problem."""
        if not secrets:
            self._use((_own(self._own),) if self._shared is None else _read(self._shared))
            return
        if self._shared is not None:
            raise Problem(
                Code.INVALID,
                "syn_cookie_secret_file: xlvsd was started with --syn-cookie-secret-file: "
                "one of them has to go",
                "global_defs",
            )
        check_secrets(secrets, "syn_cookie_secret_file")
        self._use(secrets)

    def reload(self) -> None:
        """Read the file that the command line names again, if any. Raises Problem."""
        if self._shared is not None:
            self._use(_read(self._shared))

    def _use(self, wanted: tuple[bytes, ...]) -> None:
        before = self._secrets
        self._secrets = syn_secret.follow(before, wanted, clock.monotonic())
        if before is not None and before.made != self._secrets.made:
            log.info("SYN cookies are made of another secret from now on")

    def start(self) -> None:
        """Before the director starts, which writes what packets go by. Raises Problem."""
        if self._secrets is None:
            self.follow(())
        wall = clock.wall()
        cookies = self._maps.cookies(self._keys(wall), wall)
        self._director.options = self._director.options._replace(syn_cookies=cookies)
        self._checked = clock.monotonic()

    def resume(self, tables: Tables, desired: Desired) -> None:
        """Before the director starts with these maps: an attack that a restart met goes on."""
        attacked = {
            asked_key(record.key): id_
            for id_, record in tables.services.items()
            if record.flags & ServiceFlag.SYN_COOKIES
        }
        loads = self._maps.loads(attacked.values())
        self._seen = {
            key: syn_attack.Seen(loads[id_].syns, loads[id_].proved, attacked=True)
            for key, id_ in attacked.items()
            if key in desired.services
            and desired.services[key][0].syn_proxy.mode is SynProxyMode.AUTO
        }
        self._looked = clock.monotonic()
        self._director.options = self._director.options._replace(attacked=frozenset(self._seen))

    def look(self) -> None:
        """Every PERIOD seconds. Raises Problem."""
        services = {
            key: service.syn_proxy
            for key, (service, _) in self._director.desired.services.items()
            if service.syn_proxy.mode is not SynProxyMode.OFF
        }
        self._renew()
        for key in self._given_up.keys() - services.keys():
            del self._given_up[key]
        if not services:
            if self._seen:
                self._seen = {}
                self._director.attack(frozenset())
            return
        ids = self._director.effective.service_ids
        self._again({ids[key]: key for key in services if key in ids})
        now = clock.monotonic()
        if now - self._looked < 2 * PERIOD - PERIOD / 4:
            return
        loads = self._maps.loads(ids[key] for key in services if key in ids)
        asked = {
            key: syn_attack.Asked(loads[ids[key]].syns, loads[ids[key]].proved, each.threshold)
            for key, each in services.items()
            if each.mode is SynProxyMode.AUTO and key in ids
        }
        self._seen = syn_attack.look(self._seen, asked, now - self._looked)
        self._looked = now
        self._learn(services)
        attacked = frozenset(key for key, seen in self._seen.items() if seen.attacked)
        before = self.attacked
        if attacked == before:
            return
        self._director.attack(attacked)
        for key in attacked - before:
            words = f"{key_title(key)}: {self._seen[key].rate} SYNs a second without a client: "
            self._tell(Kind.PROBLEM, words + "SYN proxy is on", key)
        for key in before - attacked:
            self._tell(Kind.SOLVED, f"{key_title(key)}: SYN proxy is off again", key)

    def _learn(self, services: Iterable[ServiceKey]) -> None:
        """What clients are promised is what servers have shown that they do. Raises Problem."""
        ids, load = self._director.effective.destination_ids, self._director.port.load
        now, hz = self._maps.time()
        self._director.learn(
            {key: weakest(load(ids.get(key, ())).values(), now, hz) for key in services}
        )

    def _tell(self, kind: Kind, words: str, key: ServiceKey) -> None:
        log.warning("%s", words)
        self._bus.tell(kind, words, key_title(key))

    def _keys(self, wall: float) -> tuple[int, ...]:
        """Of the secret in force; then of another one that is good as well, or zeros."""
        assert self._secrets is not None  # noqa: S101  # since start()
        self._secrets = syn_secret.in_force(self._secrets, clock.monotonic())
        made = syn_secret.keys(self._secrets.made, wall, SYN_COOKIE_EPOCH)
        if not self._secrets.other:
            return made + (0,) * len(made)
        return made + syn_secret.keys(self._secrets.other, wall, SYN_COOKIE_EPOCH)

    def _renew(self) -> None:
        """Secrets of their time. The kernel's ticks and the clock drift apart: each minute."""
        wall, now = clock.wall(), clock.monotonic()
        before, keys = self._director.options.syn_cookies, self._keys(wall)
        if keys == before.key and now - self._checked < syn_secret.SLOT:
            return
        cookies = self._maps.cookies(keys, wall)
        drift = syn_secret.drift(before.offset, cookies.offset)
        if keys != before.key or drift >= cookies.slot_ticks // DRIFT:
            self._director.renew_secrets(cookies)
        self._checked = now

    def _again(self, services: dict[int, ServiceKey]) -> None:
        """SYNs that servers have not answered: a client that waits for its server asks nothing."""
        tries = {}
        destinations = self._director.effective.tables.destinations
        for each in self._maps.waiting():
            done = self._tries.get(each.key, 0)
            due = each.seconds >= AGAIN_AFTER * (2 ** (done + 1) - 1)
            if each.syn is None or (due and done == TRIES):
                self._maps.give_up(each.key)
                server = destinations.get(each.destination)
                if server is not None and server.service in services:
                    self._given_up[services[server.service]] += 1
                continue
            if due:
                done += 1
                _send(each.syn)
            tries[each.key] = done
        self._tries = tries


def _own(path: Path) -> bytes:
    """The secret of before, or a new one. One that cannot be kept is good until a restart."""
    with suppress(OSError, Problem):
        return _read(path)[0]
    made = secrets.token_hex(2 * SECRET_MIN).encode()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(made)
    return made


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        return cookie_secrets(read_secret(str(path)), str(path))
    except OSError as error:
        raise Problem(Code.INVALID, f"{path}: {error.strerror or error}", str(path)) from error


def _send(syn: Syn) -> None:
    """A packet with a source that is not ours. One that cannot be sent is tried again later."""
    with suppress(OSError), raw_socket(syn.source.version) as sending:
        sending.sendto(packet(syn), (str(syn.destination), 0))
