# SPDX-License-Identifier: Apache-2.0
"""Real keepalived on one side, ours on the other, every kind of instance at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

import msgspec
import pytest
from tests.lab.vrrp_pair import Pair, tshark, wait

from xlvs.io.config_files import read_configuration
from xlvs.io.redundancy import network
from xlvs.io.vrrp.messages import BfdNow, Network
from xlvs.model.service import Family
from xlvs.model.tracking import Bfd, File, Tracked
from xlvs.model.vrrp import Authentication, AuthType, Instance, VirtualAddress

HIGH, LOW = 150, 100


@dataclass(frozen=True)
class Kind:
    name: str
    router_id: int
    version: int
    v6: bool = False
    unicast: bool = False
    password: str = ""
    ours: int = HIGH
    theirs: int = LOW

    @property
    def interval(self):
        return 1.0 if self.version == 2 else 0.2

    @property
    def addresses(self):
        if self.v6:
            return (f"fe80::9:{self.router_id}/128", f"2001:db8:9::9:{self.router_id}/128")
        return (f"10.9.0.{self.router_id}/32", f"10.9.1.{self.router_id}/32")

    def keepalived(self):
        end = {False: ("10.9.0.1", "10.9.0.2"), True: ("fe80::1", "fe80::2")}[self.v6]
        unicast = f"unicast_src_ip {end[0]}\nunicast_peer {{\n{end[1]}\n}}" if self.unicast else ""
        password = (
            f"authentication {{\nauth_type PASS\nauth_pass {self.password}\n}}"
            if self.password
            else ""
        )
        addresses = "\n".join(self.addresses)
        return f"""vrrp_instance {self.name} {{
            version {self.version}
            state BACKUP
            interface eth0
            virtual_router_id {self.router_id}
            priority {self.theirs}
            advert_int {self.interval:g}
            {unicast}
            {password}
            virtual_ipaddress {{
            {addresses}
            }}
        }}"""

    def instance(self):
        end = {False: ("10.9.0.2", "10.9.0.1"), True: ("fe80::2", "fe80::1")}[self.v6]
        return Instance(
            name=self.name,
            interface="eth0",
            router_id=self.router_id,
            priority=self.ours,
            version=self.version,
            family=Family.INET6 if self.v6 else Family.INET,
            advert_interval=self.interval,
            source=ip_address(end[0]) if self.unicast else None,
            unicast_peers=(ip_address(end[1]),) if self.unicast else (),
            authentication=Authentication(type=AuthType.PASS, password=self.password.encode())
            if self.password
            else Authentication(),
            addresses=tuple(VirtualAddress(address=ip_interface(one)) for one in self.addresses),
        )


def both_ways(name, router_id, version, **more):
    return [
        Kind(f"{name}_ours", router_id, version, **more),
        Kind(f"{name}_theirs", router_id + 1, version, ours=LOW, theirs=HIGH, **more),
    ]


KINDS = (
    *both_ways("v2", 20, 2),
    *both_ways("v2_unicast", 22, 2, unicast=True),
    *both_ways("v2_pass", 24, 2, password="geheim12"),  # noqa: S106
    *both_ways("v3", 30, 3),
    *both_ways("v3_unicast", 32, 3, unicast=True),
    *both_ways("v3_ipv6", 34, 3, v6=True),
    *both_ways("v3_ipv6_unicast", 36, 3, v6=True, unicast=True),
)
KEEPALIVED = "global_defs {\nvrrp_garp_master_delay 1\n}\n" + "\n".join(
    kind.keepalived() for kind in KINDS
)
NETWORK = Network(instances=tuple(kind.instance() for kind in KINDS))


def plain(kinds):
    return {str(ip_interface(one).ip) for kind in kinds for one in kind.addresses}


OURS = [kind for kind in KINDS if kind.ours == HIGH]
THEIRS = [kind for kind in KINDS if kind.ours == LOW]


def all_in(kinds, state):
    return {kind.name: state for kind in kinds}


@pytest.fixture
def pair(tmp_path):
    with Pair(tmp_path) as made:
        yield made


def test_elections_preemption_and_hand_over_both_ways(pair):
    path, tcpdump = pair.capture("a")
    keepalived = pair.keepalived(KEEPALIVED)
    keepalived.wait(**all_in(KINDS, "MASTER"))

    # Whoever has the higher priority is master: ours preempts where it has it.
    ours = pair.ours(NETWORK)
    ours.wait(**all_in(OURS, "MASTER"), **all_in(THEIRS, "BACKUP"))
    keepalived.wait(**all_in(OURS, "BACKUP"), **all_in(THEIRS, "MASTER"))
    assert plain(OURS) <= pair.addresses("b")
    assert not plain(THEIRS) & pair.addresses("b")
    assert not plain(OURS) & pair.addresses("a")

    # Ours leaves: priority 0, so keepalived waits for its skew only.
    assert ours.stop() == 0
    keepalived.wait(**all_in(KINDS, "MASTER"))
    assert not plain(KINDS) & pair.addresses("b")

    # The other way round.
    ours = pair.ours(NETWORK)
    ours.wait(**all_in(OURS, "MASTER"), **all_in(THEIRS, "BACKUP"))
    keepalived.stop()
    ours.wait(**all_in(KINDS, "MASTER"))
    wait(lambda: plain(KINDS) <= pair.addresses("b"), lambda: "the addresses")
    assert {
        one.zero_priority_received
        for one in ours.statistics().instances
        if one.instance in all_in(THEIRS, "")
    } == {1}

    # It returns and preempts where it is better.
    keepalived = pair.keepalived(KEEPALIVED)
    keepalived.wait(**all_in(THEIRS, "MASTER"), **all_in(OURS, "BACKUP"))
    ours.wait(**all_in(OURS, "MASTER"), **all_in(THEIRS, "BACKUP"))
    assert not any(one.rejected for one in ours.statistics().instances)

    # Killed: nobody says good-bye, ours waits for its master-down interval.
    keepalived.kill()
    ours.wait(**all_in(KINDS, "MASTER"))
    ours.stop()
    pair.captured(tcpdump)
    decodes_cleanly(path)


def decodes_cleanly(path):
    fields = ("ip.src", "ipv6.src", "vrrp.version", "vrrp.checksum.status", "vrrp.virt_rtr_id")
    # ICMP errors quote adverts: keepalived's, while nobody listens for them.
    lines = tshark(path, "-Y", "vrrp && !icmp && !icmpv6.type==4", fields=fields)
    ours = {tuple(line[2:]) for line in lines if line[0] == "10.9.0.2" or line[1] == "fe80::2"}
    ids = {str(kind.router_id) for kind in KINDS}
    assert {one[2] for one in ours} == ids
    assert {one[1] for one in ours} == {"1"}, "every checksum is good"
    bad = tshark(
        path,
        "-Y",
        "_ws.malformed || _ws.expert.severity == error",
        fields=("frame.number", "_ws.col.Info"),
    )
    assert bad == []
    told = tshark(
        path, "-Y", "arp.isgratuitous", fields=("arp.src.proto_ipv4", "eth.src")
    ) + tshark(path, "-Y", "icmpv6.type == 136", fields=("icmpv6.nd.na.target_address", "eth.src"))
    assert plain(KINDS) <= {line[0] for line in told}


def test_another_priority_moves_the_master(pair):
    """A tracked file on our side, and on keepalived's."""
    kind = Kind("v3", 40, 3, ours=HIGH, theirs=120)
    keepalived = pair.keepalived(
        f"track_file theirs {{\nfile {pair.folder}/theirs\nweight 1\ninit_file 0 overwrite\n}}\n"
        + kind.keepalived().replace(
            "virtual_ipaddress", "track_file {\ntheirs\n}\nvirtual_ipaddress"
        )
    )
    keepalived.wait(v3="MASTER")
    instance = msgspec.structs.replace(kind.instance(), track_files=(Tracked("mine"),))
    file = File(name="mine", path=str(pair.folder / "mine"), weight=1, initial=0, overwrite=True)
    ours = pair.ours(Network(instances=(instance,), files=(file,)))
    ours.wait(v3="MASTER")
    keepalived.wait(v3="BACKUP")

    (pair.folder / "mine").write_text("-60\n")
    ours.wait(v3="BACKUP")
    keepalived.wait(v3="MASTER")
    assert ours.states["v3"].priority == 90

    (pair.folder / "theirs").write_text("-80\n")
    ours.wait(v3="MASTER")
    keepalived.wait(v3="BACKUP")
    ours.stop()
    keepalived.stop()


