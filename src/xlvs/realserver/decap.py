# SPDX-License-Identifier: Apache-2.0
"""Load, attach, look at and take off the programs of TUN.

Nothing is pinned: the attachment itself keeps program and maps alive, so there
is nothing to leak and bpffs need not be mounted. A change of addresses loads a
fresh program with its maps filled and exchanges the old one in a single step.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, Protocol

import xlvs.datapath
from xlvs.datapath import libbpf
from xlvs.datapath.problems import explained
from xlvs.datapath.testrun import test_run
from xlvs.model.problem import Code, Problem
from xlvs.realserver.address import key
from xlvs.realserver.host import LinuxHost
from xlvs.realserver.state import Decapsulation
from xlvs.realserver.tunnel import KINDS

OBJECT = Path(xlvs.datapath.__file__).with_name("objects") / "realserver.bpf.o"

# Of all filters on clsact ingress this one is ours, whoever else has some.
HANDLE = 1
PRIORITY = 0x5856

_ETHERTYPES = {False: 0x0800, True: 0x86DD}
IPPROTO_NONE = 59  # IPv6: no next header; IPv4 does not know it either


class Virtual(NamedTuple):
    """A virtual address, the kinds of tunnel that lead to it, and GUE's UDP port.

    ``overhead``: bytes of the tunnel's headers that the MSS of SYN/ACKs allows for, 0: none.
    """

    address: str
    tunnels: tuple[str, ...] = ("ipip",)
    port: int = 0
    overhead: int = 0

    def packed(self) -> bytes:
        """``struct decap_virtual`` of bpf/realserver/maps.h."""
        kinds = sum(1 << KINDS[kind] for kind in self.tunnels)
        return struct.pack("!BBH", kinds, self.overhead, self.port)


class Addresses(NamedTuple):
    """Tunnel packets to ``outer`` (this host) are opened if they carry some to ``inner``."""

    inner: tuple[Virtual, ...]
    outer: tuple[str, ...]

    @property
    def lowers(self) -> bool:
        """SYN/ACKs of some of them get a smaller MSS."""
        return any(each.overhead for each in self.inner)


class Tunnels(Protocol):
    """Decapsulation on interfaces, or a test's idea of it."""

    def intend(
        self, interface: str, addresses: Addresses, before: Decapsulation | None
    ) -> Decapsulation:
        """What :meth:`attach` is going to do; changes nothing."""

    def attach(
        self, interface: str, addresses: Addresses, intended: Decapsulation
    ) -> Decapsulation:
        """Attach a fresh program, in place of the old one if there is one."""

    def detach(self, interface: str, what: Decapsulation) -> None:
        """Take the program off, and the qdisc if it is ours and empty."""

    def program(self, interface: str, hook: str) -> int:
        """Id of the program that is attached where ours would be, 0 if none.

        ``hook``: ``tc``, ``xdp``, or ``egress``: the one that lowers the MSS.
        """


