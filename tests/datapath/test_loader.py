# SPDX-License-Identifier: Apache-2.0
"""Loading, adopting, refusing, removing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from xlvs.datapath import libbpf, loader, problems, records
from xlvs.datapath.libbpf.runs import TestRun as Run
from xlvs.datapath.loader import OBJECTS, DataPath, Sizes, exists, remove
from xlvs.datapath.maps import map_info
from xlvs.datapath.problems import DataPathProblem
from xlvs.datapath.programs import HOOK_PROGRAMS

from .conftest import SMALL, forget_build

MAPS = {
    "services_by_key4",
    "services_by_key",
    "services",
    "schedules",
    "service_destinations",
    "remap",
    "destinations",
    "destination_load",
    "service_stats",
    "destination_stats",
    "reasons",
    "hash_slots",
    "port_blocks",
    "port_rows",
    "local_ports",
    "addresses",
    "geometry",
    "connections4",
    "connections6",
    "regions4",
    "regions6",
    "table",
    "table_counts",
    "next_hops",
    "service_hints",
    "sweepers",
    "settings",
    "interfaces",
    "events",
}
PROGRAMS = {
    "xlvs_xdp",
    "xlvs_tc_ingress",
    "xlvs_tc_egress",
    "xlvs_tc_answers",
    "xlvs_close",
    "xlvs_commit",
    "xlvs_now",
    "xlvs_start_sweep",
    "xlvs_sync",
}


def pinned_program(folder: Path, name: str) -> int:
    """Id of a pinned program."""
    fd = libbpf.get(str(folder / "progs" / name))
    try:
        return int.from_bytes(libbpf.info(fd)[4:8], "little")
    finally:
        os.close(fd)


def test_a_fresh_start_pins_everything(data_path: DataPath, pin_folder: Path) -> None:
    assert not data_path.adopted
    assert data_path.sizes == SMALL
    assert {p.name for p in (pin_folder / "maps").iterdir()} >= MAPS
    assert set(data_path.programs) == PROGRAMS
    pinned = {p.name for p in (pin_folder / "progs").iterdir()}
    assert pinned == PROGRAMS - set(HOOK_PROGRAMS)
    assert data_path.programs["xlvs_tc_egress"]
    assert {p.name for p in (pin_folder / "progs").iterdir()} == pinned | {"xlvs_tc_egress"}
    assert exists(pin_folder)


@pytest.mark.parametrize("image", sorted(OBJECTS.glob("*.bpf.o")), ids=lambda each: each.name)
def test_constants_are_one_map(image: Path, tmp_path: Path) -> None:
    """A program may have 64 maps: none for a table that is static (``constant_table``)."""
    loaded = libbpf.Object(str(image), str(tmp_path))
    names = {each.name for each in loaded.maps()}
    loaded.close()
    assert names
    assert not {name for name in names if ".rodata." in name}


def test_sizes_reach_every_map(data_path: DataPath) -> None:
    entries = {name: data_path.map(name).info.max_entries for name in MAPS}
    assert entries["connections4"] == SMALL.connections * 23 // 24 + 1 + records.CHAIN - 1
    assert entries["connections6"] == SMALL.connections6 + records.CHAIN - 1
    assert entries["services_by_key4"] == entries["services_by_key"] == SMALL.services
    assert entries["services"] == entries["schedules"] == entries["service_stats"] == SMALL.services
    assert entries["remap"] == entries["service_destinations"] == SMALL.service_destinations
    assert entries["destination_load"] == entries["destinations"] == SMALL.destinations
    assert (entries["port_blocks"], entries["local_ports"]) == (16, 16)
    assert entries["hash_slots"] == SMALL.slot_pages
    assert entries["reasons"] > max(data_path.layout.reasons)


def test_the_geometry_is_written_once(data_path: DataPath, pin_folder: Path) -> None:
    first = data_path.geometry
    assert first.secret[1] & 1
    assert 0 not in first.secret
    assert (first.lines4, first.lines6) == (SMALL.connections * 23 // 24 + 1, SMALL.connections6)
    assert first.half_open_max == SMALL.connections // 4
    data_path.close()
    again = DataPath.open(pin_folder, replace(SMALL, connections=8))
    assert again.geometry == first
    again.close()


def test_ticks_go_by_as_the_geometry_says(data_path: DataPath) -> None:
    before, ticks, after = time.monotonic(), data_path.ticks(), time.monotonic()
    time.sleep(0.2)
    least = time.monotonic() - after
    passed = (data_path.ticks() - ticks & 0xFFFFFFFF) / data_path.geometry.hz
    most = time.monotonic() - before
    tick = 2 / data_path.geometry.hz
    assert least - tick <= passed <= most + tick


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port_blocks": 65535}, "there can be 65534 pairs of local address and real server"),
        ({"connections": 1 << 31}, "--table-size"),
    ],
)
def test_sizes_that_no_number_has_room_for(
    pin_folder: Path, changes: dict[str, int], words: str
) -> None:
    with pytest.raises(DataPathProblem, match=words):
        DataPath.open(pin_folder, replace(SMALL, **changes))
    assert not pin_folder.exists()


def test_adoption_keeps_maps_and_exchanges_programs(data_path: DataPath, pin_folder: Path) -> None:
    key = data_path.layout.pack(records.ServiceKey(port=80, protocol=6, family=2))
    data_path.map("services_by_key").update(key, (7).to_bytes(4, "little"))
    before = pinned_program(pin_folder, "xlvs_commit")
    data_path.close()
    forget_build(pin_folder)

    again = DataPath.open(pin_folder, replace(SMALL, connections=8))
    try:
        assert again.adopted
        assert again.sizes == SMALL
        assert again.map("services_by_key").lookup(key) == b"\7\0\0\0"
        assert pinned_program(pin_folder, "xlvs_commit") != before
        assert not [p.name for p in (pin_folder / "progs").iterdir() if p.name.endswith("-new")]
    finally:
        again.close()


def test_a_restart_of_the_same_build_keeps_the_programs(
    data_path: DataPath, pin_folder: Path
) -> None:
    """A restart takes a third of the time when the verifier is not asked again."""
    used = [*PROGRAMS - set(HOOK_PROGRAMS), "xlvs_xdp"]
    assert data_path.programs["xlvs_xdp"]
    before = {name: pinned_program(pin_folder, name) for name in used}
    maps = {each.name: each.info.id for each in data_path.maps()}
    data_path.close()
    again = DataPath.open(pin_folder, SMALL)
    try:
        assert again.adopted
        assert {name: pinned_program(pin_folder, name) for name in used} == before
        assert set(again.programs.loaded) == set(used)
        assert {each.name: each.info.id for each in again.maps()} == maps
        assert again.ticks() > 0
    finally:
        again.close()


def test_another_layout_is_refused_and_left_alone(data_path: DataPath, pin_folder: Path) -> None:
    fd = libbpf.get(str(pin_folder / "layout"))
    text = libbpf.map_lookup(fd, bytes(4), map_info(fd).value_size)
    assert text is not None
    wrong = text.replace(b'"XLVS_SCHED_RR":1', b'"XLVS_SCHED_RR":9')
    libbpf.map_update(fd, bytes(4), wrong)
    os.close(fd)
    before = pinned_program(pin_folder, "xlvs_commit")
    with pytest.raises(DataPathProblem) as refusal:
        DataPath.open(pin_folder, SMALL)
    assert "enums xlvs_scheduler XLVS_SCHED_RR is 9 in the pinned maps" in refusal.value.message
    assert "xlvs down" in refusal.value.message
    assert pinned_program(pin_folder, "xlvs_commit") == before
    assert data_path.map("table").lookup(0) is not None


def test_a_start_that_broke_off_is_cleared_away(data_path: DataPath, pin_folder: Path) -> None:
    data_path.map("settings").update(0, b"\1" * data_path.map("settings").info.value_size)
    data_path.close()
    (pin_folder / "layout").unlink()
    again = DataPath.open(pin_folder, SMALL)
    assert not again.adopted
    assert again.map("settings").lookup(0) == bytes(again.map("settings").info.value_size)
    again.close()


def with_a_bad_program(folder: Path, name: str, program: str) -> None:
    """The objects, but ``name`` is one whose program reads behind the packet."""
    for each in loader.OBJECT_FILES:
        shutil.copy(OBJECTS / each, folder)
    source = folder / "bad.bpf.c"
    source.write_text(
        '#include "maps.h"\n'
        f'SEC("xdp") int {program}(struct xdp_md *ctx)\n'
        "{ return *(int *)(long)ctx->data; }\n"
        'char _license[] SEC("license") = "Dual BSD/GPL";\n'
    )
    sys.path.insert(0, str(OBJECTS.parents[3]))
    try:
        from hatch_build import compiler, flags  # noqa: PLC0415  # needs the path set above
    finally:
        sys.path.pop(0)
    command = [compiler(), *flags(), "-c", str(source), "-o", str(folder / name)]
    subprocess.run(command, check=True)


def test_a_refused_program_leaves_nothing(tmp_path: Path, pin_folder: Path) -> None:
    """The verifier's sentence comes through."""
    with_a_bad_program(tmp_path, "control.bpf.o", "xlvs_bad")
    with pytest.raises(DataPathProblem) as refusal:
        DataPath.open(pin_folder, SMALL, tmp_path)
    assert "the kernel's verifier refused xlvs_bad" in refusal.value.message
    assert "processed" in refusal.value.log
    assert not pin_folder.exists()


