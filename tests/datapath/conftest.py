# SPDX-License-Identifier: Apache-2.0
"""A data path of its own for each test: pin folder, network namespace, small maps."""

from __future__ import annotations

import errno
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import netns

from xlvs.datapath import libbpf, pins
from xlvs.datapath.attach import recorded
from xlvs.datapath.loader import DataPath, Sizes, remove

from .world import World, world

TCX_NEXT = -1
SMALL = Sizes(
    connections=1024,
    services=64,
    destinations=256,
    service_destinations=1024,
    port_blocks=16,
    slot_pages=2,
)


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    """These tests load programs: without root they cannot say anything."""
    if os.geteuid() != 0:
        pytest.exit("tests/datapath needs root (eBPF, network namespaces): run as root", 2)


@pytest.fixture(params=["xdp", "tc"])
def hook(request: pytest.FixtureRequest) -> str:
    """Each hook in turn."""
    return str(request.param)


@pytest.fixture
def pin_folder() -> Iterator[Path]:
    """A pin folder that is gone afterwards."""
    folder = pins.ROOT / f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    yield folder
    remove(folder)
    assert not folder.exists()


@pytest.fixture
def data_path(pin_folder: Path) -> Iterator[DataPath]:
    """A freshly loaded data path, attached nowhere."""
    path = DataPath.open(pin_folder, SMALL)
    yield path
    path.close()


@pytest.fixture(scope="session")
def _loaded() -> Iterator[DataPath]:
    folder = pins.ROOT / f"test-{os.getpid()}-shared"
    path = DataPath.open(folder, SMALL)
    yield path
    path.close()
    remove(folder)
    assert not folder.exists()


@pytest.fixture
def shared_path(_loaded: DataPath) -> Iterator[DataPath]:
    """A data path that other tests use too: its maps are empty, nothing is attached."""
    yield _loaded
    for ifname in recorded(_loaded.pins / "links"):
        _loaded.detach(ifname)
    _loaded.put_egress(on=False)
    empty(_loaded)


def forget_build(folder: Path) -> None:
    """What is pinned is another version's from now on: the next start loads its own programs."""
    (folder / "build").unlink()


def empty(path: DataPath) -> None:
    """Clear every map, but for timers, ring buffers, and what the loader wrote once.

    Loading takes far longer.
    """
    for each in path.maps():
        if each.name not in ("sweepers", "sync_timers", "events", "sync_events", "geometry"):
            each.clear()


def tc(*words: str) -> str:
    """What ``tc`` prints."""
    return subprocess.run(["tc", *words], capture_output=True, text=True, check=True).stdout


def somebodys(folder: Path, name: str, verdict: int) -> str:
    """Somebody else's TC program, as an object file."""
    source, target = folder / f"{name}.c", folder / f"{name}.o"
    text = f'__attribute__((section("tc"))) int {name}(void *ctx) {{ return {verdict}; }}\n'
    source.write_text(text)
    subprocess.run(["clang-16", "-target", "bpf", "-O2", "-c", source, "-o", target], check=True)
    return str(target)


def occupy(ifname: str, side: str, folder: Path) -> None:
    """Somebody else's filter with our handle and priority."""
    tc("qdisc", "add", "dev", ifname, "clsact")
    target = somebodys(folder, "other", TCX_NEXT)
    words = ("prio", "1", "handle", "1", "bpf", "da", "obj", target, "sec", "tc")
    tc("filter", "add", "dev", ifname, side, *words)


@pytest.fixture
def no_tcx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel before 6.6."""

    def refuse(program: int, ifindex: int, point: int) -> int:
        del program, ifindex, point
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(libbpf, "tcx_link", refuse)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with the pair t0 and t1; this thread is in it."""
    name = f"xlvs-test-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    netns.create(name)
    netns.pushns(name)
    try:
        lines = ["link add t0 type veth peer name t1", "link set t0 up", "link set t1 up"]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        yield name
    finally:
        netns.popns()
        netns.remove(name)


@pytest.fixture(scope="module")
def loaded() -> Iterator[World]:
    """A director that the tests of a file share; both hooks use the same maps."""
    with world("xdp") as made:
        yield made


@pytest.fixture
def director(hook: str, loaded: World) -> World:
    """An empty director, used through one hook: for tables of packets."""
    loaded.hook = hook
    loaded.reset()
    return loaded
