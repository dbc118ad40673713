# SPDX-License-Identifier: Apache-2.0
"""What SYN proxy leaves to the daemon: whose secret, which servers are silent, what is told."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.datapath_plan.build import KEY, World, add, add_service

from xlvs.datapath.records import SynCookies, SynLoad
from xlvs.io import clock, syn_proxy
from xlvs.io.syn_maps import Waiting
from xlvs.io.syn_proxy import TRIES, SynProxying
from xlvs.model.edit import DeleteService
from xlvs.model.problem import Problem
from xlvs.model.service import SynProxy, SynProxyMode
from xlvs.protocols.tcp_syn import Syn
from xlvs.wire.events import Kind

SECRET, OTHER = b"0123456789abcdef", b"fedcba9876543210"
SERVER = ip_address("192.168.200.11")
SYN = Syn(ip_address("203.0.113.1"), SERVER, 40000, 80, 1, 1, 1460, None, False, None)


class Maps:
    """The data path's, in memory."""

    def __init__(self) -> None:
        self.load = SynLoad()
        self.waits: list[Waiting] = []
        self.given_up: list[bytes] = []

    def cookies(self, keys, wall):
        return SynCookies(round(wall) % 7, keys, 64, any(keys[4:]))

    def loads(self, services):
        return dict.fromkeys(services, self.load)

    def waiting(self):
        return iter(self.waits)

    def time(self):
        return 1000, 100

    def give_up(self, key):
        self.given_up.append(key)


class Made:
    """A director with a service and SYN proxy."""

    def __init__(self, folder: Path, shared: Path | None = None, mode=SynProxyMode.AUTO) -> None:
        self.world = World()
        own = SynProxy(mode=mode, threshold=10)
        self.world.do(add_service(syn_proxy=own), add(1))
        self.maps = Maps()
        self.told: list[tuple[Kind, str]] = []
        bus = SimpleNamespace(tell=lambda kind, text, _about: self.told.append((kind, text)))
        own_file = folder / "state" / "own"
        self.proxying = SynProxying(self.world.director, self.maps, bus, shared, own_file)

    @property
    def cookies(self) -> SynCookies:
        return self.world.director.options.syn_cookies

    @property
    def destination(self) -> int:
        return self.world.director.effective.destination_ids[KEY][0]


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """The time, which stands."""
    at = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: at[0])
    monkeypatch.setattr(clock, "wall", lambda: 1_700_000_000.0 + at[0])
    return at


@pytest.fixture
def shared(tmp_path):
    file = tmp_path / "shared"
    file.write_bytes(SECRET)
    file.chmod(0o600)
    return file


def test_directors_with_one_secret_have_the_same_keys(tmp_path, shared):
    one, other = Made(tmp_path / "1", shared), Made(tmp_path / "2")
    one.proxying.start()
    other.proxying.follow((SECRET,))
    other.proxying.start()
    assert one.cookies.key == other.cookies.key
    assert not one.cookies.others
    third = Made(tmp_path / "3")
    third.proxying.start()
    assert third.cookies.key != one.cookies.key, "it has made one of its own"
    again = Made(tmp_path / "3")
    again.proxying.start()
    assert again.cookies.key == third.cookies.key, "and keeps it"
    assert (tmp_path / "3/state/own").stat().st_mode & 0o777 == 0o600


def test_a_new_secret_and_the_one_of_before(tmp_path, now):
    made = Made(tmp_path)
    made.proxying.follow((SECRET,))
    made.proxying.start()
    before = made.cookies
    made.proxying.follow((OTHER,))
    made.proxying.look()
    assert made.cookies.key[4:] == before.key[:4]
    assert made.cookies.key[:4] != before.key[:4]
    assert made.cookies.others
    assert made.world.port.settings.syn_cookies == made.cookies
    now[0] += 300
    made.proxying.look()
    assert made.cookies.key[4:] == (0, 0, 0, 0)
    assert not made.cookies.others


def test_the_command_lines_file_is_read_again(tmp_path, shared):
    made = Made(tmp_path, shared)
    made.proxying.start()
    before = made.cookies.key
    shared.write_bytes(OTHER)
    made.proxying.reload()
    made.proxying.look()
    assert made.cookies.key[4:] == before[:4]
    shared.chmod(0o644)
    with pytest.raises(Problem, match="for others too"):
        made.proxying.reload()
    made.proxying.look()
    assert made.cookies.key[4:] == before[:4], "nothing has changed"