def test_a_split_brain_is_named_and_announced_away(pair):
    kind = Kind("v3", 41, 3)
    keepalived = pair.keepalived(
        # Or it would step down in silence, and nobody could know.
        kind.keepalived().replace("virtual_ip", "higher_prio_send_advert true\nvirtual_ip")
    )
    ours = pair.ours(Network(instances=(kind.instance(),)))
    ours.wait(v3="MASTER")
    keepalived.wait(v3="BACKUP")
    pair.cut("a")
    keepalived.wait(v3="MASTER")
    path, tcpdump = pair.capture("b", "split.pcap")
    pair.heal("a")
    keepalived.wait(v3="BACKUP")
    ours.until(lambda: any("split brain" in one for one in ours.sentences()), "split brain")
    (said,) = [one for one in ours.sentences() if "split brain:" in one]
    assert "10.9.0.1" in said
    assert ours.statistics().instances[0].rivals_lower >= 1
    wait(
        lambda: len(tshark(path, "-Y", "arp.isgratuitous", fields=("eth.src",))) >= 10,
        lambda: "announcements",
    )
    pair.captured(tcpdump)
    macs = tshark(path, "-Y", "arp.isgratuitous", fields=("eth.src",))
    assert macs[-1][0] in pair.sh("b", "ip link show eth0"), "the last word is ours"
    ours.stop()
    keepalived.stop()


