# SPDX-License-Identifier: Apache-2.0
"""vrrp_instance, alone: values, defaults, what goes with what."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from tests.unit.config.keepalived.reading import (
    instance,
    problems,
    read,
    remarks,
    with_instance,
)

from xlvs.model.notification import Command
from xlvs.model.service import Family
from xlvs.model.vrrp import (
    Authentication,
    AuthType,
    Garp,
    HmacMode,
    Instance,
    Notifications,
    VirtualAddress,
)

PLAIN = """vrrp_instance V {
    interface eth0
    virtual_router_id 51
%s
}
"""


def test_defaults_are_keepalived_s():
    assert instance("") == Instance(
        name="V",
        interface="eth0",
        router_id=51,
        priority=100,
        version=2,
        family=Family.INET,
        advert_interval=1.0,
        preempt=True,
        accept=True,
        # and looks after its source address only if asked to
        track_source=False,
        garp=Garp(delay=5, repeat=5, refresh=0, refresh_repeat=1),
        addresses=(VirtualAddress(address=ip_interface("10.0.0.1/24")),),
    )


def test_all_that_an_instance_says():
    found = instance(
        """
    state BACKUP
    priority 200
    version 3
    advert_int 0.25
    use_vmac vrrp.x
    vmac_xmit_base
    dont_track_primary
    mcast_src_ip 10.0.0.9
    track_src_ip
    mcast_dst_ip 224.0.0.77
    v3_checksum_as_v2
    garp_master_delay 7
    garp_master_repeat 2
    garp_master_refresh 60
    garp_master_refresh_repeat 3
    garp_lower_prio_delay 8
    garp_lower_prio_repeat 4
    down_timer_adverts 4
    lower_prio_no_advert
    higher_prio_send_advert on
    promote_secondaries
    no_accept
    nopreempt
    skip_check_adv_addr
    notify_master "/bin/m 'a b'" me us
    notify_backup /bin/b
    notify_fault /bin/f
    notify_stop /bin/s
    notify_deleted /bin/d
    notify_master_rx_lower_pri /bin/l
    notify /bin/n
    smtp_alert
"""
    )
    assert found == Instance(
        name="V",
        interface="eth0",
        router_id=51,
        priority=200,
        version=3,
        advert_interval=0.25,
        use_vmac="vrrp.x",
        vmac_xmit_base=True,
        track_primary_interface=False,
        source=ip_address("10.0.0.9"),
        track_source=True,
        multicast_group=ip_address("224.0.0.77"),
        v3_checksum_as_v2=True,
        garp=Garp(
            delay=7,
            repeat=2,
            refresh=60,
            refresh_repeat=3,
            lower_priority_delay=8,
            lower_priority_repeat=4,
        ),
        down_timer_adverts=4,
        lower_priority_no_advert=True,
        higher_priority_send_advert=True,
        promote_secondaries=True,
        accept=False,
        preempt=False,
        skip_check_adv_addr=True,
        notify=Notifications(
            master=Command(("/bin/m", "a b"), "me", "us"),
            backup=Command(("/bin/b",)),
            fault=Command(("/bin/f",)),
            stop=Command(("/bin/s",)),
            deleted=Command(("/bin/d",)),
            master_rx_lower_priority=Command(("/bin/l",)),
            any=Command(("/bin/n",)),
            smtp_alert=True,
        ),
        addresses=(VirtualAddress(address=ip_interface("10.0.0.1/24")),),
    )


def test_lower_priority_announcements_are_as_the_global_ones_unless_said():
    lines = "garp_master_delay 9\ngarp_master_repeat 2"
    found = instance(lines).garp
    assert (found.lower_priority_delay, found.lower_priority_repeat) == (5, 5)
    text = "global_defs {\n vrrp_garp_master_delay 8\n vrrp_garp_lower_prio_repeat 3\n}\n"
    found = read(text + with_instance(lines)).instances[0].garp
    assert (found.delay, found.lower_priority_delay, found.lower_priority_repeat) == (9, 8, 3)


def test_an_ipv6_instance_is_of_version_3():
    text = PLAIN % "virtual_ipaddress {\n fe80::1\n fd00::1/64\n}"
    (found,) = read(text).instances
    assert (found.version, found.family) == (3, Family.INET6)
    assert found.addresses[0] == (
        # a host's address is deprecated, so that nothing goes out from it
        VirtualAddress(address=ip_interface("fe80::1/128"), preferred_lifetime=0)
    )
    assert found.addresses[1].preferred_lifetime is None


def test_ipv6_has_no_version_2():
    text = PLAIN % "version 2\nvirtual_ipaddress {\n fe80::1\n}"
    assert problems(text) == ["1:1: IPv6 needs version 3"]


def test_unicast():
    lines = """
    unicast_src_ip 10.0.0.9
    unicast_peer {
        10.0.0.7
        10.0.0.8 min_ttl 3 max_ttl 9
    }
    unicast_ttl 64
    unicast_fault_no_peer