def test_a_secret_has_one_place(tmp_path, shared):
    made = Made(tmp_path, shared)
    with pytest.raises(Problem, match="one of them has to go"):
        made.proxying.follow((OTHER,))


def test_what_another_machine_applies_is_checked_too(tmp_path):
    made = Made(tmp_path)
    with pytest.raises(Problem, match="syn_cookie_secret_file: secret 1 has 1 bytes"):
        made.proxying.follow((b"x",))


def test_servers_that_never_answer(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(syn_proxy, "_send", sent.append)
    made = Made(tmp_path)
    made.proxying.start()
    first = b"first"
    for tries in range(TRIES):
        made.maps.waits = [Waiting(first, made.destination, 2.0 ** (tries + 1) - 1, SYN)]
        made.proxying.look()
        assert len(sent) == tries + 1
    assert made.proxying.proxied([KEY])[KEY].given_up == 0
    made.maps.waits = [
        Waiting(first, made.destination, 2.0 ** (TRIES + 1) - 1, SYN),
        Waiting(b"over", made.destination, 0.1, None),
        Waiting(b"removed", 9999, 0.1, None),
    ]
    made.proxying.look()
    assert len(sent) == TRIES
    assert made.maps.given_up == [first, b"over", b"removed"]
    assert made.proxying.proxied([KEY])[KEY].given_up == 2


def test_auto_is_told_when_it_switches(tmp_path, now):
    made = Made(tmp_path)
    made.proxying.start()
    made.proxying.look()
    assert not made.proxying.proxied([KEY])[KEY].active
    now[0] += 1
    made.maps.load = SynLoad(syns=500, proved=20)
    made.proxying.look()
    found = made.proxying.proxied([KEY])[KEY]
    assert (found.active, found.mode, found.load.syns) == (True, SynProxyMode.AUTO, 500)
    assert list(made.proxying.warnings()) == [
        "tcp 10.0.0.1:80 is under attack, 480 SYNs a second have no client: SYN proxy is on"
    ]
    for _ in range(12):
        now[0] += 1
        made.proxying.look()
    assert not made.proxying.proxied([KEY])[KEY].active
    assert list(made.proxying.warnings()) == []
    assert made.told == [
        (
            Kind.PROBLEM,
            "tcp 10.0.0.1:80: 480 SYNs a second without a client: SYN proxy is on",
        ),
        (Kind.SOLVED, "tcp 10.0.0.1:80: SYN proxy is off again"),
    ]


def test_an_attack_goes_on_over_a_restart(tmp_path, now):
    made = Made(tmp_path)
    made.proxying.start()
    made.proxying.look()
    now[0] += 1
    made.maps.load = SynLoad(syns=500, proved=20)
    made.proxying.look()
    director = made.world.director
    tables, desired = director.effective.tables, director.desired
    director.options = director.options._replace(attacked=frozenset())
    again = SynProxying(director, made.maps, None, None, tmp_path / "own")
    again.start()
    again.resume(tables, desired)
    assert again.attacked == {KEY}
    now[0] += 1
    again.look()
    assert again.attacked == {KEY}, "and no event: it is no news"


def test_what_is_always_on_is_no_attack(tmp_path):
    made = Made(tmp_path, mode=SynProxyMode.ON)
    made.proxying.resume(made.world.director.effective.tables, made.world.director.desired)
    assert made.proxying.attacked == frozenset()


def test_of_a_service_that_went_nothing_is_left(tmp_path):
    made = Made(tmp_path, mode=SynProxyMode.ON)
    made.proxying.start()
    assert made.proxying.proxied([KEY])[KEY].active
    made.maps.waits = [Waiting(b"over", made.destination, 0.1, None)]
    made.proxying.look()
    made.world.do(DeleteService(key=KEY))
    made.maps.waits = []
    made.proxying.look()
    assert made.proxying.proxied([KEY]) == {}
    made.world.do(add_service(syn_proxy=SynProxy(mode=SynProxyMode.ON)), add(1))
    assert made.proxying.proxied([KEY])[KEY].given_up == 0
