# SPDX-License-Identifier: Apache-2.0
"""Programs on interfaces: every hook, exchanged, detached, found again, gone."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from pyroute2 import netns

from xlvs.datapath import libbpf
from xlvs.datapath.attach import HOOKS, TC_HANDLE, TC_PRIORITY
from xlvs.datapath.loader import DataPath, remove
from xlvs.datapath.place import remember
from xlvs.datapath.problems import DataPathProblem
from xlvs.datapath.records import Settings

from .conftest import SMALL, occupy, tc

THEIRS = ("protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1")


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def running(ifname: str) -> set[str]:
    """What the kernel says runs on an interface, independent of our marks."""
    index = socket.if_nametoindex(ifname)
    native, generic = libbpf.xdp_query(index)
    found = {"xdp"} if native else set()
    found |= {"xdp-generic"} if generic else set()
    if "xlvs_tc_ingress" in tc("filter", "show", "dev", ifname, "ingress"):
        found.add("tc")
    return found


def egress(ifname: str) -> bool:
    return "xlvs_tc_egress" in tc("filter", "show", "dev", ifname, "egress")


def clsact(ifname: str) -> bool:
    return "clsact" in tc("qdisc", "show", "dev", ifname)


def clean(ifname: str) -> bool:
    return not running(ifname) and not clsact(ifname)


def count_local(path: DataPath, local_destinations: int) -> None:
    """As the daemon leaves the maps with so many servers on the director itself."""
    settings = Settings(local_destinations=local_destinations)
    path.map("settings").update(0, path.layout.pack(settings))


def attached(path: DataPath) -> list[tuple[str, str]]:
    return [(a.ifname, a.hook) for a in path.attachments()]


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_attach_find_detach(shared_path: DataPath, hook: str) -> None:
    shared_path.attach("t0", hook)
    assert running("t0") == {hook}
    assert attached(shared_path) == [("t0", hook)]
    # XDP needs no qdisc.
    assert clsact("t0") == (hook == "tc")
    shared_path.detach("t0")
    assert clean("t0")
    assert attached(shared_path) == []
    assert list((shared_path.pins / "links").iterdir()) == []
    shared_path.detach("t0")


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("first", HOOKS)
@pytest.mark.parametrize("second", HOOKS)
@pytest.mark.parametrize("on", [False, True])
def test_another_hook_replaces_the_first(
    shared_path: DataPath, first: str, second: str, on: bool
) -> None:
    shared_path.put_egress(on=on)
    shared_path.attach("t0", first)
    shared_path.attach("t0", second)
    assert running("t0") == {second}
    assert attached(shared_path) == [("t0", second)]
    assert egress("t0") is on
    assert clsact("t0") == (on or second == "tc")


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_egress_comes_and_goes_on_all_interfaces(shared_path: DataPath, hook: str) -> None:
    shared_path.attach("t0", hook)
    assert not egress("t0")
    shared_path.put_egress(on=True)
    assert running("t0") == {hook}
    assert egress("t0")
    shared_path.attach("t1", "xdp")
    assert egress("t1")
    assert [found.egress for found in shared_path.attachments()] == [True, True]
    shared_path.put_egress(on=False)
    assert not egress("t0")
    assert running("t0") == {hook}
    assert clsact("t0") == (hook == "tc")
    assert running("t1") == {"xdp"}
    assert not clsact("t1")
    assert [found.egress for found in shared_path.attachments()] == [False, False]


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_egress_is_on_all_interfaces_or_on_none(
    shared_path: DataPath, hook: str, tmp_path: Path
) -> None:
    occupy("t1", "egress", tmp_path)
    shared_path.attach("t0", hook)
    shared_path.attach("t1", hook)
    links = sorted(each.name for each in (shared_path.pins / "links").iterdir())
    with pytest.raises(DataPathProblem, match="attaching to egress of t1: another program holds"):
        shared_path.put_egress(on=True)
    assert not shared_path.egress
    assert not egress("t0")
    assert clsact("t0") == (hook == "tc")
    assert "other" in tc("filter", "show", "dev", "t1", "egress")
    assert sorted(each.name for each in (shared_path.pins / "links").iterdir()) == links


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("local_destinations", [0, 2])
def test_a_new_process_has_egress_as_the_maps_want_it(
    data_path: DataPath, pin_folder: Path, hook: str, local_destinations: int
) -> None:
    data_path.put_egress(on=True)
    data_path.attach("t0", hook)
    count_local(data_path, local_destinations)
    data_path.close()
    DataPath.open(pin_folder, SMALL).close()
    assert running("t0") == {hook}
    assert egress("t0") is bool(local_destinations)
    # And the other way round: without the filter that the maps want.
    index = socket.if_nametoindex("t0")
    if local_destinations:
        libbpf.tc_detach(index, libbpf.TC_EGRESS, TC_HANDLE, TC_PRIORITY)
        DataPath.open(pin_folder, SMALL).close()
        assert egress("t0")


@pytest.mark.usefixtures("namespace")
def test_anothers_qdisc_stays_when_egress_goes(shared_path: DataPath) -> None:
    tc("qdisc", "add", "dev", "t0", "clsact")
    shared_path.attach("t0", "xdp")
    shared_path.put_egress(on=True)
    shared_path.put_egress(on=False)
    assert clsact("t0")
    assert [each.name for each in (shared_path.pins / "links").iterdir()] == ["t0-xdp"]


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_a_new_version_takes_over(data_path: DataPath, pin_folder: Path, hook: str) -> None:
    data_path.attach("t0", hook)
    index = socket.if_nametoindex("t0")

    def program() -> int:
        if hook == "tc":
            return libbpf.tc_query(index, libbpf.TC_INGRESS, TC_HANDLE, TC_PRIORITY)
        return max(libbpf.xdp_query(index))

    before = program()
    data_path.close()
    again = DataPath.open(pin_folder, SMALL)
    wanted = "xlvs_tc_ingress" if hook == "tc" else "xlvs_xdp"
    expected = int.from_bytes(libbpf.info(again.programs[wanted])[4:8], "little")
    assert program() == expected != before
    assert attached(again) == [("t0", hook)]
    again.close()
    assert running("t0") == {hook}


@pytest.mark.usefixtures("namespace")
def test_remove_leaves_nothing_even_without_the_process(
    data_path: DataPath, pin_folder: Path
) -> None:
    # bpffs knows no dots in names, interfaces (VLANs above all) do.
    ip("link", "add", "t0.100", "type", "veth", "peer", "name", "t1.100")
    data_path.put_egress(on=True)
    data_path.attach("t0", "xdp")
    data_path.attach("t1", "tc")
    data_path.attach("t0.100", "tc")
    assert attached(data_path) == [("t0", "xdp"), ("t0.100", "tc"), ("t1", "tc")]
    data_path.close()
    remove(pin_folder)
    assert clean("t0")
    assert clean("t1")
    assert clean("t0.100")
    assert not pin_folder.exists()


@pytest.mark.parametrize("hook", HOOKS)
def test_remove_from_another_namespace(
    data_path: DataPath, pin_folder: Path, namespace: str, hook: str
) -> None:
    remember(data_path.pins)
    data_path.attach("t0", hook)
    netns.popns()
    try:
        remove(pin_folder)
        assert not pin_folder.exists()
    finally:
        netns.pushns(namespace)
    assert clean("t0")


def test_no_adoption_from_another_namespace(
    data_path: DataPath, pin_folder: Path, namespace: str
) -> None:
    remember(data_path.pins)
    data_path.attach("t0", "tc")
    netns.popns()
    try:
        with pytest.raises(DataPathProblem, match=r"another network namespace \(on t0\)"):
            DataPath.open(pin_folder, SMALL)
    finally:
        netns.pushns(namespace)
    assert running("t0") == {"tc"}
    data_path.detach("t0")
    netns.popns()
    try:
        DataPath.open(pin_folder, SMALL).close()
    finally:
        netns.pushns(namespace)


def test_remove_when_the_namespace_is_gone(data_path: DataPath, pin_folder: Path) -> None:
    name = f"xlvs-test-{os.getpid()}-gone"
    netns.create(name)
    netns.pushns(name)
    try:
        ip("link", "add", "t0", "type", "veth", "peer", "name", "t1")
        remember(data_path.pins)
        data_path.attach("t0", "tc")
    finally:
        netns.popns()
        netns.remove(name)
    remove(pin_folder)
    assert not pin_folder.exists()


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_an_interface_that_is_gone_or_new(shared_path: DataPath, hook: str) -> None:
    shared_path.attach("t0", hook)
    ip("link", "del", "t0")
    assert attached(shared_path) == []
    ip("link", "add", "t0", "type", "veth", "peer", "name", "t1")
    assert attached(shared_path) == []
    shared_path.attach("t0", hook)
    assert attached(shared_path) == [("t0", hook)]
    ip("link", "del", "t0")
    shared_path.detach("t0")
    assert attached(shared_path) == []


@pytest.mark.usefixtures("namespace")
def test_no_such_interface_or_hook(shared_path: DataPath) -> None:
    with pytest.raises(DataPathProblem, match="there is no interface nope"):
        shared_path.attach("nope", "tc")
    with pytest.raises(DataPathProblem, match="choose one of xdp, xdp-generic, tc"):
        shared_path.attach("t0", "auto")


@pytest.mark.usefixtures("namespace")
def test_anothers_xdp_program_is_left_alone(shared_path: DataPath) -> None:
    index = socket.if_nametoindex("t0")
    theirs = libbpf.xdp_link(shared_path.programs["xlvs_xdp"], index, libbpf.XDP_FLAGS_DRV_MODE)
    with pytest.raises(DataPathProblem, match="another program holds the hook"):
        shared_path.attach("t0", "xdp")
    assert attached(shared_path) == []
    os.close(theirs)
    assert clean("t0")


@pytest.mark.usefixtures("namespace")
def test_anothers_filters_and_qdisc_stay(shared_path: DataPath) -> None:
    tc("qdisc", "add", "dev", "t0", "clsact")
    tc("filter", "add", "dev", "t0", "ingress", "prio", "7", *THEIRS)
    shared_path.attach("t0", "tc")
    shared_path.detach("t0")
    assert "u32" in tc("filter", "show", "dev", "t0", "ingress")
    assert "xlvs" not in tc("filter", "show", "dev", "t0", "ingress")


@pytest.mark.usefixtures("namespace")
def test_our_qdisc_stays_for_anothers_filter(shared_path: DataPath) -> None:
    shared_path.put_egress(on=True)
    shared_path.attach("t0", "xdp")
    tc("filter", "add", "dev", "t0", "egress", "prio", "7", *THEIRS)
    shared_path.put_egress(on=False)
    assert "u32" in tc("filter", "show", "dev", "t0", "egress")
    shared_path.attach("t0", "tc")
    shared_path.detach("t0")
    assert "u32" in tc("filter", "show", "dev", "t0", "egress")


@pytest.mark.usefixtures("namespace")
def test_anothers_filter_on_our_handle_is_not_overwritten(
    shared_path: DataPath, tmp_path: Path
) -> None:
    occupy("t0", "ingress", tmp_path)
    shared_path.put_egress(on=True)
    with pytest.raises(DataPathProblem, match="ingress of t0: another program holds the hook"):
        shared_path.attach("t0", "tc")
    assert attached(shared_path) == []
    assert not egress("t0")
    assert list((shared_path.pins / "links").iterdir()) == []
