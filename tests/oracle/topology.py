# SPDX-License-Identifier: Apache-2.0
"""The facts' network: one director between a cable to the clients and one to the real servers.

    clients --(w0 | eth0)-- director --(eth1 | w1)-- real servers

The director is a network namespace with the addresses, MACs, neighbours and sysctls of
the recording. The other ends of both cables lie in a second namespace; the test reads
and writes raw frames there and is every client and every real server at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import frames

CLIENT_SIDE = 0
SERVER_SIDE = 1

_DIRECTOR_MACS = (bytes.fromhex("020000000101"), bytes.fromhex("020000000201"))
_CLIENT_ROUTER_MAC = bytes.fromhex("0200000001fe")
_SERVER_MAC_PREFIX = bytes.fromhex("0200000002")
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_IPV6_NOISE = frozenset((130, 131, 132, 133, 134, 135, 136, 137, 143))  # MLD, ND
_IGMP = 2

_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count(1)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Seen:
    """A frame that the director put on a cable."""

    side: int
    frame: bytes

    @property
    def packet(self) -> bytes:
        """The frame without its Ethernet header (and without padding)."""
        packet = self.frame[14:]
        if packet[0] >> 4 == 4:
            return packet[: struct.unpack("!H", packet[2:4])[0]]
        return packet[: 40 + struct.unpack("!H", packet[4:6])[0]]

    @property
    def server(self) -> int:
        """Number of the real server whose MAC the frame is for, 0: none's."""
        mac = self.frame[:6]
        if self.side == SERVER_SIDE and mac[:5] == _SERVER_MAC_PREFIX and mac[5] >> 4 == 1:
            return mac[5] & 15
        return 0

    @property
    def receiver(self) -> str:
        """``client``, ``rs1`` .. or a MAC, as the facts spell it."""
        if self.side == CLIENT_SIDE:
            return "client"
        return f"rs{self.server}" if self.server else self.frame[:6].hex(":")


def server_mac(number: int) -> bytes:
    """MAC of real server 1 .. 6."""
    return _SERVER_MAC_PREFIX + bytes([0x10 | number])


class Topology:
    """The two namespaces; they and all in them go with ``close``.

    ``mtu1`` is the MTU of the director's eth1. ``virtual`` are further addresses to
    put on the director's lo beside those of the recording.
    """

    def __init__(self, *, mtu1: int | None = None, virtual: tuple[str, ...] = ()) -> None:
        name = f"xlvs-oracle-{os.getpid()}-{next(_serial)}"
        self.wires = f"{name}-w"
        self.director = f"{name}-d"
        self._sockets: list[socket.socket] = []
        try:
            for namespace in (self.wires, self.director):
                _run("ip", "netns", "add", namespace)
            self._lay_cables()
            in_namespace(self.director, _set_director_sysctls)
            _ip_batch(self.director, _director_addresses(mtu1, virtual))
            self._sockets = in_namespace(self.wires, _open_cable_ends)
        except BaseException:
            self.close()
            raise

    def _lay_cables(self) -> None:
        lines = [
            f"link add w{i} address {mac} type veth peer name eth{i} address {peer}"
            f" netns {self.director}"
            for i, mac, peer in (
                (0, _CLIENT_ROUTER_MAC.hex(":"), _DIRECTOR_MACS[0].hex(":")),
                (1, "02:00:00:00:02:10", _DIRECTOR_MACS[1].hex(":")),
            )
        ]
        _ip_batch(self.wires, lines)
        in_namespace(self.wires, _quieten_cable_ends)
        _ip_batch(self.wires, ["link set w0 up", "link set w1 up"])
        for namespace, prefix in ((self.wires, "w"), (self.director, "eth")):
            for i in (0, 1):
                # Native XDP redirects into a veth only when its peer runs NAPI, which GRO
                # switches on; packets here are single, so nothing is merged.
                gro = "on" if prefix == "w" else "off"
                settings = ("rx", "off", "tx", "off", "tso", "off", "gso", "off", "gro", gro)
                _run(*inside(namespace), "ethtool", "-K", f"{prefix}{i}", *settings)

    def close(self) -> None:
        """Remove both namespaces; what still lies in them goes too."""
        for end in self._sockets:
            end.close()
        for namespace in (self.director, self.wires):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def send(self, side: int, packet: bytes) -> None:
        """Put one packet on a cable, addressed to the director."""
        source = _CLIENT_ROUTER_MAC if side == CLIENT_SIDE else server_mac(1)
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        self._sockets[side].send(_DIRECTOR_MACS[side] + source + struct.pack("!H", kind) + packet)

    def receive(self, count: int, patience: float = 0.5, settle: float = 0.0) -> list[Seen]:
        """Frames from the director: until there are ``count`` or ``patience`` seconds passed,
        then whatever else comes within ``settle`` seconds."""
        seen: list[Seen] = []
        deadline = time.monotonic() + patience
        while True:
            seen += self._read_all()
            now = time.monotonic()
            if len(seen) >= count and deadline > now + settle:
                deadline = now + settle
            if now >= deadline:
                return seen
            select.select(self._sockets, [], [], deadline - now)

    def drain(self) -> None:
        """Forget what lies in the receive queues."""
        self._read_all()

    def _read_all(self) -> list[Seen]:
        seen: list[Seen] = []
        for side, end in enumerate(self._sockets):
            with contextlib.suppress(BlockingIOError):
                while True:
                    frame, address = end.recvfrom(70000)
                    if address[2] != _PACKET_OUTGOING and not _is_noise(frame):
                        seen.append(Seen(side, frame))
        return seen


