# SPDX-License-Identifier: Apache-2.0
"""State file, lock, paths, notifications, devices."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import ip_address

import pytest

from xlvs.io import ethtool, statefile
from xlvs.io.lock import Lock, holder
from xlvs.io.notify import notify
from xlvs.io.paths import instance_from_environment, paths
from xlvs.io.statefile import ROOM, Saved, SavedChange, SavedService, StateFile, followed
from xlvs.model.desired import Timeouts
from xlvs.model.problem import Problem
from xlvs.model.service import Destination, DestinationKey, Protocol, Service, ServiceKey
from xlvs.wire.messages import Counters

SAVED = Saved(
    services=[
        SavedService(
            service=Service(
                key=ServiceKey(protocol=Protocol.TCP, address=ip_address("fd00::1"), port=80),
                persistence_timeout=300,
                netmask="64",
            ),
            destinations=[
                Destination(key=DestinationKey(address=ip_address("fd00::11"), port=80), weight=7)
            ],
        )
    ],
    timeouts=Timeouts(tcp=7),
    service_baselines={0: Counters(connections=3)},
)


def test_what_is_saved_is_found_again(tmp_path):
    path = tmp_path / "desired.json"
    assert statefile.load(path) is None
    StateFile(path).save(SAVED)
    assert statefile.load(path) == SAVED
    assert [each.name for each in tmp_path.iterdir()] == ["desired.json"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version":2,"services":[],"timeouts":{}}'])
def test_a_file_that_cannot_be_read_is_an_error_in_words(tmp_path, data):
    path = tmp_path / "desired.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        statefile.load(path)


def test_a_half_written_file_is_never_met(tmp_path):
    path = tmp_path / "desired.json"
    StateFile(path).save(SAVED)
    path.with_name("desired.json.new").write_bytes(b"{half")
    assert statefile.load(path) == SAVED


def change(n, *gone):
    """A service more, or the same with another weight."""
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=n)
    return SavedChange(
        gone=list(gone),
        services=[SavedService(service=Service(key=key), destinations=[])],
        drains=[],
    )


def test_changes_are_added_and_found_again(tmp_path):
    path = tmp_path / "desired.json"
    file = StateFile(path)
    assert not file.append(change(1)), "to what?"
    file.save(SAVED)
    first = SAVED.services[0].service.key
    changes = [change(1), change(2, first), change(1, change(1).services[0].service.key)]
    assert all(file.append(each) for each in changes)
    found = statefile.load(path)
    assert found == followed(SAVED, changes)
    assert [each.service.key.port for each in found.services] == [2, 1]
    assert found.service_baselines == SAVED.service_baselines


@pytest.mark.parametrize("left", range(1, 40, 7))
def test_a_change_that_was_not_written_whole_has_not_begun(tmp_path, left):
    path = tmp_path / "desired.json"
    file = StateFile(path)
    file.save(SAVED)
    file.append(change(1))
    file.append(change(2))
    path.write_bytes(path.read_bytes()[:-left])
    assert statefile.load(path) == followed(SAVED, [change(1)])


def test_a_change_that_found_no_room_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "desired.json"
    file = StateFile(path)
    file.save(SAVED)
    written = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: written(fd, data[:90], at))
    with pytest.raises(OSError, match="No space"):
        file.append(change(1))
    assert statefile.load(path) == SAVED
    monkeypatch.undo()
    assert file.append(SavedChange(gone=[], services=[], drains=[]))
    assert statefile.load(path) == SAVED


def test_changes_do_not_grow_for_ever(tmp_path):
    path = tmp_path / "desired.json"
    file = StateFile(path)
    file.save(SAVED)
    while file.append(change(1)):
        assert path.stat().st_size < 2 * ROOM
    assert path.stat().st_size > ROOM
    file.save(SAVED)
    assert file.append(change(1))


_HOLD = """
import sys
from pathlib import Path
from xlvs.io.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_one_daemon_per_instance(tmp_path):
    path = tmp_path / "name" / "lock"
    assert holder(path) == 0
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline() == b"held\n"
        assert holder(path) == other.pid
        with pytest.raises(Problem, match=f"another xlvsd runs this instance .process {other.pid}"):
            Lock(path)
    finally:
        other.communicate()
    assert holder(path) == 0
    Lock(path).release()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "x" * 33, "a b"])
def test_names_that_are_no_instance(name):
    with pytest.raises(Problem, match="an instance's name is"):
        paths(name)


def test_places(monkeypatch, tmp_path):
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    place = paths("edge-1")
    assert place.socket == tmp_path / "edge-1.sock"
    assert place.state == tmp_path / "edge-1" / "desired.json"
    monkeypatch.setenv("XLVS_INSTANCE", "edge-1")
    assert instance_from_environment() == "edge-1"
    monkeypatch.delenv("XLVS_INSTANCE")
    assert instance_from_environment() == "default"


def test_the_service_manager_is_told(monkeypatch, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        notify("READY=1")
        assert manager.recv(64) == b"READY=1"
    notify("STOPPING=1")  # the manager is gone: no error
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


def test_a_device_that_does_not_say_what_it_is():
    assert ethtool.device("lo").name == "lo"
    assert ethtool.device("nosuch").driver == ""
