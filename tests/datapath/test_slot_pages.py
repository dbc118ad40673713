# SPDX-License-Identifier: Apache-2.0
"""Slots of mh and sh in more pages than one: made, found again, let go."""

from __future__ import annotations

import os
import resource
import time
from array import array
from ipaddress import ip_address
from pathlib import Path

import pytest

from xlvs.datapath import libbpf
from xlvs.datapath.libbpf.calls import library, ptr, u32
from xlvs.datapath.loader import OBJECTS, DataPath
from xlvs.datapath.problems import DataPathProblem
from xlvs.datapath.records import NO_DESTINATION, SLOT_PAGE
from xlvs.datapath.slots import Past
from xlvs.datapath.space import page_of
from xlvs.datapath.tables import Region
from xlvs.datapath.writes import DropSlotPages, PutSlotPages, WriteSlots
from xlvs.io.kernel import Kernel
from xlvs.io.slot_maps import SlotMaps
from xlvs.model import edit
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol, Service, ServiceKey
from xlvs.schedulers import maglev

from . import world as w
from .conftest import forget_build
from .test_hashing import KEY, MANY, Controlled, add, change, picks, reference
from .test_hashing import controlled as controlled  # noqa: PLC0414 - a fixture
from .world import world

TABLES = SLOT_PAGE // maglev.SIZE


def other(port: int) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=ip_address(w.VIP), port=port)


def fill_a_page(controlled: Controlled) -> None:
    for port in range(1000, 1000 + TABLES):
        service = Service(key=other(port), scheduler="mh")
        controlled.director.edit(
            [edit.AddService(service=service), add(1, key=other(port))], go_on=False
        )


def pages(controlled: Controlled) -> set[int]:
    return set(SlotMaps(controlled.world.path).pages())


@pytest.mark.parametrize(
    ("scheduler", "more"), [("mh", {}), ("mh", {"stateless": True}), ("sh", {})]
)
def test_a_service_in_the_second_page(
    controlled: Controlled, scheduler: str, more: dict[str, bool]
) -> None:
    fill_a_page(controlled)
    assert pages(controlled) == {0}
    controlled.service(scheduler=scheduler, **more)
    assert pages(controlled) == {0, 1}
    assert picks(controlled.world, MANY) == reference(MANY, scheduler=scheduler)
    controlled.restart()
    later = range(100, 160)
    assert picks(controlled.world, later) == reference(later, scheduler=scheduler)


def test_a_page_goes_when_no_service_needs_it(controlled: Controlled) -> None:
    fill_a_page(controlled)
    controlled.service(stateless=True)
    service = controlled.director.effective.service_ids[KEY]
    region, _ = controlled.kernel.have().slot_regions[service]
    assert page_of(region) == 1
    controlled.do(edit.DeleteService(key=KEY))
    controlled.director.reap(0.0)
    assert pages(controlled) == {0, 1}, "packets may be reading there"
    time.sleep(1.1)
    controlled.director.reap(1.0)
    assert pages(controlled) == {0}
    controlled.service(stateless=True)
    assert pages(controlled) == {0, 1}
    assert picks(controlled.world, MANY) == reference(MANY)


def test_no_room_leaves_all_as_it_was(controlled: Controlled) -> None:
    fill_a_page(controlled)
    controlled.service()
    for port in range(2000, 2000 + TABLES - 1):
        service = Service(key=other(port), scheduler="mh")
        servers = [add(1, key=other(port))]
        controlled.director.edit([edit.AddService(service=service), *servers], go_on=False)
    before = controlled.kernel.have().tables
    with pytest.raises(Problem, match="no room for the slots of more services"):
        controlled.do(change(2, 5))
    assert controlled.kernel.have().tables == before
    assert picks(controlled.world, MANY) == reference(MANY)


