# SPDX-License-Identifier: Apache-2.0
"""All instances of a host: who gets which packet, tracking, sync groups, reload."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.vrrp.builders import instance

from xlvs.model.service import Family
from xlvs.model.tracking import Tracked
from xlvs.model.vrrp import (
    Authentication,
    AuthType,
    Group,
    HmacMode,
    VirtualAddress,
)
from xlvs.protocols.vrrp.effects import (
    Changed,
    Datagram,
    GroupChanged,
    Release,
    Restore,
    Say,
    State,
    Take,
)
from xlvs.protocols.vrrp.packet import Advert, Form, Reason, build, parse, seal
from xlvs.protocols.vrrp.router import Packet, Router, Weight, vmac_name
from xlvs.protocols.vrrp.track import Kind

PEER, US = ip_address("10.9.0.1"), ip_address("10.9.0.2")
GROUP = ip_address("224.0.0.18")
SIX = VirtualAddress(address=ip_interface("fe80::9:1/128"))
PEER6, US6 = ip_address("fe80::1"), ip_address("fe80::2")


def router(*instances, groups=(), weights=None, up=("eth0", "eth1")):
    made = Router(lambda: 1000.0)
    for name in up:
        made.link(name, up=True, now=0.0)
        made.addresses(name, (US, ip_address("2001:db8::2"), US6), 0.0)
    made.configure(instances, groups, weights or {}, 0.0)
    return made


def states(made):
    return {name: machine.state.value for name, machine in made.machines.items()}


def advert(priority=200, router_id=10, version=3, interval=1.0, **more):
    wanted = {"addresses": (ip_address("10.9.0.100"),), **more}
    return Advert(version, router_id, priority, interval, **wanted)


def packet(of, source=PEER, destination=GROUP, hop_limit=255, interface="eth0", form=Form.PSEUDO):
    payload = seal(build(of), source, destination, form)
    return Packet(interface, source, destination, hop_limit, payload)


def rejected(made, name="V1"):
    return made.machines[name].statistics.rejected


# ---- packets


def test_an_advert_reaches_its_instance():
    made = router(instance(), instance(name="V2", router_id=11))
    made.packet(packet(advert(router_id=11)), 1.0)
    assert made.machines["V2"].master == PEER
    assert made.machines["V1"].master is None


@pytest.mark.parametrize(
    "of",
    [
        packet(advert(router_id=99)),
        packet(advert(), interface="eth1"),
        packet(advert(), destination=US),
        Packet("eth0", PEER, GROUP, 255, b""),
    ],
)
def test_strangers_are_counted(of):
    made = router(instance())
    made.packet(of, 1.0)
    assert made.strangers == 1


@pytest.mark.parametrize(
    ("of", "reason", "more"),
    [
        (packet(advert(), hop_limit=254), Reason.HOP_LIMIT, {}),
        (packet(advert(version=2)), Reason.VERSION, {}),
        (packet(advert(version=3)), Reason.VERSION, {"version": 2}),
        (packet(advert(), source=US), Reason.OWN, {}),
        (packet(advert(version=2, interval=2.0)), Reason.INTERVAL, {"version": 2}),
        (packet(advert(version=2, addresses=())), Reason.ADDRESSES, {"version": 2}),
        (packet(advert(version=2, auth_type=1)), Reason.AUTH_TYPE, {"version": 2}),
        (
            packet(advert(version=2, auth_type=1, auth_data=b"falsch")),
            Reason.PASSWORD,
            {
                "version": 2,
                "authentication": Authentication(type=AuthType.PASS, password=b"richtig"),
            },
        ),
        (
            packet(advert()),
            Reason.HMAC_MISSING,
            {"authentication": Authentication(type=AuthType.HMAC, keys=((1, bytes(32)),))},
        ),
    ],
)
def test_each_rejection_is_counted_and_said_once(of, reason, more):
    made = router(instance(**more))
    made.take_effects()
    for tenth in range(5):
        made.packet(of, 1 + tenth / 10)
    assert rejected(made) == {reason: 5}
    said = [one for one in made.take_effects() if isinstance(one, Say)]
    assert len(said) == (0 if reason is Reason.OWN else 1)
    assert made.machines["V1"].master is None


def test_permissive_takes_adverts_without_hmac():
    auth = Authentication(type=AuthType.HMAC, keys=((1, bytes(32)),), mode=HmacMode.PERMISSIVE)
    made = router(instance(authentication=auth))
    made.packet(packet(advert()), 1.0)
    assert made.machines["V1"].master == PEER


@pytest.mark.parametrize(
    ("version", "priority", "counts"), [(2, 200, False), (2, 255, True), (3, 200, True)]
)
def test_other_addresses_split_no_brain_in_version_3(version, priority, counts):
    """RFC 3768 7.1 drops them unless an owner sends them; RFC 9568 only wants it said."""
    made = router(instance(version=version))
    made.take_effects()
    of = advert(priority, version=version, addresses=(ip_address("10.9.0.101"),))
    made.packet(packet(of), 1.0)
    assert (made.machines["V1"].master == PEER) is counts
    (said,) = [
        one for one in made.take_effects() if isinstance(one, Say) and "lacks" in one.sentence
    ]
    assert "10.9.0.101" in said.sentence
    assert "lacks 10.9.0.100" in said.sentence


def test_skip_check_adv_addr_believes_the_master_that_it_knows():
    made = router(instance(version=2, skip_check_adv_addr=True))
    made.packet(packet(advert(version=2)), 1.0)
    made.packet(packet(advert(version=2, addresses=())), 2.0)
    assert rejected(made) == {}


def test_unicast():
    peers = {"unicast_peers": (PEER,), "unicast_ttl": 7}
    made = router(instance(**peers), instance(name="M"))
    made.packet(packet(advert(), destination=US, hop_limit=3), 1.0)
    assert made.machines["V1"].master == PEER
    assert made.machines["M"].master is None
    made.packet(packet(advert()), 1.0)
    assert made.machines["M"].master == PEER


def test_unicast_adverts_go_to_every_peer():
    other = ip_address("10.9.0.7")
    made = router(instance(unicast_peers=(PEER, other), unicast_ttl=7))
    made.tick(10.0)
    sent = [one for one in made.take_effects() if isinstance(one, Datagram)]
    assert [(one.destination, one.hop_limit) for one in sent] == [(PEER, 7), (other, 7)]


@pytest.mark.parametrize(
    ("more", "source", "hop_limit", "expected"),
    [
        ({"check_unicast_source": True}, "10.9.0.9", 255, {Reason.SOURCE: 1}),
        ({"unicast_peer_ttls": ((PEER, 250, 255),)}, "10.9.0.1", 249, {Reason.HOP_LIMIT: 1}),
        ({"unicast_peer_ttls": ((PEER, 250, 255),)}, "10.9.0.1", 251, {}),
        ({}, "10.9.0.9", 3, {}),
    ],
)
def test_checks_of_unicast(more, source, hop_limit, expected):
    made = router(instance(unicast_peers=(PEER,), **more))
    made.packet(packet(advert(), ip_address(source), US, hop_limit), 1.0)
    assert rejected(made) == expected


def test_the_checksum_of_a_peer_is_answered_in_kind():
    made = router(instance())
    made.tick(10.0)

    def form():
        sent = next(one for one in made.take_effects() if isinstance(one, Datagram))
        return parse(sent.payload, sent.source, sent.destination).form

    assert form() is Form.PSEUDO
    made.packet(packet(advert(50), form=Form.MESSAGE), 10.5)
    assert form() is Form.MESSAGE


def test_an_ipv6_advert_has_a_link_local_source():
    made = router(instance(family=Family.INET6, addresses=(SIX,)))
    made.tick(10.0)
    (sent,) = [one for one in made.take_effects() if isinstance(one, Datagram)]
    assert (str(sent.source), str(sent.destination), sent.hop_limit) == ("fe80::2", "ff02::12", 255)


def test_a_virtual_address_is_not_what_adverts_come_from():
    made = router(instance())
    made.addresses("eth0", (ip_address("10.9.0.100"), US), 0.0)
    made.tick(10.0)
    (sent,) = [one for one in made.take_effects() if isinstance(one, Datagram)]
    assert sent.source == US


@given(st.binary(max_size=64), st.integers(0, 255))
def test_no_packet_does_harm(payload, hop_limit):
    made = router(instance())
    made.packet(Packet("eth0", PEER, GROUP, hop_limit, b"\x31\x0a" + payload), 1.0)
    assert states(made) == {"V1": "BACKUP"}


# ---- links, addresses, tracking


def test_no_address_and_no_interface_are_faults():
    made = router(instance(), up=())
    assert states(made) == {"V1": "FAULT"}
    causes = made.machines["V1"].faults
    assert causes == ("no IPv4 address on eth0", "interface eth0 is down")
    made.addresses("eth0", (US,), 1.0)
    made.link("eth0", up=True, now=1.0)
    assert states(made) == {"V1": "BACKUP"}


def test_dont_track_primary():
    made = router(instance(track_primary_interface=False))
    made.link("eth0", up=False, now=1.0)
    assert states(made) == {"V1": "BACKUP"}


def test_track_src_ip():
    made = router(instance(source=ip_address("10.9.0.77")))
    assert made.machines["V1"].faults == ("no 10.9.0.77 on eth0",)
    made = router(instance(source=ip_address("10.9.0.77"), track_source=False))
    assert states(made) == {"V1": "BACKUP"}


def test_weights_come_from_the_reference_or_from_what_is_tracked():
    weights = {(Kind.SCRIPT, "a"): Weight(-20), (Kind.SCRIPT, "b"): Weight(5, reverse=True)}
    tracked = (Tracked("a"), Tracked("b"), Tracked("c", weight=7))
    made = router(instance(track_scripts=tracked), weights=weights)
    for name in "abc":
        made.result(Kind.SCRIPT, name, 1, 1.0)
    assert made.machines["V1"].priority == 100 - 5 + 7
    made.result(Kind.SCRIPT, "a", 0, 2.0)
    assert made.machines["V1"].priority == 82


def test_an_instance_that_cannot_run_is_a_fault_with_its_reason():
    made = router(instance(version=2, advert_interval=0.5))
    assert states(made) == {"V1": "FAULT"}
    assert "whole seconds" in made.machines["V1"].faults[0]


def test_two_with_one_router_id_on_one_interface():
    made = router(instance(name="A"), instance(name="B"), instance(name="C", interface="eth1"))
    assert states(made) == {"A": "BACKUP", "B": "FAULT", "C": "BACKUP"}
    assert made.machines["B"].faults == ("virtual_router_id 10 on eth0 is A's",)
    made.configure((instance(name="B"),), (), {}, 1.0)
    assert states(made) == {"B": "BACKUP"}


def test_unless_their_peers_differ():
    other = ip_address("10.9.0.7")
    made = router(
        instance(name="A", unicast_peers=(PEER,)), instance(name="B", unicast_peers=(other,))
    )
    assert states(made) == {"A": "BACKUP", "B": "BACKUP"}
    made.packet(packet(advert(), source=other, destination=US), 1.0)
    assert made.machines["B"].master == other
    assert made.machines["A"].master is None


def test_no_track():
    wanted = VirtualAddress(address=ip_interface("10.9.0.100/32"), no_track=True)
    made = router(instance(addresses=(wanted,)))
    made.tick(10.0)
    made.take_effects()
    made.address_gone("eth0", wanted.address, 11.0)
    assert made.take_effects() == []


def test_a_vmac_that_is_not_there_is_a_fault():
    made = router(instance(use_vmac=""))
    assert made.machines["V1"].faults == ("interface vrrp.10 is down",)
    made.link("vrrp.10", up=True, now=1.0)
    assert states(made) == {"V1": "BACKUP"}


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, None),
        ({"use_vmac": ""}, "vrrp.10"),
        ({"use_vmac": "", "family": Family.INET6}, "vrrp6.10"),
        ({"use_vmac": "mine"}, "mine"),
    ],
)
def test_names_of_vmacs(more, name):
    assert vmac_name(instance(**more)) == name


def test_a_removed_address_is_put_back_by_its_master_only():
    made = router(instance(), instance(name="V2", router_id=11, addresses=()))
    made.tick(10.0)
    made.take_effects()
    gone = ip_interface("10.9.0.100/32")
    made.address_gone("eth0", gone, 11.0)
    assert [one for one in made.take_effects() if isinstance(one, Restore)] == [
        Restore("V1", (("eth0", gone),))
    ]
    made.address_gone("eth1", gone, 13.0)
    made.address_gone("eth0", ip_interface("10.9.0.9/32"), 13.0)
    assert not [one for one in made.take_effects() if isinstance(one, Restore)]


# ---- sync groups


def pair_of(**more):
    return (
        instance(name="A", **more),
        instance(name="B", router_id=11, interface="eth1", **more),
    )


BOTH = (Group(name="G", instances=("A", "B")),)


def test_a_group_leads_when_every_member_would():
    made = router(*pair_of(), groups=BOTH)
    made.packet(packet(advert()), 3.0)
    made.tick(3.7)
    assert states(made) == {"A": "BACKUP", "B": "BACKUP"}
    made.tick(6.7)
    assert states(made) == {"A": "MASTER", "B": "MASTER"}
    assert GroupChanged("G", State.BACKUP, State.MASTER) in made.take_effects()


def test_one_that_hears_its_master_again_keeps_the_others():
    made = router(*pair_of(), groups=BOTH)
    made.packet(packet(advert()), 3.0)
    made.tick(3.7)  # B has waited long enough
    made.packet(packet(advert(router_id=11), interface="eth1"), 4.0)
    made.tick(6.7)  # now A has, but B has not
    assert states(made) == {"A": "BACKUP", "B": "BACKUP"}


def test_a_group_steps_down_together():
    made = router(*pair_of(), groups=BOTH)
    made.tick(4.0)
    made.take_effects()
    made.packet(packet(advert()), 5.0)
    assert states(made) == {"A": "BACKUP", "B": "BACKUP"}
    effects = made.take_effects()
    zero = [one.instance for one in effects if isinstance(one, Datagram) and not one.payload[2]]
    assert zero == ["B"], "B's peer need not wait"
    assert {one.instance for one in effects if isinstance(one, Release)} == {"A", "B"}


def test_a_group_that_leads_in_the_same_breath_is_not_undone():
    made = router(*pair_of(), groups=BOTH)
    made.tick(4.0)
    made.packet(packet(advert()), 5.0)
    made.tick(100.0)  # without taking the effects in between
    made.tick(100.1)
    assert states(made) == {"A": "MASTER", "B": "MASTER"}


def test_a_fault_of_one_is_a_fault_of_all():
    made = router(*pair_of(), groups=BOTH)
    made.tick(4.0)
    made.link("eth1", up=False, now=5.0)
    assert states(made) == {"A": "FAULT", "B": "FAULT"}
    assert made.machines["A"].faults == ("B of its sync group has a fault",)
    made.link("eth1", up=True, now=6.0)
    assert states(made) == {"A": "BACKUP", "B": "BACKUP"}


def test_owners_in_a_group_begin_as_masters():
    made = router(*pair_of(priority=255), groups=BOTH)
    assert states(made) == {"A": "MASTER", "B": "MASTER"}


def test_weights_of_members_do_not_count_those_of_the_group_do():
    one, two = pair_of(track_scripts=(Tracked("x", weight=-10),))
    group = Group(name="G", instances=("A", "B"), track_scripts=(Tracked("y", weight=-20),))
    made = router(one, two, groups=(group,))
    made.result(Kind.SCRIPT, "y", 0, 1.0)
    assert {machine.priority for machine in made.machines.values()} == {80}
    made.result(Kind.SCRIPT, "x", 0, 1.0)
    assert states(made) == {"A": "FAULT", "B": "FAULT"}


# ---- reload, hold, end


def test_reload_leaves_alone_what_did_not_change():
    one, two = instance(name="A"), instance(name="B", router_id=11)
    made = router(one, two)
    made.tick(10.0)
    made.take_effects()
    machine, deadline = made.machines["A"], made.deadline
    made.configure((one,), (), {}, 10.5)
    assert made.machines["A"] is machine
    assert made.deadline == deadline
    effects = made.take_effects()
    assert {one.instance for one in effects} == {"B"}
    assert Changed("B", State.MASTER, State.INIT, 100, "stopped") in effects


def test_another_priority_keeps_the_master():
    made = router(instance())
    made.tick(10.0)
    made.take_effects()
    made.configure((instance(priority=50),), (), {}, 10.5)
    assert states(made) == {"V1": "MASTER"}
    assert made.machines["V1"].priority == 50
    made.tick(11.0)
    (sent,) = [one for one in made.take_effects() if isinstance(one, Datagram)]
    assert sent.payload[2] == 50


def test_a_shorter_interval_is_kept_at_once():
    made = router(instance())
    made.tick(10.0)
    made.configure((instance(advert_interval=0.1),), (), {}, 10.5)
    assert made.deadline == pytest.approx(10.6)


@pytest.mark.parametrize(
    "more", [{"router_id": 12}, {"interface": "eth1"}, {"version": 2}, {"unicast_peers": (PEER,)}]
)
def test_another_virtual_router_begins_anew(more):
    made = router(instance())
    made.tick(10.0)
    made.take_effects()
    made.configure((instance(**more),), (), {}, 10.5)
    assert states(made) == {"V1": "BACKUP"}
    effects = made.take_effects()
    assert isinstance(effects[0], Datagram)
    assert effects[0].payload[2] == 0


def test_hold_is_for_instances_that_come_later_too():
    made = Router(lambda: 0.0)
    made.hold(20.0, 0.0)
    made.link("eth0", up=True, now=0.0)
    made.addresses("eth0", (US,), 0.0)
    made.configure((instance(),), (), {}, 0.0)
    made.packet(packet(advert(50)), 3.0)
    made.tick(4.0)
    assert states(made) == {"V1": "BACKUP"}
    made.hold(None, 5.0)
    made.tick(6.7)
    assert states(made) == {"V1": "MASTER"}


def test_startup_delay():
    made = router(instance(start_delay=5.0))
    assert states(made) == {"V1": "INIT"}
    assert made.deadline == 5.0
    made.tick(5.0)
    assert states(made) == {"V1": "BACKUP"}


def test_the_end():
    made = router(*pair_of())
    made.tick(10.0)
    assert len([one for one in made.take_effects() if isinstance(one, Take)]) == 2
    made.shutdown(11.0)
    effects = made.take_effects()
    assert [one.payload[2] for one in effects if isinstance(one, Datagram)] == [0, 0]
    assert len([one for one in effects if isinstance(one, Release)]) == 2
    assert made.deadline is None
