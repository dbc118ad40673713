# SPDX-License-Identifier: Apache-2.0
"""What was there before survives the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlvs.model.problem import Problem
from xlvs.realserver import state
from xlvs.realserver.state import Decapsulation, Record, Store, Sysctl, Vip


def full() -> Record:
    return Record(
        namespace=7,
        interfaces=("eth0",),
        vips={"10.0.0.3": Vip("tun", added=True), "10.0.0.2": Vip("dr", added=False)},
        sysctls={"net/ipv4/conf/all/arp_ignore": Sysctl("0", "1")},
        decapsulation={"eth0": Decapsulation("tc", 12, clsact=True)},
        outer=("10.2.0.11",),
        client_cgroups=("/sys/fs/cgroup",),
    )


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "x" / "7.json", 7)
    assert store.load() == Record(namespace=7)
    store.save(full())
    assert store.load() == full()
    assert full().vips_of("tun") == ["10.0.0.3"]


def test_telling_client_addresses_alone_is_written_down(tmp_path: Path) -> None:
    store = Store(tmp_path / "7.json", 7)
    store.save(Record(namespace=7, client_cgroups=("/sys/fs/cgroup",)))
    assert store.load().client_cgroups == ("/sys/fs/cgroup",)


def test_an_empty_record_is_no_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "x" / "7.json", 7)
    store.save(full())
    store.save(Record(namespace=7))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "7.json").write_text("{")
    with pytest.raises(Problem, match=r"7\.json is damaged"):
        Store(tmp_path / "7.json", 7).load()


def test_this_namespace_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    assert state.here().path == state.here().path
    assert state.here().path.parent == tmp_path / "realserver"


def test_deleted_namespaces_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    for number in (7, 8):
        record = full()
        record.namespace = number
        Store(tmp_path / "realserver" / f"{number}.json", number).save(record)
    state.forget_namespaces({7})
    assert [path.name for path in (tmp_path / "realserver").iterdir()] == ["8.json"]
    state.forget_namespaces({8})
    assert list(tmp_path.iterdir()) == []