def test_keepalived_learns_from_ours_that_there_were_two_masters(pair):
    kind = Kind("v3", 42, 3, ours=LOW, theirs=HIGH)
    keepalived = pair.keepalived(kind.keepalived())
    ours = pair.ours(Network(instances=(kind.instance(),)))
    keepalived.wait(v3="MASTER")
    ours.wait(v3="BACKUP")
    pair.cut("b")
    ours.wait(v3="MASTER")
    pair.heal("b")
    ours.wait(v3="BACKUP")
    wait(
        lambda: "lower priority" in keepalived.log.read_text(),
        keepalived.log.read_text,
    )
    ours.stop()
    keepalived.stop()


def test_bfd_with_keepalived(pair):
    keepalived = pair.keepalived(
        "bfd_instance one {\nneighbor_ip 10.9.0.2\nsource_ip 10.9.0.1\n"
        "min_rx 50\nmin_tx 50\nmultiplier 4\n}\n"
        + Kind("v3", 43, 3, ours=LOW, theirs=120)
        .keepalived()
        .replace("virtual_ip", "track_bfd {\none weight 1\n}\nvirtual_ip")
    )
    kind = Kind("v3", 43, 3, ours=LOW, theirs=120)
    instance = msgspec.structs.replace(kind.instance(), track_bfd=(Tracked("one", weight=40),))
    bfd = Bfd(
        name="one",
        neighbour=ip_address("10.9.0.1"),
        source=ip_address("10.9.0.2"),
        min_rx=50,
        min_tx=50,
        multiplier=4,
    )
    path, tcpdump = pair.capture("a")
    ours = pair.ours(Network(instances=(instance,), bfds=(bfd,)))
    ours.until(lambda: BfdNow(name="one", up=True) in ours.messages, "BFD up")
    ours.wait(v3="MASTER")
    assert ours.states["v3"].priority == 140
    time.sleep(0.5)
    pair.captured(tcpdump)
    pair.cut("a")
    ours.until(lambda: ours.states["v3"].priority == LOW, "BFD down")
    pair.heal("a")
    ours.until(lambda: ours.states["v3"].priority == 140, "BFD up again")
    ours.stop()
    keepalived.stop()
    seen = tshark(path, "-Y", "bfd && ip.src == 10.9.0.2", fields=("bfd.sta", "ip.ttl"))
    assert ["0x03", "255"] in seen
    assert not tshark(path, "-Y", "_ws.malformed", fields=("frame.number",))


def test_one_and_the_same_file_on_both(pair):
    """What a migration begins with: the peer's keepalived.conf, given to xlvs as it is."""
    kinds = [
        Kind("v2", 50, 2, theirs=HIGH),
        Kind("v2_pass", 51, 2, password="geheim12", theirs=HIGH),  # noqa: S106
        Kind("v3", 52, 3, theirs=HIGH),
        Kind("v3_ipv6", 53, 3, v6=True, theirs=HIGH),
    ]
    text = (
        "global_defs {\nrouter_id one\nvrrp_garp_master_delay 1\n}\n"
        "vrrp_sync_group both {\ngroup {\nv3\nv3_ipv6\n}\n}\n"
        + "\n".join(kind.keepalived() for kind in kinds)
    )
    keepalived = pair.keepalived(text)
    keepalived.wait(**all_in(kinds, "MASTER"))
    ours = pair.ours(network(read_configuration(str(keepalived.config))))
    ours.wait(**all_in(kinds, "BACKUP"))
    keepalived.stop()
    ours.wait(**all_in(kinds, "MASTER"))
    wait(lambda: plain(kinds) <= pair.addresses("b"), lambda: pair.sh("b", "ip addr"))
    keepalived = pair.keepalived(text)
    keepalived.wait(**all_in(kinds, "BACKUP"))
    time.sleep(1.0)
    assert keepalived.states() == all_in(kinds, "BACKUP")
    ours.stop()
    keepalived.wait(**all_in(kinds, "MASTER"))
