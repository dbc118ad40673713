# SPDX-License-Identifier: Apache-2.0
"""What blocks have to be together: names, router ids, groups, weights, sync."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.config.keepalived.reading import problems, read, remarks, with_instance

from xlvs.model.notification import Command
from xlvs.model.syncing import Peer, SyncDaemon
from xlvs.model.tracking import Bfd, File, Process, Script, Tracked, TrackGroup
from xlvs.model.vrrp import Group, Notifications

TWO = with_instance("", "A") + with_instance("", "B").replace("id 51", "id 52")

THINGS = """vrrp_script S {
    script "/bin/s 'a b'" me us
    interval 2.5
    timeout 3
    weight -4 reverse
    rise 2
    fall 3
    init_fail
}
track_file F {
    file "/run/f"
    weight 5
    init_file 7 overwrite
}
vrrp_track_process P {
    process "/bin/p q" one "two three"
    param_match initial
    weight 9
    quorum 2
    quorum_max 4
    delay 1.5
}
bfd_instance B {
    neighbor_ip 10.0.0.9
    source_ip 10.0.0.8
    min_rx 20.5
    min_tx 30
    idle_tx 2000
    multiplier 3
    passive
    ttl 3
    max_hops 4
    multihop
    weight -5 reverse
}
"""

TRACKING = """
track_interface {
    eth1 weight 0 reverse
    eth2
}
track_script {
    S weight 3
}
track_file {
    F
}
track_process {
    P weight -3 reverse
}
track_bfd {
    B weight 2 noreverse
}
"""


def test_what_is_tracked():
    found = read(THINGS + with_instance(TRACKING))
    assert found.scripts == (
        Script(
            name="S",
            command=Command(("/bin/s", "a b"), "me", "us"),
            interval=2.5,
            timeout=3,
            weight=-4,
            reverse=True,
            rise=2,
            fall=3,
            init_fail=True,
        ),
    )
    assert found.files == (File(name="F", path="/run/f", weight=5, initial=7, overwrite=True),)
    assert found.processes == (
        Process(
            name="P",
            program="/bin/p q",
            arguments=("one", "two three"),
            param_match="initial",
            full_command=True,
            weight=9,
            quorum=2,
            quorum_max=4,
            fork_delay=1.5,
            terminate_delay=1.5,
        ),
    )
    assert found.bfds == (
        Bfd(
            name="B",
            neighbour=ip_address("10.0.0.9"),
            source=ip_address("10.0.0.8"),
            min_rx=20.5,
            min_tx=30,
            idle_tx=2000,
            multiplier=3,
            passive=True,
            ttl=3,
            max_hops=4,
            multihop=True,
            weight=-5,
            reverse=True,
        ),
    )
    (one,) = found.instances
    assert one.track_interfaces == (Tracked("eth1", 0, reverse=True), Tracked("eth2"))
    assert one.track_scripts == (Tracked("S", 3),)
    assert one.track_files == (Tracked("F"),)
    assert one.track_processes == (Tracked("P", -3, reverse=True),)
    assert one.track_bfd == (Tracked("B", 2),)


def test_defaults_of_what_is_tracked_are_keepalived_s():
    found = read(
        "vrrp_script S {\n script /bin/s\n}\n"
        "vrrp_track_file F {\n file /f\n}\n"
        "track_process P {\n process p\n}\n"
        "bfd_instance B {\n neighbour_ip 10.0.0.1\n}\n"
    )
    assert found.scripts == (Script(name="S", command=Command(("/bin/s",))),)
    assert found.files[0].weight == 1
    assert (found.processes[0].weight, found.processes[0].quorum) == (0, 1)
    assert (found.bfds[0].min_rx, found.bfds[0].idle_tx, found.bfds[0].multiplier) == (10, 1000, 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vrrp_script S {\n}", "1:1: vrrp_script S has no script"),
        ("vrrp_script S {\n script /x\n weight 300\n}", "3:9: weight is a number from -253"),
        ("vrrp_script S {\n script /x\n interval 0\n}", "3:11: interval is 0.001"),
        ("vrrp_script S {\n script /x\n}\nvrrp_script S {\n script /x\n}", "4:13: "),
        ("track_file F {\n}", "track_file F has no file"),
        ("vrrp_track_process P {\n}", "has no process"),
        ("vrrp_track_process P {\n process p\n quorum 3\n quorum_max 2\n}", "below quorum"),
        ("bfd_instance B {\n}", "has no neighbor_ip"),
        ("bfd_instance B {\n neighbor_ip 10.0.0.1\n source_ip ::1\n}", "of two families"),
        ("bfd_instance B {\n neighbor_ip 10.0.0.1\n idle_tx 1\n}", "idle_tx is 1000"),
        ("track_group G {\n group {\n X\n }\n}", "track_group G: there is no vrrp_instance"),
    ],
)  # fmt: skip
def test_what_is_tracked_cannot_be(text, problem):
    assert any(problem in each for each in problems(text))


def test_names_that_are_nowhere_are_told_where_they_are_said():
    text = with_instance(TRACKING)
    found = [each.partition(": ")[2] for each in problems(text)]
    assert found == [
        "track_script of V: there is no vrrp_script 'S'",
        "track_file of V: there is no track_file 'F'",
        "track_process of V: there is no vrrp_track_process 'P'",
        "track_bfd of V: there is no bfd_instance 'B'",
    ]
    assert problems(text)[0].startswith("13:5:")


# ---- groups


def test_a_group():
    text = (
        TWO
        + """vrrp_sync_group G {
    group {
        A
        B
    }
    notify_master /bin/m
    smtp_alert
    sync_group_tracking_weight
    track_interface {
        eth1
    }
}
"""
    )
    assert read(text).groups == (
        Group(
            name="G",
            instances=("A", "B"),
            track_interfaces=(Tracked("eth1"),),
            tracking_has_weight=True,
            notify=Notifications(master=Command(("/bin/m",)), smtp_alert=True),
        ),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vrrp_sync_group G {\n group { A X }\n}", "'X'"),
        ("vrrp_sync_group G {\n}", "has no members"),
        (
            "vrrp_sync_group G {\n group { A B }\n}\nvrrp_sync_group H {\n group { B }\n}",
            "B is a member of G already",
        ),
        ("vrrp_sync_group G {\n A\n}", "unknown keyword 'A' in vrrp_sync_group"),
    ],
)
def test_groups_that_cannot_be(text, problem):
    assert any(problem in each for each in problems(TWO + text))


def test_weights_in_a_group_are_remarked():
    text = (
        with_instance("track_interface {\n eth5 weight 5\n}", "A")
        + with_instance("", "B").replace("id 51", "id 52")
        + "vrrp_sync_group G {\n group { A B }\n}\n"
    )
    assert "weights of eth5 have no effect: the members of G have one priority" in remarks(text)[0]
    allowed = text.replace("group { A", "sync_group_tracking_weight\n group { A")
    assert remarks(allowed) == []
    owner = with_instance("priority 255\ntrack_interface {\n eth5 weight 5\n}")
    assert "of an address owner does not change" in remarks(owner)[0]


# ---- router ids


def test_router_ids_are_unique_on_an_interface():
    text = with_instance("", "A") + with_instance("", "B")
    (problem,) = problems(text)
    assert problem.endswith("B has the virtual_router_id 51 of A, on the same interface")


@pytest.mark.parametrize(
    "change",
    [
        ("interface eth0", "interface eth1"),
        ("virtual_router_id 51", "virtual_router_id 52"),
        ("10.0.0.1/24", "fd00::1/64"),
        ("interface eth0", "interface eth0\nmcast_dst_ip 224.0.0.99"),
        ("interface eth0", "interface eth0\nunicast_peer {\n 10.0.0.9\n}"),
    ],
)
def test_the_same_router_id_elsewhere_is_fine(change):
    text = with_instance("", "A") + with_instance("", "B").replace(*change)
    assert len(read(text).instances) == 2


def test_names_of_instances_are_unique():
    (problem, *_) = problems(with_instance("") + with_instance("").replace("id 51", "id 52"))
    assert "there is another vrrp_instance 'V' at /etc/k.conf:1:15" in problem


# ---- sync


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eth1", SyncDaemon(interface="eth1", master=True, backup=True)),
        # the id is the instance's router id unless said
        ("eth1 A", SyncDaemon(interface="eth1", instance="A", sync_id=51)),
        ("eth1 inst A id 3", SyncDaemon(interface="eth1", instance="A", sync_id=3)),
        ("eth1 A 7", SyncDaemon(interface="eth1", instance="A", sync_id=7)),
        (
            "eth1 A id 3 maxlen 1400 port 8850 ttl 2 group 224.0.0.99",
            SyncDaemon(
                interface="eth1",
                instance="A",
                sync_id=3,
                max_length=1400,
                port=8850,
                ttl=2,
                group=ip_address("224.0.0.99"),
            ),
        ),
    ],
)
def test_the_sync_daemon(line, expected):
    assert read(f"global_defs {{\n lvs_sync_daemon {line}\n}}\n{TWO}").sync == expected


def test_the_old_place_of_the_sync_daemon():
    text = with_instance("lvs_sync_daemon_interface eth1")
    assert read(text).sync == SyncDaemon(interface="eth1", instance="V", sync_id=51)
    assert "deprecated" in remarks(text)[0]


def test_only_the_first_old_place_counts():
    text = with_instance("lvs_sync_daemon_interface eth1") + with_instance(
        "lvs_sync_daemon_interface eth2", "W"
    ).replace("id 51", "id 52")
    assert read(text).sync == SyncDaemon(interface="eth1", instance="V", sync_id=51)
    assert "there is a sync daemon already" in remarks(text)[-1]


def test_sync_between_two_of_ours():
    text = TWO + (
        "global_defs {\n lvs_sync_daemon eth1 A\n}\n"
        "connection_sync {\n interface eth1\n instance A\n"
        " listen 10.0.0.1 9001\n peer 10.0.0.9 {\n  port 9000\n"
        "  key_file /etc/key\n }\n peer fd00::9 {\n  key hex:" + "01" * 32 + "\n }\n}\n"
    )
    found = read(text, {"/etc/key": b"k" * 32}).sync
    assert found == SyncDaemon(
        interface="eth1",
        instance="A",
        sync_id=51,
        listen=ip_address("10.0.0.1"),
        listen_port=9001,
        peers=(
            Peer(address=ip_address("10.0.0.9"), port=9000, key=b"k" * 32),
            Peer(address=ip_address("fd00::9"), key=b"\x01" * 32),
        ),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("global_defs {\n lvs_sync_daemon eth1 X\n}", "2:23: lvs_sync_daemon: there is no"),
        ("global_defs {\n lvs_sync_daemon eth1 A id 256\n}", "id is a number from 0 to 255"),
        ("global_defs {\n lvs_sync_daemon eth1 A mode x\n}", "lvs_sync_daemon has inst"),
        ("global_defs {\n lvs_sync_daemon eth1 group 10.0.0.1\n}", "no multicast address"),
        ("global_defs {\n lvs_sync_daemon e\n lvs_sync_daemon f\n}", "a sync daemon already"),
        ("connection_sync {\n}", "connection_sync has no peer"),
        ("connection_sync {\n peer 10.0.0.1 {\n }\n}", "has no key"),
        ("connection_sync {\n peer 10.0.0.1 {\n key short\n }\n}", "32 to 64 bytes"),
        ("connection_sync {\n peer 10.0.0.1 {\n key_file /none\n }\n}", "cannot be read"),
        ("connection_sync {\n peer a.b {\n }\n}", "names of hosts"),
    ],
)
def test_sync_that_cannot_be(text, problem):
    assert any(problem in each for each in problems(text + "\n" + TWO))


def test_a_track_group():
    text = "track_group T {\n group {\n  A\n  B\n }\n}\n" + TWO
    assert read(text).track_groups == (TrackGroup(name="T", instances=("A", "B")),)