@pytest.mark.parametrize("build", ["the same", "another"])
def test_a_started_daemon_finds_the_pages_of_the_one_before(build: str) -> None:
    """Only the pinned outer map names them."""
    with world("xdp") as made:
        controlled = Controlled(made)
        fill_a_page(controlled)
        controlled.service(stateless=True)
        controlled.do(change(2, 0))
        before, first = controlled.kernel.have(), picks(made, MANY)
        controlled.close()
        if build == "another":
            forget_build(made.path.pins)
        again = DataPath.open(made.path.pins)
        try:
            assert again.adopted
            assert again.sizes == made.path.sizes
            kernel = Kernel(again)
            have = kernel.have()
            assert have.slot_pages == before.slot_pages == {0, 1}
            assert have.tables == before.tables
            assert have.pasts == before.pasts
            kernel._views.clear()
            old, made.path = made.path, again
            for hook in ("xdp", "tc"):
                made.hook = hook
                assert picks(made, MANY, "A") == first
            made.path = old
        finally:
            again.close()


# ---- the maps themselves


def test_pages_are_defined_without_types(tmp_path: Path) -> None:
    """Before Linux 6.2 a map with BTF is not alike one without, so no page would be taken."""
    of = library()
    for name in ("bpf_map__inner_map", "bpf_map__btf_value_type_id", "bpf_map__btf_key_type_id"):
        function = getattr(of, name)
        function.argtypes = (ptr,)
        function.restype = ptr if name.endswith("inner_map") else u32
    made = libbpf.Object(str(OBJECTS / "xdp.bpf.o"), str(tmp_path))
    (outer,) = (each.handle for each in made.maps() if each.name == "hash_slots")
    page = of.bpf_map__inner_map(outer)
    assert (of.bpf_map__btf_key_type_id(page), of.bpf_map__btf_value_type_id(page)) == (0, 0)
    made.close()


def test_what_is_written_is_read(shared_path: DataPath) -> None:
    maps = SlotMaps(shared_path)
    maps.put([1])
    region = Region(2 * SLOT_PAGE - 5, 5)
    owners = array("I", [7, 8, 9, 10, 11])
    pasts = {3: Past(2, 0xFFFFFFF0)}
    maps.write(WriteSlots(region, owners, pasts))
    assert maps.read(region) == (owners, pasts)
    maps.write(WriteSlots(region, owners, {}))
    assert maps.read(region) == (owners, {})
    page = shared_path.map("hash_slots").inner(1)
    assert page is not None
    raw = page.lookup(SLOT_PAGE - 1)
    assert raw is not None
    assert raw[:8] == (11).to_bytes(4, "little") + NO_DESTINATION.to_bytes(4, "little")
    assert page.lookup(SLOT_PAGE - 6) == bytes(len(raw))
    page.close()
    maps.drop([1])
    maps.drop([1])
    assert maps.pages() == frozenset()
    with pytest.raises(OSError, match="no page 1"):
        maps.read(region)


def test_pages_need_no_descriptor_each(pin_folder: Path) -> None:
    """A service of systemd has 1024; so many pages have as many services as there can be."""
    path = DataPath.open(pin_folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 100, hard))
    try:
        kernel = Kernel(path)
        kernel.write([PutSlotPages(tuple(range(200)))])
        for number in range(200):
            kernel._slots.read(Region(number * SLOT_PAGE, 1))
        assert kernel.have().slot_pages == frozenset(range(200))
        kernel.write([DropSlotPages((0, 199))])
        assert kernel.have().slot_pages == frozenset(range(1, 199))
        # Maps that are mapped keep one each; pages that were looked at keep none.
        assert len(os.listdir("/proc/self/fd")) < before + 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kernel.close()


def test_pages_that_cannot_be_made_are_a_problem(
    shared_path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def scarce(*words: object) -> int:
        if len(made) == 2:
            raise OSError(12, os.strerror(12))
        made.append(create(*words))  # type: ignore[arg-type]
        return made[-1]

    create = libbpf.map_create
    monkeypatch.setattr(libbpf, "map_create", scarce)
    kernel = Kernel(shared_path)
    with pytest.raises(DataPathProblem, match="writing the maps"):
        kernel.write([PutSlotPages((0, 1, 1))])
    assert kernel._slots.pages() == frozenset()
    for fd in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
