# SPDX-License-Identifier: Apache-2.0
"""Announcements, read back by scapy; an ARP one against keepalived's bytes."""

from __future__ import annotations

from ipaddress import ip_address

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from xlvs.protocols.vrrp.neighbours import announcement, virtual_mac

MAC = bytes.fromhex("42251e83b735")
KEEPALIVED = "ffffffffffff42251e83b735080600010800060400014225 1e83b7350a090067ffffffffffff0a090067"


def test_gratuitous_arp_is_a_request_for_itself():
    frame = announcement(ip_address("10.9.0.103"), MAC)
    assert frame[:42] == bytes.fromhex(KEEPALIVED)
    arp = Ether(frame)[ARP]
    assert (arp.op, arp.psrc, arp.pdst) == (1, "10.9.0.103", "10.9.0.103")
    assert len(frame) == 60


def test_an_unsolicited_advertisement():
    frame = announcement(ip_address("2001:db8:9::1"), MAC, router=True)
    read = Ether(frame)
    assert read.dst == "33:33:00:00:00:01"
    assert (read[IPv6].dst, read[IPv6].hlim) == ("ff02::1", 255)
    advertisement = read[ICMPv6ND_NA]
    assert (advertisement.R, advertisement.S, advertisement.O) == (1, 0, 1)
    assert advertisement.tgt == "2001:db8:9::1"
    assert read[ICMPv6NDOptDstLLAddr].lladdr == "42:25:1e:83:b7:35"
    given = advertisement.cksum
    del read[ICMPv6ND_NA].cksum
    assert Ether(bytes(read))[ICMPv6ND_NA].cksum == given


def test_virtual_macs():
    assert virtual_mac(51, v6=False).hex(":") == "00:00:5e:00:01:33"
    assert virtual_mac(51, v6=True).hex(":") == "00:00:5e:00:02:33"