"""
    found = instance(lines)
    assert found.unicast_peers == (ip_address("10.0.0.7"), ip_address("10.0.0.8"))
    assert found.unicast_peer_ttls == ((ip_address("10.0.0.8"), 3, 9),)
    assert found.check_unicast_source  # by a TTL
    assert (found.unicast_ttl, found.unicast_fault_no_peers) == (64, True)
    # without an interface, too
    text = with_instance(lines).replace("    interface eth0\n", "")
    assert read(text).instances[0].interface == ""


def test_passwords_have_eight_bytes():
    text = with_instance("authentication {\n auth_type PASS\n auth_pass longerthaneight\n}")
    assert read(text).instances[0].authentication == Authentication(
        type=AuthType.PASS, password=b"longerth"
    )
    assert "the first 8 bytes" in remarks(text)[0]


def test_no_message_shows_a_password():
    lines = "authentication {\n auth_type PASS\n auth_pass s3cret w0rd\n}"
    assert "what follows is not read" in remarks(with_instance(lines))[0]
    assert "w0rd" not in "".join(remarks(with_instance(lines)))
    for key in ("hex:s3cret", "s3cret", "hex:0s3cret"):
        found = problems(with_instance(f"auth_hmac {{\n key 1 {key}\n}}"))
        assert "s3cret" not in "".join(found)


def test_hmac():
    lines = (
        "auth_hmac {\n key 1 hex:" + "ab" * 32 + "\n key 2 file:/etc/key\n active_key 2\n"
        " time_window 9\n mode permissive\n anti_replay monotonic\n}"
    )
    (found,) = read(with_instance(lines), {"/etc/key": "x" * 40 + "\n"}).instances
    assert found.authentication == Authentication(
        type=AuthType.HMAC,
        keys=((2, b"x" * 40), (1, b"\xab" * 32)),
        mode=HmacMode.PERMISSIVE,
        window=9,
        monotonic=True,
    )


@pytest.mark.parametrize(
    ("version", "asked", "made"),
    # as keepalived has rounded them
    [
        *((2, "0.4", 1), (2, "0.5", 1), (2, "1.5", 2), (2, "2.49", 2), (2, "2.5", 3), (2, "7", 7)),
        *((3, "0.925", 0.93), (3, "0.924", 0.92), (3, "0.01", 0.01)),
    ],
)
def test_an_interval_is_rounded_as_the_protocol_counts(version, asked, made):
    text = with_instance(f"version {version}\nadvert_int {asked}")
    assert read(text).instances[0].advert_interval == made
    assert bool(remarks(text)) is (float(asked) != made)


@pytest.mark.parametrize(
    ("lines", "field", "value", "remark"),
    [
        ("state MASTER\nnopreempt", "preempt", True, "nopreempt does not go with state MASTER"),
        ("state MASTER\npreempt_delay 5", "preempt_delay", 0, "preempt_delay does not go"),
        ("priority 255\nnopreempt", "preempt", True, "does not go with priority 255"),
        ("nopreempt\npreempt_delay 5", "preempt_delay", 0, "does not go with nopreempt"),
        ("unicast_src_ip 10.0.0.9", "unicast_peers", (), "the instance uses multicast"),
        ("unicast_peer {\n10.0.0.9\n}\nuse_vmac", "vmac_xmit_base", True, "base interface"),
        ("unicast_peer {\n10.0.0.9\n}\nmcast_dst_ip 224.0.0.9", "multicast_group", None, "no"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_mended_as_keepalived_does(lines, field, value, remark):
    text = with_instance(lines)
    assert getattr(read(text).instances[0], field) == value
    assert any(remark in each for each in remarks(text))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("priority 0", "7:10: priority is a number from 1"),
        ("priority 256", "priority is a number from 1 to 255, not '256'"),
        ("virtual_router_id 0", "virtual_router_id is a number from 1 to 255"),
        ("advert_int 0", "advert_int is 0.01 to 255 s"),
        ("version 3\nadvert_int 41", "at most 40.95 s"),
        ("version 4", "version is a number from 2 to 3"),
        ("state SLAVE", "state is one of MASTER, BACKUP"),
        ("interface a/b", "no interface's name"),
        ("preempt_delay 1001", "preempt_delay is 0 to 1000 s"),
        ("down_timer_adverts 0", "a number from 1 to 100"),
        ("version 3\nauthentication {\nauth_type PASS\nauth_pass x\n}", "has no authentication"),
        ("strict_mode\nauthentication {\nauth_type PASS\nauth_pass x\n}", "no authentication"),
        ("authentication {\nauth_type PASS\n}", "wants an auth_pass"),
        ("authentication {\nauth_pass x\n}", "wants an auth_type"),
        ("auth_hmac {\nkey 1 short\n}", "a key has 32 to 64 bytes, not 5"),
        ("auth_hmac {\nkey 1 file:/none\n}", "the key cannot be read: No such file"),
        ("auth_hmac {\n}", "auth_hmac wants a key"),
        ("strict_mode\nunicast_peer {\n10.0.0.2\n}", "strict_mode allows no unicast_peer"),
        ("strict_mode\nstate MASTER", "state MASTER with priority 255, and only"),
        ("strict_mode\npriority 255", "state MASTER with priority 255, and only"),
        ("strict_mode\naccept", "strict_mode allows no accept in version 2"),
        ("authentication {\nauth_type AH\nauth_pass x\n}", "auth_type AH is not supported"),
        (
            "virtual_ipaddress {\n~SEQ(N,2,250) 10.0.0.${N}\n~SEQ(M,1,9) 10.0.1.${M}\n}",
            "room for 255",
        ),
        ("mcast_src_ip fd00::1", "fd00::1 is of another family"),
        ("mcast_dst_ip 10.0.0.1", "is no multicast address"),
        ("unicast_peer {\nfd00::1\n}", "of one family"),
        ("unicast_peer {\n10.0.0.2\n10.0.0.2\n}", "is there twice"),
        ("unicast_peer {\n10.0.0.2 max_ttl 256\n}", "max_ttl is a number from 0 to 255"),
        ("mcast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.2\n}", "own address is among its peers"),
        ("virtual_ipaddress {\nfd00::1\n}", "are of one family"),
        ("use_vmac 00:00:5e:00:01:01", "another MAC address is not supported"),
        ("use_ipvlan", "keyword 'use_ipvlan' is not supported"),
        ("vrf red", "keyword 'vrf' is not supported"),
        ("old_unicast_checksum", "keyword 'old_unicast_checksum' is not supported"),
        ("garp_extra_if 100", "keyword 'garp_extra_if' is not supported"),
        ("notify_master", "notify_master wants a command"),
        ("notify /bin/x\nnotify /bin/y", "notify is said twice"),
        ("track_script {\nS\n}", "track_script of V: there is no vrrp_script 'S'"),
        ("track_interface {\neth1 weight 300\n}", "weight is a number from -253 to 253"),
        ("track_interface {\neth1 heavy\n}", "after a name comes weight"),
    ],
)
def test_what_an_instance_cannot_say(lines, problem):
    assert any(problem in each for each in problems(with_instance(lines)))


def test_what_an_instance_must_say():
    assert problems("vrrp_instance V {\n}") == [
        "1:1: V has no virtual_router_id",
        "1:1: V has no interface (or unicast_peer and unicast_src_ip)",
    ]
    assert problems("vrrp_instance {\n}") == ["1:14: vrrp_instance wants the name of an instance"]
    assert remarks(PLAIN % "") == ["1:1: V has no virtual_ipaddress"]
    assert remarks(PLAIN % "no_virtual_ipaddress") == []


def test_strict_mode_accepts_only_for_the_owner():
    assert instance("strict_mode").accept is False
    assert instance("strict_mode\npriority 255\nstate MASTER").accept is True


def test_defaults_come_from_global_defs_wherever_they_stand():
    text = (
        with_instance("garp_master_repeat 9")
        + """global_defs {
    vrrp_version 3
    vrrp_garp_master_delay 8
    vrrp_garp_master_repeat 7
    vrrp_garp_interval 0.001
    vrrp_gna_interval 0.5
    vrrp_mcast_group4 224.0.0.99
    vrrp_down_timer_adverts 5
    vrrp_skip_check_adv_addr
    vrrp_lower_prio_no_advert
    vrrp_check_unicast_src
    vrrp_startup_delay 5.5
    smtp_alert_vrrp
}
"""
    )
    (found,) = read(text).instances
    assert found.garp == Garp(
        delay=8,
        repeat=9,
        lower_priority_delay=8,
        lower_priority_repeat=7,
        interval=0.001,
        gna_interval=0.5,
    )
    assert (found.version, found.down_timer_adverts) == (3, 5)
    assert found.multicast_group == ip_address("224.0.0.99")
    assert found.skip_check_adv_addr
    assert found.lower_priority_no_advert
    assert found.check_unicast_source
    assert found.start_delay == 5.5
    assert found.notify.smtp_alert is True


def test_few_announcements():
    text = "global_defs {\n vrrp_min_garp\n}\n" + with_instance("")
    assert read(text).instances[0].garp == Garp(
        delay=0, repeat=1, lower_priority_delay=0, lower_priority_repeat=1
    )


def test_intervals_of_an_interface():
    text = "garp_group {\n interface eth0\n garp_interval 0.25\n gna_interval 0.5\n}\n"
    found = read(text + with_instance("")).instances[0].garp
    assert (found.interval, found.gna_interval) == (0.25, 0.5)
    assert (
        "'interfaces' is not supported with more than one"
        in (problems("garp_group {\n interfaces {\n eth0\n eth1\n}\n}")[0])
    )