def test_a_refused_program_of_a_hook(tmp_path: Path, pin_folder: Path) -> None:
    """It is loaded when an interface needs it: what runs already goes on."""
    with_a_bad_program(tmp_path, "tc.bpf.o", "xlvs_tc_ingress")
    path = DataPath.open(pin_folder, SMALL, tmp_path)
    try:
        with pytest.raises(DataPathProblem, match="verifier refused xlvs_tc_ingress"):
            path.attach("lo", "tc")
        assert "xlvs_tc_ingress" not in path.programs.loaded
        with pytest.raises(DataPathProblem, match="there is no program xlvs_tc_egress"):
            path.programs["xlvs_tc_egress"]
        assert path.ticks() > 0
    finally:
        path.close()
        remove(pin_folder)


def test_missing_objects_are_named(tmp_path: Path, pin_folder: Path) -> None:
    with pytest.raises(DataPathProblem, match=r"lacks xdp\.bpf\.o.*script/bootstrap"):
        DataPath.open(pin_folder, SMALL, tmp_path)


def test_without_privilege(monkeypatch: pytest.MonkeyPatch, pin_folder: Path) -> None:
    monkeypatch.setattr(loader, "privileged", lambda: False)
    with pytest.raises(DataPathProblem, match="run it as root"):
        DataPath.open(pin_folder, SMALL)
    assert problems.privileged()