class EbpfTunnels:
    """``Tunnels`` by libbpf. ``hook``: ``tc``, ``xdp`` or ``auto`` (tc if the kernel can)."""

    def __init__(self, host: LinuxHost, hook: str = "auto") -> None:
        self._host = host
        self._hook = hook

    def intend(
        self, interface: str, addresses: Addresses, before: Decapsulation | None
    ) -> Decapsulation:
        hook = self._hook if self._hook != "auto" else self._choose(addresses)
        lowers = addresses.lowers
        # A qdisc that we made stays ours, whatever is on it.
        clsact = (hook == "tc" or lowers) and (
            (before is not None and before.clsact) or not self._host.has_clsact(interface)
        )
        if before and before.hook == hook:
            return Decapsulation(hook, before.program, clsact or before.clsact, lowers, before.mss)
        if hook == "xdp" and any(libbpf.xdp_query(self._host.index(interface))):
            raise Problem(
                Code.NOT_SUPPORTED,
                f"another XDP program is attached to {interface}:"
                " take it off (ip link set ... xdp off) or use --hook tc",
                "--hook",
            )
        return Decapsulation(hook, 0, clsact, lowers)

    def attach(
        self, interface: str, addresses: Addresses, intended: Decapsulation
    ) -> Decapsulation:
        index = self._host.index(interface)
        with _loaded(addresses) as program, explained("attaching the decapsulation", interface):
            if intended.hook == "xdp":
                self._host.set_generic_xdp(interface, program.xdp)
            else:
                libbpf.tc_hook_create(index)
                libbpf.tc_attach(index, libbpf.TC_INGRESS, program.tc, HANDLE, PRIORITY)
            if intended.lowers:
                libbpf.tc_hook_create(index)
                libbpf.tc_attach(index, libbpf.TC_EGRESS, program.mss, HANDLE, PRIORITY)
            elif intended.mss and self.program(interface, "egress") == intended.mss:
                libbpf.tc_detach(index, libbpf.TC_EGRESS, HANDLE, PRIORITY)
            found = self.program(interface, intended.hook)
            mss = self.program(interface, "egress") if intended.lowers else 0
        return Decapsulation(intended.hook, found, intended.clsact, intended.lowers, mss)

    def detach(self, interface: str, what: Decapsulation) -> None:
        if interface not in self._host.interfaces():
            return  # it took its program along
        found = self.program(interface, what.hook)
        index = self._host.index(interface)
        with explained("taking the decapsulation off", interface):
            if what.hook == "xdp":
                if found and what.program in (found, 0):
                    self._host.set_generic_xdp(interface, -1)
            elif found:
                libbpf.tc_detach(index, libbpf.TC_INGRESS, HANDLE, PRIORITY)
            if (what.lowers or what.mss) and self.program(interface, "egress"):
                libbpf.tc_detach(index, libbpf.TC_EGRESS, HANDLE, PRIORITY)
            ours = what.clsact and self._host.has_clsact(interface)
            if ours and not self._host.has_filters(interface):
                libbpf.tc_hook_destroy(index)

    def program(self, interface: str, hook: str) -> int:
        index = self._host.index(interface)
        if hook == "xdp":
            return libbpf.xdp_query(index)[1]
        if not self._host.has_clsact(interface):
            return 0
        point = libbpf.TC_EGRESS if hook == "egress" else libbpf.TC_INGRESS
        return libbpf.tc_query(index, point, HANDLE, PRIORITY)

    @staticmethod
    def _choose(addresses: Addresses) -> str:
        """TC keeps GRO; but before 6.3 it cannot open a tunnel of mixed families."""
        frame = mixed_probe(addresses)
        if frame is None:
            return "tc"
        with _loaded(addresses) as program:
            done = test_run(program.tc, frame)
        return "tc" if len(done.data_out) < len(frame) else "xdp"


class _Programs(NamedTuple):
    tc: int
    xdp: int
    mss: int


@contextmanager
def _loaded(addresses: Addresses) -> Iterator[_Programs]:
    """The programs' descriptors, their maps filled; closed with the block."""
    if not OBJECT.exists():
        raise Problem(
            Code.INTERNAL,
            f"{OBJECT} is missing: build it with script/bootstrap or reinstall xlvs",
        )
    with (
        libbpf.captured_log() as log,
        explained("loading the decapsulation program", "", log),
        closing(libbpf.Object(str(OBJECT), None)) as loaded,
    ):
        loaded.load()
        maps, programs = loaded.map_fds(), loaded.program_fds()
        for virtual in addresses.inner:
            libbpf.map_update(maps["decap_inner"], key(virtual.address), virtual.packed())
        for address in addresses.outer:
            libbpf.map_update(maps["decap_outer"], key(address), b"\1")
        yield _Programs(programs["xlvs_decap_tc"], programs["xlvs_decap_xdp"], programs["xlvs_mss"])


def mixed_probe(addresses: Addresses) -> bytes | None:
    """A frame with a tunnel packet of mixed families, None if the addresses have none."""
    for virtual in addresses.inner:
        for outer in addresses.outer:
            if (":" in virtual.address) != (":" in outer):
                return _frame(outer, virtual)
    return None


def _frame(outer: str, virtual: Virtual) -> bytes:
    packet = _packet(virtual.address, IPPROTO_NONE, b"")
    six = ":" in virtual.address
    protocol = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IPIP
    if "gue" in virtual.tunnels:
        gue = struct.pack("!HHHHI", 0, virtual.port, 12 + len(packet), 0, protocol << 16)
        protocol, packet = socket.IPPROTO_UDP, gue + packet
    elif "gre" in virtual.tunnels:
        packet = struct.pack("!HH", 0, _ETHERTYPES[six]) + packet
        protocol = socket.IPPROTO_GRE
    ethertype = _ETHERTYPES[":" in outer]
    return bytes(12) + struct.pack("!H", ethertype) + _packet(outer, protocol, packet)


def _packet(to: str, protocol: int, payload: bytes) -> bytes:
    """An IP packet from nowhere; the checksum is not looked at before the stack."""
    address = ip_address(to).packed
    if ":" in to:
        return (
            struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
            + bytes(16)
            + address
            + payload
        )
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return head + bytes(4) + address + payload