def in_namespace(name: str, call: Callable[[], _Result]) -> _Result:
    """What ``call`` returns when it runs in a named network namespace.

    A thread of its own enters the namespace, because only threads can, and leave none behind.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(name)
            results.append(call())
        except BaseException as error:  # noqa: BLE001 (raised again by the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=enter, name=f"in {name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(name: str) -> None:
    with Path(f"/run/netns/{name}").open() as namespace:
        if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")


def inside(namespace: str) -> tuple[str, ...]:
    """The words to put before a command so that it runs in a network namespace."""
    return ("nsenter", f"--net=/run/netns/{namespace}", "--")


def _is_noise(frame: bytes) -> bool:
    """What a quiet Linux machine says by itself, and anything that is not IP."""
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x86DD:
        following = frame[20]
        return following == 0 or (following == frames.ICMP6 and frame[54] in _IPV6_NOISE)
    return bool(kind != 0x0800 or frame[23] == _IGMP)


def _open_cable_ends() -> list[socket.socket]:
    ends = []
    for i in (0, 1):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        end.bind((f"w{i}", _ETH_P_ALL))
        end.setblocking(False)
        ends.append(end)
    return ends


def _quieten_cable_ends() -> None:
    for i in (0, 1):
        _write_sysctl(f"net/ipv6/conf/w{i}/disable_ipv6", 1)


def _set_director_sysctls() -> None:
    for name, value in _director_sysctls():
        _write_sysctl(name, value)


def _director_sysctls() -> Iterator[tuple[str, int]]:
    yield "net/ipv4/ip_forward", 1
    yield "net/ipv6/conf/all/forwarding", 1
    for interface in ("all", "default", "eth0", "eth1"):
        yield f"net/ipv4/conf/{interface}/rp_filter", 0
        yield f"net/ipv4/conf/{interface}/send_redirects", 0
        yield f"net/ipv6/conf/{interface}/accept_dad", 0
    yield "net/ipv4/icmp_ratelimit", 0
    yield "net/ipv6/icmp/ratelimit", 0


def _write_sysctl(name: str, value: int) -> None:
    Path("/proc/sys", name).write_text(str(value))


def _director_addresses(mtu1: int | None, virtual: tuple[str, ...]) -> Iterator[str]:
    yield "link set lo up"
    if mtu1 is not None:
        yield f"link set eth1 mtu {mtu1}"
    for i, network in ((0, 100), (1, 200)):
        yield f"addr add 192.168.{network}.1/24 dev eth{i}"
        yield f"addr add fd00:{network}::1/64 dev eth{i} nodad"
        yield f"link set eth{i} up"
    router = _CLIENT_ROUTER_MAC.hex(":")
    for address in ("192.168.100.254", "fd00:100::fe"):
        yield f"neigh add {address} lladdr {router} nud permanent dev eth0"
        yield f"route add default via {address} dev eth0"
    for number in range(1, 7):
        mac = server_mac(number).hex(":")
        for address in (f"192.168.200.1{number}", f"fd00:200::1{number}"):
            yield f"neigh add {address} lladdr {mac} nud permanent dev eth1"
    recorded = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00:1::1", "fd00:1::2")
    for address in (*recorded, *virtual):
        yield f"addr add {address} dev lo{' nodad' if ':' in address else ''}"
    yield "route add local 10.9.0.0/16 dev lo"
    yield "route add local fd00:9::/64 dev lo"


def _ip_batch(namespace: str, lines: Iterator[str] | list[str]) -> None:
    _run("ip", "-n", namespace, "-batch", "-", stdin="\n".join(lines) + "\n")


def _run(*command: str, stdin: str = "") -> None:
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout}{stdin}")