def test_a_folder_outside_bpffs(tmp_path: Path) -> None:
    with pytest.raises(DataPathProblem, match="does not lie on a bpf file system"):
        DataPath.open(tmp_path / "pins", SMALL)


def test_a_table_too_big_leaves_nothing(pin_folder: Path) -> None:
    with pytest.raises(DataPathProblem, match="--table-size"):
        DataPath.open(pin_folder, replace(SMALL, connections=1 << 30))
    assert not pin_folder.exists()


def test_removing_twice_is_fine(data_path: DataPath, pin_folder: Path) -> None:
    data_path.close()
    remove(pin_folder)
    assert not pin_folder.exists()
    assert not exists(pin_folder)
    remove(pin_folder)


def test_commit_publishes_a_list(data_path: DataPath) -> None:
    wanted = records.ServerList(base=5, count=2, gcd=1, max_weight=1)
    generation = data_path.commit(
        records.Commit(service=3, scheduler=records.Scheduler.RR, reset=1, list=wanted)
    )
    raw = data_path.map("schedules").lookup(3)
    assert raw is not None
    schedule = data_path.layout.unpack(records.Schedule, raw)
    assert schedule.list[generation & 1] == wanted
    assert schedule.word >> 48 == generation


def test_commit_for_no_service_is_a_problem(data_path: DataPath) -> None:
    with pytest.raises(DataPathProblem, match="refused the list of service 100000"):
        data_path.commit(records.Commit(service=100_000))


def test_the_sweep_runs_once_however_often_it_is_started(data_path: DataPath) -> None:
    codec = data_path.layout.codec(records.Table)
    view = data_path.map("table").view()
    for _ in range(3):
        data_path.start_sweep()
    deadline = time.monotonic() + 5
    while codec.unpack(view).sweeps < 3:
        assert time.monotonic() < deadline, "the sweep stands still"
        time.sleep(0.01)
    begin, ticks = time.monotonic(), codec.unpack(view).sweeps
    time.sleep(0.5)
    rate = (codec.unpack(view).sweeps - ticks) / (time.monotonic() - begin)
    view.release()
    data_path.start_sweep()
    assert rate < 200


def test_a_timer_without_memory_is_started_again(
    data_path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes its memory without waiting, so that a busy machine may have none."""
    answers = [errno.ENOMEM, errno.ENOMEM, 0]
    monkeypatch.setattr(loader.time, "sleep", lambda _: None)
    monkeypatch.setattr(
        loader.libbpf, "test_run", lambda *_: Run((-answers.pop(0)) % 2**32, b"", b"", 0)
    )
    data_path.start_sweep()
    assert not answers

    monkeypatch.setattr(
        loader.libbpf, "test_run", lambda *_: Run((-errno.ENOMEM) % 2**32, b"", b"", 0)
    )
    with pytest.raises(DataPathProblem, match=r"did not start \(Cannot allocate memory\)"):
        data_path.start_sweep()


def test_pins_are_the_machines_under_ip_netns_exec(namespace: str, pin_folder: Path) -> None:
    """Such a command sees no bpffs; one of its own would end with it."""
    program = (
        "import sys; from pathlib import Path; from xlvs.datapath.loader import DataPath, Sizes;"
        "p = DataPath.open(Path(sys.argv[1]), Sizes(64, 8, 8, 8, 1, 1)); p.attach('t0', 'tc');"
        "print(p.adopted)"
    )
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", program, str(pin_folder)]
    for adopted in ("False", "True"):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == adopted
    assert any((pin_folder / "links").iterdir())


def test_default_sizes_load(pin_folder: Path) -> None:
    path = DataPath.open(pin_folder)
    assert path.sizes == Sizes()
    path.close()
