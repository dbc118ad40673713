# SPDX-License-Identifier: Apache-2.0
"""Programs on interfaces: every hook, exchanged, detached, found again, gone.

All of it twice: TC by tcx, and by filters as on a kernel before 6.6.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pyroute2 import netns
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from tests import tc_programs

from xlvs.datapath import clsact as clsact_filters
from xlvs.datapath import libbpf, tcx
from xlvs.datapath.attach import HOOKS
from xlvs.datapath.clsact import HANDLE, PRIORITY
from xlvs.datapath.loader import DataPath, remove
from xlvs.datapath.place import remember
from xlvs.datapath.points import POINTS, SIDES
from xlvs.datapath.problems import DataPathProblem
from xlvs.datapath.records import Settings

from .conftest import SMALL, TCX_NEXT, forget_build, occupy, somebodys, tc

TC_ACT_SHOT = 2
TCX_MOST = 63
THEIRS = ("protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1")


@pytest.fixture(autouse=True, params=["tcx", "clsact"])
def way(request: pytest.FixtureRequest) -> str:
    """How this kernel attaches TC programs."""
    if request.param == "clsact":
        request.getfixturevalue("no_tcx")
    return str(request.param)


only_clsact = pytest.mark.parametrize("way", ["clsact"], indirect=True)
only_tcx = pytest.mark.parametrize("way", ["tcx"], indirect=True)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def running(ifname: str) -> set[str]:
    """What the kernel says runs on an interface, independent of our marks."""
    index = socket.if_nametoindex(ifname)
    native, generic = libbpf.xdp_query(index)
    found = {"xdp"} if native else set()
    found |= {"xdp-generic"} if generic else set()
    if by_tc(ifname, "ingress"):
        found.add("tc")
    return found


def by_tc(ifname: str, side: str) -> str:
    """The way by which our program runs: tcx, clsact, both (with a comma), or ""."""
    name = f"xlvs_tc_{side}"
    found = ["tcx"] * tc_programs.tcx(ifname, side).count(name)
    found += ["clsact"] * tc_programs.filters(ifname, side).count(f" {name} ")
    return ",".join(found)


def egress(ifname: str) -> bool:
    return bool(by_tc(ifname, "egress"))


def take_off(ifname: str, side: str, pin_folder: Path) -> None:
    """As somebody else would, without a word to us."""
    if by_tc(ifname, side) == "clsact":
        tc("filter", "del", "dev", ifname, side)
        return
    link = libbpf.get(str(pin_folder / "links" / f"{ifname}-{side}"))
    libbpf.link_detach(link)
    os.close(link)


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
def test_attach_find_detach(shared_path: DataPath, hook: str, way: str) -> None:
    shared_path.attach("t0", hook)
    assert running("t0") == {hook}
    assert by_tc("t0", "ingress") == (way if hook == "tc" else "")
    assert attached(shared_path) == [("t0", hook)]
    # Only filters need a qdisc.
    assert clsact("t0") == (hook == "tc" and way == "clsact")
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
    shared_path: DataPath, first: str, second: str, on: bool, way: str
) -> None:
    shared_path.put_egress(on=on)
    shared_path.attach("t0", first)
    shared_path.attach("t0", second)
    assert running("t0") == {second}
    assert attached(shared_path) == [("t0", second)]
    assert egress("t0") is on
    assert clsact("t0") == (way == "clsact" and (on or second == "tc"))


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_egress_comes_and_goes_on_all_interfaces(
    shared_path: DataPath, hook: str, way: str
) -> None:
    shared_path.attach("t0", hook)
    assert not egress("t0")
    shared_path.put_egress(on=True)
    assert running("t0") == {hook}
    assert by_tc("t0", "egress") == way
    shared_path.attach("t1", "xdp")
    assert egress("t1")
    assert [found.egress for found in shared_path.attachments()] == [True, True]
    shared_path.put_egress(on=False)
    assert not egress("t0")
    assert running("t0") == {hook}
    assert clsact("t0") == (hook == "tc" and way == "clsact")
    assert running("t1") == {"xdp"}
    assert not clsact("t1")
    assert [found.egress for found in shared_path.attachments()] == [False, False]


@only_clsact
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
    # And the other way round: without the program that the maps want.
    if local_destinations:
        take_off("t0", "egress", pin_folder)
        assert not egress("t0")
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
def test_a_new_version_takes_over(
    data_path: DataPath, pin_folder: Path, hook: str, way: str
) -> None:
    data_path.attach("t0", hook)
    index = socket.if_nametoindex("t0")

    def program() -> int:
        if hook != "tc":
            return max(libbpf.xdp_query(index))
        if way == "tcx":
            return tc_programs.tcx_ids("t0", "ingress")[0]
        return libbpf.tc_query(index, libbpf.TC_INGRESS, HANDLE, PRIORITY)

    before = program()
    data_path.close()
    forget_build(pin_folder)
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


@only_clsact
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


@only_clsact
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


@only_tcx
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("hook", HOOKS)
def test_links_take_over_from_filters(
    data_path: DataPath, pin_folder: Path, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_path.put_egress(on=True)
    count_local(data_path, 1)
    with monkeypatch.context() as before:
        older(before)
        data_path.attach("t0", hook)
    data_path.close()
    assert by_tc("t0", "egress") == "clsact"
    seen = []
    tc_detach = libbpf.tc_detach

    def watched(ifindex: int, point: int, handle: int, priority: int) -> None:
        seen.append(by_tc("t0", SIDES[point]))
        tc_detach(ifindex, point, handle, priority)

    monkeypatch.setattr(libbpf, "tc_detach", watched)
    again = DataPath.open(pin_folder, SMALL)
    # No moment without one.
    assert seen == ["tcx,clsact"] * (2 if hook == "tc" else 1)
    assert by_tc("t0", "ingress") == ("tcx" if hook == "tc" else "")
    assert by_tc("t0", "egress") == "tcx"
    assert not clsact("t0")
    assert attached(again) == [("t0", hook)]
    again.close()
    names = {"t0-egress", "t0-ingress" if hook == "tc" else "t0-xdp"}
    assert {each.name for each in (pin_folder / "links").iterdir()} == names


@only_tcx
@pytest.mark.usefixtures("namespace")
def test_a_take_over_that_was_killed_is_finished(
    data_path: DataPath, pin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        older(before)
        data_path.attach("t0", "tc")
    with monkeypatch.context() as killed:
        killed.setattr(clsact_filters, "detach", lambda *_: None)
        data_path.attach("t0", "tc")
    data_path.close()
    assert by_tc("t0", "ingress") == "tcx,clsact"
    again = DataPath.open(pin_folder, SMALL)
    assert by_tc("t0", "ingress") == "tcx"
    assert not clsact("t0")
    again.close()


@pytest.mark.usefixtures("namespace")
def test_a_process_that_is_killed_leaves_it_running(pin_folder: Path, way: str) -> None:
    child = os.fork()
    if not child:
        DataPath.open(pin_folder, SMALL).attach("t0", "tc")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert by_tc("t0", "ingress") == way
    again = DataPath.open(pin_folder, SMALL)
    assert attached(again) == [("t0", "tc")]
    again.close()


@only_tcx
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_others_keep_their_places_in_tcx(
    data_path: DataPath, pin_folder: Path, tmp_path: Path, side: str
) -> None:
    data_path.put_egress(on=True)
    count_local(data_path, 1)
    everybody = ["before", f"xlvs_tc_{side}", "behind"]
    with beside("t0", side, tmp_path, "before", TCX_NEXT):
        data_path.attach("t0", "tc")
        with beside("t0", side, tmp_path, "behind", TCX_NEXT):
            assert tc_programs.tcx("t0", side) == everybody
            data_path.close()
            DataPath.open(pin_folder, SMALL).close()
            assert tc_programs.tcx("t0", side) == everybody
            remove(pin_folder)
            assert tc_programs.tcx("t0", side) == ["before", "behind"]


@pytest.mark.usefixtures("namespace")
def test_what_we_pass_is_seen_by_others(shared_path: DataPath, way: str, tmp_path: Path) -> None:
    ip("addr", "add", "192.0.2.1/24", "dev", "t0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("192.0.2.1", 9))
        receiver.settimeout(0.3)
        shared_path.attach("t0", "tc")
        assert arrives(receiver)
        if way == "tcx":
            with beside("t0", "ingress", tmp_path, "behind", TC_ACT_SHOT):
                assert tc_programs.tcx("t0", "ingress") == ["xlvs_tc_ingress", "behind"]
                assert not arrives(receiver)
            assert arrives(receiver)
            tc("qdisc", "add", "dev", "t0", "clsact")
        target = somebodys(tmp_path, "filter", TC_ACT_SHOT)
        words = ("prio", "7", "bpf", "da", "obj", target, "sec", "tc")
        tc("filter", "add", "dev", "t0", "ingress", *words)
        assert not arrives(receiver)
        tc("filter", "del", "dev", "t0", "ingress", "prio", "7")
        assert arrives(receiver)


@only_tcx
@pytest.mark.usefixtures("namespace")
def test_no_room_in_tcx(shared_path: DataPath, tmp_path: Path) -> None:
    with ExitStack() as full:
        for i in range(TCX_MOST):
            full.enter_context(beside("t0", "ingress", tmp_path, f"other{i}", TCX_NEXT))
        with pytest.raises(DataPathProblem, match="to t0 by tc: the hook has as many programs"):
            shared_path.attach("t0", "tc")
    assert list((shared_path.pins / "links").iterdir()) == []


def older(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a daemon attaches that does not know tcx."""
    monkeypatch.setattr(tcx, "attach", lambda *_: False)


@contextmanager
def beside(ifname: str, side: str, folder: Path, name: str, verdict: int) -> Iterator[None]:
    """Somebody else's tcx program, behind those that are there."""
    point = next(point for point in POINTS if SIDES[point] == side)
    loaded = libbpf.Object(somebodys(folder, name, verdict), None)
    try:
        loaded.load()
        index = socket.if_nametoindex(ifname)
        link = libbpf.tcx_link(loaded.program_fds()[name], index, point)
        try:
            yield
        finally:
            os.close(link)
    finally:
        loaded.close()


def arrives(receiver: socket.socket) -> bool:
    """Whether a frame that comes in on t0, and is not the director's business, is received."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("t1", 0))
        frame = Ether(dst=hardware("t0"), src="02:00:00:00:00:02")
        frame /= IP(src="192.0.2.2", dst="192.0.2.1") / UDP(sport=1, dport=9) / b"x"
        wire.send(bytes(frame))
    try:
        return receiver.recv(9) == b"x"
    except TimeoutError:
        return False


def hardware(ifname: str) -> str:
    return str(json.loads(ip("-json", "link", "show", ifname))[0]["address"])
