# SPDX-License-Identifier: Apache-2.0
"""What our VRRP process does beyond electing: addresses, faults, reload, its daemon's end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from ipaddress import ip_address, ip_interface
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tests.lab.vrrp_pair import Pair, tshark, wait

from xlvs.io.vrrp import messages as m
from xlvs.model.notification import Command, Fifo
from xlvs.model.service import Family
from xlvs.model.tracking import Process, Script, Tracked, TrackGroup
from xlvs.model.vrrp import (
    Authentication,
    AuthType,
    Group,
    HmacMode,
    Instance,
    Notifications,
    StaticNetwork,
    VirtualAddress,
    VirtualRoute,
    VirtualRule,
)

VIP = "10.9.0.100"


def address(text, **more):
    return VirtualAddress(address=ip_interface(text), **more)


def instance(**more):
    wanted = {
        "name": "v",
        "interface": "eth0",
        "router_id": 50,
        "version": 3,
        "advert_interval": 0.1,
        "addresses": (address(f"{VIP}/32"),),
    }
    return Instance(**wanted | more)


@pytest.fixture
def pair(tmp_path):
    with Pair(tmp_path) as made:
        yield made


def has(pair, host, text=VIP):
    wait(lambda: text in pair.addresses(host), lambda: pair.sh(host, "ip addr"), 3.0)


def has_not(pair, host, text=VIP):
    wait(lambda: text not in pair.addresses(host), lambda: pair.sh(host, "ip addr"), 3.0)


def test_what_somebody_removes_is_put_back_and_announced(pair):
    six = "2001:db8:9::100"
    ours = pair.ours(m.Network(instances=(instance(excluded=(address(f"{six}/128"),)),)))
    ours.wait(v="MASTER")
    has(pair, "b")
    has(pair, "b", six)
    path, tcpdump = pair.capture("a")
    for _ in range(2):
        pair.sh("b", f"ip addr del {VIP}/32 dev eth0; ip addr del {six}/128 dev eth0")
        has(pair, "b")
        has(pair, "b", six)
    assert ours.states["v"].state == "MASTER"
    assert any(f"removed {VIP}" in one for one in ours.sentences())
    wait(
        lambda: tshark(
            path, "-Y", f"arp.isgratuitous && arp.src.proto_ipv4 == {VIP}", fields=("frame.number",)
        ),
        lambda: "announcement",
    )
    pair.captured(tcpdump)
    assert ours.statistics().instances[0].restored == 4


def test_the_primary_address_takes_others_with_it_and_they_return(pair):
    """Without promote_secondaries the kernel removes every address of the same network."""
    pair.sh("b", "echo 0 > /proc/sys/net/ipv4/conf/all/promote_secondaries")
    pair.sh("b", "echo 0 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries")
    pair.sh("b", "ip addr add 10.9.7.1/24 dev eth0")
    ours = pair.ours(m.Network(instances=(instance(addresses=(address("10.9.7.100/24"),)),)))
    ours.wait(v="MASTER")
    has(pair, "b", "10.9.7.100")
    pair.sh("b", "ip addr del 10.9.7.1/24 dev eth0")
    has(pair, "b", "10.9.7.100")
    wait(lambda: ours.statistics().instances[0].restored, lambda: "restored")


def test_a_dead_interface_is_a_fault_and_another_one_may_weigh(pair):
    pair.sh("b", "ip link add eth7 type veth peer name eth8; ip link set eth8 up")
    ours = pair.ours(
        m.Network(instances=(instance(track_interfaces=(Tracked("eth7", weight=-30),)),))
    )
    ours.wait(v="MASTER")
    assert ours.states["v"].priority == 70
    pair.sh("b", "ip link set eth7 up")
    ours.until(lambda: ours.states["v"].priority == 100, "priority 100")
    pair.sh("sw", "ip link set port-b down")
    ours.wait(v="FAULT")
    assert ours.states["v"].cause == "interface eth0 is down"
    has_not(pair, "b")
    pair.sh("sw", "ip link set port-b up")
    ours.wait(v="MASTER")
    pair.sh("b", "ip addr flush dev eth0 scope global")
    ours.until(lambda: "no IPv4 address" in ours.states["v"].cause, "fault")
    pair.sh("b", "ip addr add 10.9.0.2/24 dev eth0")
    ours.wait(v="MASTER")


def test_two_of_ours_with_a_group_of_both_families(pair):
    def network(priority):
        return m.Network(
            instances=(
                instance(priority=priority),
                instance(
                    name="v6",
                    router_id=51,
                    family=Family.INET6,
                    priority=priority,
                    addresses=(address("fe80::9:1/128"), address("2001:db8:9::100/128")),
                    track_interfaces=(Tracked("eth7"),),
                ),
            ),
            groups=(Group(name="g", instances=("v", "v6")),),
        )

    for host in ("a", "b"):
        pair.sh(host, "ip link add eth7 type veth peer name eth8; ip link set eth8 up")
        pair.sh(host, "ip link set eth7 up")
    better, other = pair.ours(network(150), "a"), pair.ours(network(100), "b")
    better.wait(v="MASTER", v6="MASTER")
    other.wait(v="BACKUP", v6="BACKUP")
    pair.sh("a", "ip link set eth8 down")  # of one member only
    better.wait(v="FAULT", v6="FAULT")
    other.wait(v="MASTER", v6="MASTER")
    pair.sh("a", "ip link set eth8 up")
    better.wait(v="MASTER", v6="MASTER")
    other.wait(v="BACKUP", v6="BACKUP")

    def groups() -> list[str]:
        return [one.state for one in better.messages if isinstance(one, m.GroupNow)][-3:]

    # Told behind its members.
    better.until(lambda: groups() == ["FAULT", "BACKUP", "MASTER"], "the group's states")
    has_not(pair, "b", "2001:db8:9::100")
    has(pair, "a", "2001:db8:9::100")


def test_hold_delays_preemption_until_the_connections_are_there(pair):
    other = pair.ours(m.Network(instances=(instance(priority=50),)), "a")
    other.wait(v="MASTER")
    better = pair.ours(m.Network(), "b")
    better.tell(m.Hold(30.0))
    better.tell(m.Network(instances=(instance(priority=150),)))
    better.wait(v="BACKUP")
    time.sleep(1.0)
    better.read()
    assert better.states["v"].state == "BACKUP"
    better.tell(m.Hold(0))
    better.wait(1.0, v="MASTER")
    other.wait(v="BACKUP")


def test_a_dead_daemon_hands_over_unless_told_otherwise(pair):
    other = pair.ours(m.Network(instances=(instance(priority=50),)), "a")
    better = pair.ours(m.Network(instances=(instance(priority=150),)), "b")
    better.wait(v="MASTER")
    assert better.abandon() == 0
    other.wait(0.5, v="MASTER")
    has_not(pair, "b")
    stays = pair.ours(m.Network(instances=(instance(priority=150),), outlive_parent=True), "b")
    stays.wait(v="MASTER")
    stays._socket.close()
    with pytest.raises(subprocess.TimeoutExpired):
        stays.child.wait(1.0)
    has(pair, "b")
    stays.child.terminate()
    stays.child.wait(5)
    other.wait(v="MASTER")


def test_what_a_killed_process_left_is_removed_at_the_start(pair):
    first = pair.ours(m.Network(instances=(instance(priority=150),)))
    first.wait(v="MASTER")
    has(pair, "b")
    other = pair.ours(m.Network(instances=(instance(priority=50),)), "a")
    first.kill()
    has(pair, "b")
    other.wait(1.0, v="MASTER")
    better = pair.ours(m.Network(instances=(instance(priority=20),)), "b")
    better.wait(v="BACKUP")
    has_not(pair, "b")


def test_reload_touches_only_what_changed_and_delays_no_advert(pair):
    many = tuple(
        instance(name=f"v{number}", router_id=number, addresses=(address(f"10.9.2.{number}/32"),))
        for number in range(60, 120)
    )
    ours = pair.ours(m.Network(instances=(instance(), *many)))
    ours.wait(v="MASTER", v119="MASTER")
    path, tcpdump = pair.capture("a")
    changed = instance(addresses=(address(f"{VIP}/32"), address("10.9.0.101/32")))
    for wanted in (changed, instance(), changed):
        ours.tell(m.Network(instances=(wanted, *many[1:])))
        time.sleep(0.3)
    has(pair, "b", "10.9.0.101")
    has_not(pair, "b", "10.9.2.60")
    changes = [
        one.instance
        for one in ours.messages
        if isinstance(one, m.StateNow) and one.state != one.before
    ]
    ours.read()
    assert [
        one.instance for one in ours.messages if isinstance(one, m.StateNow) and one.state == "INIT"
    ] == ["v60"]
    assert changes.count("v70") == 2
    pair.captured(tcpdump)
    times = [
        float(line[0])
        for line in tshark(path, "-Y", "vrrp.virt_rtr_id == 100", fields=("frame.time_epoch",))
    ]
    assert len(times) >= 8
    # Never so late that a backup would have taken over.
    assert max(b - a for a, b in pairwise(times)) < 0.3
    # What cannot be read changes nothing.
    ours._socket.sendall(b'{"type":"Network","instances":[{"name":1}]}\n')
    ours.until(lambda: any(isinstance(one, m.Refused) for one in ours.messages), "refusal")
    assert ours.states["v"].state == "MASTER"


def test_virtual_mac_addresses(pair):
    ours = pair.ours(
        m.Network(
            instances=(
                instance(use_vmac=""),
                instance(
                    name="v6",
                    router_id=51,
                    family=Family.INET6,
                    use_vmac="six",
                    addresses=(address("fe80::9:1/128"), address("2001:db8:9::100/128")),
                ),
            )
        )
    )
    path, tcpdump = pair.capture("a")
    ours.wait(v="MASTER", v6="MASTER")
    has(pair, "b", "2001:db8:9::100")
    assert "00:00:5e:00:01:32" in pair.sh("b", "ip link show vrrp.50")
    assert VIP in pair.sh("b", "ip addr show vrrp.50")
    keepalived = pair.sh("a", f"ping -c1 -W2 {VIP} && ping -c1 -W2 2001:db8:9::100; ip neigh")
    assert "00:00:5e:00:01:32" in keepalived
    assert "00:00:5e:00:02:33" in keepalived
    pair.captured(tcpdump)
    seen = {
        tuple(line)
        for line in tshark(
            path, "-Y", "vrrp", fields=("eth.src", "ip.src", "ipv6.src", "vrrp.checksum.status")
        )
    }
    assert seen == {
        ("00:00:5e:00:01:32", "10.9.0.2", "", "1"),
        ("00:00:5e:00:02:33", "", "fe80::2", "1"),
    }
    ours.stop()
    assert "vrrp.50" not in pair.sh("b", "ip link")


def test_hmac_and_a_peer_without_it(pair):
    key = bytes(range(32))
    signed = Authentication(type=AuthType.HMAC, keys=((7, key),))
    better = pair.ours(m.Network(instances=(instance(priority=150, authentication=signed),)), "a")
    other = pair.ours(m.Network(instances=(instance(authentication=signed),)), "b")
    better.wait(v="MASTER")
    other.wait(v="BACKUP")
    time.sleep(0.5)
    assert not other.statistics().instances[0].rejected
    wrong = Authentication(type=AuthType.HMAC, keys=((7, key[::-1]),))
    other.tell(m.Network(instances=(instance(authentication=wrong),)))
    other.wait(v="MASTER")
    assert other.statistics().instances[0].rejected["hmac_wrong"] > 1
    permissive = Authentication(type=AuthType.HMAC, keys=((7, key),), mode=HmacMode.PERMISSIVE)
    other.tell(m.Network(instances=(instance(authentication=permissive),)))
    other.wait(v="BACKUP")


def test_scripts_processes_notifications_routes_and_rules(pair):
    folder = pair.folder
    flag, told = folder / "good", folder / "told"
    flag.touch()
    teller = folder / "tell"
    teller.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    teller.chmod(0o755)
    notify = Notifications(
        master=Command((str(teller), "up")),
        any=Command((str(teller),)),
        stop=Command((str(teller), "bye")),
    )
    network = m.Network(
        instances=(
            instance(
                track_scripts=(Tracked("check"),),
                track_processes=(Tracked("me", weight=10),),
                notify=notify,
                routes=(
                    VirtualRoute(
                        words=("10.77.0.0/16", "via", "10.9.0.1", "dev", "eth0"),
                        family=Family.INET,
                    ),
                ),
                rules=(
                    VirtualRule(words=("from", "10.78.0.0/16", "table", "77"), family=Family.INET),
                ),
            ),
        ),
        static=StaticNetwork(addresses=(address("10.66.0.1/24", device="eth0"),)),
        scripts=(
            Script(name="check", command=Command(("/usr/bin/test", "-e", str(flag))), interval=0.2),
        ),
        processes=(Process(name="me", program="setpriv", quorum=10000),),
    )
    ours = pair.ours(network)
    ours.wait(v="MASTER")
    assert ours.states["v"].priority == 100
    wait(lambda: "10.77.0.0/16" in pair.sh("b", "ip route"), lambda: pair.sh("b", "ip route"))
    assert "10.78.0.0/16" in pair.sh("b", "ip rule")
    has(pair, "b", "10.66.0.1")
    flag.unlink()
    ours.wait(v="FAULT")
    assert ours.states["v"].cause == "script check is down"
    wait(lambda: "10.77.0.0/16" not in pair.sh("b", "ip route"), lambda: pair.sh("b", "ip route"))
    assert "10.78.0.0/16" not in pair.sh("b", "ip rule")
    flag.touch()
    ours.wait(v="MASTER")
    ours.stop()
    wait(lambda: "STOP" in told.read_text(), told.read_text)
    lines = told.read_text().splitlines()
    assert lines[:3] == ["INSTANCE v BACKUP 100", "up", "INSTANCE v MASTER 100"]
    assert lines[3:5] == ["INSTANCE v FAULT 100", "INSTANCE v BACKUP 100"]
    assert lines[-2:] == ["bye", "INSTANCE v STOP 100"]
    has_not(pair, "b", "10.66.0.1")


def test_standalone_with_a_file_and_reload_by_sighup(pair):
    config = pair.folder / "vrrp.json"
    config.write_bytes(m.line(m.Network(instances=(instance(),))))
    child = pair.spawn(
        "b", [sys.executable, "-m", "xlvs.vrrpd", "--config", str(config)], pair.folder / "log"
    )
    has(pair, "b")
    config.write_text("{")
    os.kill(child.pid, signal.SIGHUP)
    wait(lambda: "stays as it was" in (pair.folder / "log").read_text(), lambda: "refusal")
    text = json.loads(m.line(m.Network(instances=(instance(excluded=(address("10.9.0.7/32"),)),))))
    config.write_text(json.dumps(text))
    os.kill(child.pid, signal.SIGHUP)
    has(pair, "b", "10.9.0.7")
    child.terminate()
    assert child.wait(5) == 0
    has_not(pair, "b")


def test_preempt_delay_nopreempt_and_unicast_checks(pair):
    lower = instance(priority=50)
    other = pair.ours(m.Network(instances=(lower,)), "a")
    other.wait(v="MASTER")
    better = pair.ours(m.Network(instances=(instance(priority=150, preempt_delay=1.5),)), "b")
    begun = time.monotonic()
    better.wait(v="MASTER")
    assert time.monotonic() - begun > 1.5
    better.stop()
    other.wait(v="MASTER")
    patient = pair.ours(m.Network(instances=(instance(priority=150, preempt=False),)), "b")
    time.sleep(1.0)
    patient.read()
    assert patient.states["v"].state == "BACKUP"
    other.stop()
    patient.wait(0.5, v="MASTER")
    stranger = instance(
        unicast_peers=(ip_address("10.9.0.2"),), source=ip_address("10.9.0.1"), priority=200
    )
    picky = instance(
        unicast_peers=(ip_address("10.9.0.9"),),
        source=ip_address("10.9.0.2"),
        check_unicast_source=True,
    )
    patient.tell(m.Network(instances=(picky,)))
    patient.until(lambda: patient.states["v"].cause != "stopped", "unicast")
    pair.ours(m.Network(instances=(stranger,)), "a")
    patient.until(
        lambda: patient.statistics().instances[0].rejected.get("source", 0) > 1, "rejections"
    )
    patient.tell(m.Network(instances=(msgspec.structs.replace(picky, check_unicast_source=False),)))
    patient.wait(v="BACKUP")


def test_no_accept(pair):
    six = "2001:db8:9::100"
    wanted = instance(accept=False, excluded=(address(f"{six}/128"), address("10.9.0.101/32")))
    ours = pair.ours(m.Network(instances=(wanted,)))
    ours.wait(v="MASTER")
    has(pair, "b", six)
    wait(lambda: VIP in pair.sh("b", "nft list ruleset"), ours.sentences)
    script = "ping -c1 -W1 {} >/dev/null && echo yes || echo no"
    assert [pair.sh("a", script.format(one)).strip() for one in (VIP, six, "10.9.0.2")] == [
        "no",
        "no",
        "yes",
    ]
    assert "FAILED" not in pair.sh("a", "ip neigh"), "neighbours are answered"
    ours.tell(m.Network(instances=(msgspec.structs.replace(wanted, accept=True),)))
    wait(lambda: VIP not in pair.sh("b", "nft list ruleset"), ours.sentences)
    assert pair.sh("a", script.format(VIP)).strip() == "yes"
    ours.stop()


def test_an_interface_that_goes_and_comes_back(pair):
    pair.sh("b", "ip link add eth5 type veth peer name eth6; ip link set eth6 up")
    build = "ip addr add 10.5.0.1/24 dev eth5; ip link set eth5 up"
    pair.sh("b", build)
    wanted = instance(interface="eth5", addresses=(address("10.5.0.100/32"),))
    ours = pair.ours(m.Network(instances=(wanted,)))
    ours.wait(v="MASTER")
    has(pair, "b", "10.5.0.100")
    pair.sh("b", "ip link del eth5")
    ours.wait(v="FAULT")
    pair.sh("b", f"ip link add eth5 type veth peer name eth6; ip link set eth6 up; {build}")
    ours.wait(v="MASTER")
    has(pair, "b", "10.5.0.100")
    sent = ours.statistics().instances[0].adverts_sent
    output = pair.sh(
        "b", "timeout 2 tcpdump --immediate-mode -l -c3 -i eth6 ip proto 112 2>&1 || true"
    )
    assert output.count("VRRPv3") >= 3, (sent, output)


def test_an_interface_that_joins_and_leaves_a_bridge_is_no_fault(pair):
    pair.sh("b", "ip link add br7 type bridge; ip link set br7 up")
    wanted = instance(track_interfaces=(Tracked("eth5"),))
    pair.sh("b", "ip link add eth5 type veth peer name eth6; ip link set eth6 up")
    pair.sh("b", "ip link set eth5 up")
    ours = pair.ours(m.Network(instances=(wanted,)))
    ours.wait(v="MASTER")
    pair.sh("b", "ip link set eth5 master br7; sleep 0.2; ip link set eth5 nomaster; sleep 0.2")
    ours.read()
    assert not any(isinstance(one, m.StateNow) and one.state == "FAULT" for one in ours.messages)


def test_an_instance_that_moves_says_good_bye_where_it_was(pair):
    other = pair.ours(m.Network(instances=(instance(priority=50, advert_interval=1.0),)), "a")
    better = pair.ours(m.Network(instances=(instance(priority=250, advert_interval=1.0),)), "b")
    better.wait(v="MASTER")
    other.wait(v="BACKUP")
    pair.sh("b", "ip link add eth5 type veth peer name eth6; ip link set eth6 up")
    pair.sh("b", "ip addr add 10.5.0.1/24 dev eth5; ip link set eth5 up")
    moved = instance(interface="eth5", addresses=(address("10.5.0.100/32"),))
    better.tell(m.Network(instances=(moved,)))
    other.wait(1.3, v="MASTER")  # after its skew, not after three seconds and more
    better.wait(v="MASTER")
    has(pair, "b", "10.5.0.100")
    has_not(pair, "b")


def test_fifo_and_renamed_instances(pair):
    fifo = pair.folder / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    network = m.Network(instances=(instance(),), fifos=(Fifo(str(fifo)),))
    ours = pair.ours(network)
    ours.wait(v="MASTER")
    ours.tell(msgspec.structs.replace(network, instances=(instance(name="w"),)))
    ours.wait(w="MASTER")
    seen = ""

    def read():
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(reader, 4096).decode()
        return seen.count("\n") == 5

    wait(read, lambda: seen)
    os.close(reader)
    assert seen.splitlines() == [
        'INSTANCE "v" BACKUP 100',
        'INSTANCE "v" MASTER 100',
        'INSTANCE "v" FAULT 100',
        'INSTANCE "w" BACKUP 100',
        'INSTANCE "w" MASTER 100',
    ]


def test_unicast_without_an_interface_and_a_static_address_that_is_lost(pair):
    def wanted(host, peer, priority):
        return instance(
            interface="",
            source=ip_address(f"10.9.0.{host}"),
            unicast_peers=(ip_address(f"10.9.0.{peer}"),),
            priority=priority,
            addresses=(address(f"{VIP}/32", device="eth0"),),
        )

    other = pair.ours(m.Network(instances=(wanted(1, 2, 50),)), "a")
    better = pair.ours(
        m.Network(
            instances=(wanted(2, 1, 150),),
            static=StaticNetwork(
                addresses=(address("10.66.0.1/24", device="eth0", track_group="t"),)
            ),
            track_groups=(TrackGroup(name="t", instances=("v",)),),
        ),
        "b",
    )
    better.wait(v="MASTER")
    other.wait(v="BACKUP")
    has(pair, "b")
    pair.sh("b", "ip addr del 10.66.0.1/24 dev eth0")
    better.wait(v="FAULT")
    assert better.states["v"].cause == "static address 10.66.0.1/24 on eth0 is down"
    other.wait(v="MASTER")
    pair.sh("b", "ip addr add 10.66.0.1/24 dev eth0")
    better.wait(v="MASTER")


def test_an_owner_leaves_its_own_addresses_where_they_were(pair):
    """Priority 255: the virtual address is a real one of this machine."""
    owner = instance(
        priority=255,
        initial_master=True,
        addresses=(address("10.9.0.2/24"), address("10.9.0.102/32")),
    )
    ours = pair.ours(m.Network(instances=(owner,)))
    ours.wait(v="MASTER")
    has(pair, "b", "10.9.0.102")
    ours.tell(m.Network(instances=(msgspec.structs.replace(owner, preempt=False),)))
    ours.stop()
    has_not(pair, "b", "10.9.0.102")
    assert "10.9.0.2" in pair.addresses("b")


def test_a_route_that_needs_the_virtual_address_and_is_removed_by_somebody(pair):
    route = VirtualRoute(
        words=("10.77.0.0/16", "via", "10.9.0.1", "dev", "eth0", "src", VIP), family=Family.INET
    )
    ours = pair.ours(m.Network(instances=(instance(routes=(route,)),)))
    ours.wait(v="MASTER")
    wait(lambda: "10.77.0.0/16" in pair.sh("b", "ip route"), ours.sentences)
    pair.sh("b", "ip route del 10.77.0.0/16")
    wait(lambda: "10.77.0.0/16" in pair.sh("b", "ip route"), ours.sentences, 12.0)
    ours.stop()
    assert "10.77.0.0/16" not in pair.sh("b", "ip route")


def test_a_second_master_whose_adverts_a_firewall_drops_is_noticed_by_its_arp(pair):
    for host in ("a", "b"):
        pair.sh(
            host,
            "nft add table ip f;"
            "nft 'add chain ip f i { type filter hook prerouting priority -500; }';"
            "nft add rule ip f i ip protocol 112 drop",
        )
    first = pair.ours(m.Network(instances=(instance(),)), "b")
    first.wait(v="MASTER")
    time.sleep(2.2)
    second = pair.ours(m.Network(instances=(instance(priority=50),)), "a")
    second.wait(v="MASTER")
    first.until(lambda: any("says that" in one for one in first.sentences()), "conflict")
    (said,) = [one for one in first.sentences() if "says that" in one]
    assert said.split()[0] in pair.sh("a", "ip link show eth0")
    assert VIP in said
    assert first.statistics().instances[0].conflicts >= 5
    assert not second.statistics().instances[0].conflicts


def test_real_time_priority_and_locked_memory(pair):
    script = Script(name="s", command=Command(("/bin/sleep", "0.1")), interval=0.2)
    network = m.Network(
        instances=(instance(track_scripts=(Tracked("s"),)),),
        scripts=(script,),
        realtime=7,
        no_swap=True,
    )
    ours = pair.ours(network)
    ours.wait(v="MASTER")
    pid = ours.child.pid
    threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    policies = {os.sched_getscheduler(one) & ~os.SCHED_RESET_ON_FORK for one in threads}
    assert policies == {os.SCHED_RR}, "who holds the interpreter's lock must not wait for a CPU"
    assert {os.sched_getparam(one).sched_priority for one in threads} == {7}
    status = Path(f"/proc/{pid}/status").read_text()
    assert int(re.search(r"VmLck:\s+(\d+) kB", status)[1]) > 10_000
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    assert {os.sched_getscheduler(int(one)) for one in children} == {os.SCHED_OTHER}
    ours.tell(msgspec.structs.replace(network, realtime=0, no_swap=False))
    wait(lambda: os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK == 0, lambda: "ordinary")
