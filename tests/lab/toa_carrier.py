# SPDX-License-Identifier: Apache-2.0
"""A FULLNAT director in miniature, which tells the client's address as it is asked to.

A client's and a real server's namespace have a TUN device each, whose other ends are held
by one thread here. It changes addresses, and puts TCP options where it is told to: so every
program is a real one, and every kind of director can be had, also bad ones.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import threading
from ipaddress import ip_address
from typing import Self

from tests.client_option import option

from xlvs.datapath import libbpf

CLIENT = {4: "10.91.0.2", 6: "fd91::2"}
VIP = {4: "10.90.0.1", 6: "fd90::1"}
LOCAL = {4: "10.92.0.101", 6: "fd92::101"}
REAL = {4: "10.92.0.11", 6: "fd92::11"}

_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x1001
_TCP = 6
_SYN = 0x02
_SINGLE = {4: 32, 6: 128}


class Carrier:
    """The two namespaces and the thread between them.

    ``where``: into which packets of a connection the option goes: ``syn``, ``ack`` (the
    handshake's last), ``data`` (all after that). ``told``: of (client, port), its bytes; None:
    the true client. ``direct``: the client comes with its own address.
    """

    def __init__(self) -> None:
        self.client = f"xlvs-ca{os.getpid()}c"
        self.server = f"xlvs-ca{os.getpid()}s"
        self.where: frozenset[str] = frozenset()
        self.kind = 254
        self.direct = False
        self.told = lambda address, port: option(address, port, self.kind)
        self._tuns: dict[str, int] = {}
        self._seen: set[bytes] = set()
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._carry)

    def asked(self, family: int) -> str:
        return (REAL if self.direct else VIP)[family]

    def source(self, family: int) -> str:
        return CLIENT[family]

    def __enter__(self) -> Self:
        for name in (self.client, self.server):
            subprocess.run(["ip", "netns", "add", name], check=True)
        self._prepare()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._wake[1], b"x")
        self._thread.join()
        for fd in (*self._wake, *self._tuns.values()):
            os.close(fd)
        for name in (self.client, self.server):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def _prepare(self) -> None:
        for name, own, others in (
            (self.client, CLIENT, (VIP, REAL)),
            (self.server, REAL, (LOCAL, CLIENT)),
        ):
            opened = threading.Thread(target=self._open, args=(name,))
            opened.start()
            opened.join()
            batch = ["link set lo up", "link set tun0 up mtu 1400"]
            for family, single in _SINGLE.items():
                batch.append(f"addr add {own[family]}/{single} dev tun0 {'nodad' * (family == 6)}")
            for other in others:
                batch += [f"route add {other[family]} dev tun0" for family in _SINGLE]
            subprocess.run(
                ["ip", "-n", name, "-batch", "-"], input="\n".join(batch), text=True, check=True
            )

    def _open(self, name: str) -> None:
        with open(f"/run/netns/{name}", "rb") as namespace:
            libbpf.enter_network(namespace.fileno())
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", b"tun0", _TUN_WITHOUT_HEADER))
        self._tuns[name] = fd

    def _carry(self) -> None:
        client, server = self._tuns[self.client], self._tuns[self.server]
        while True:
            ready, _, _ = select.select([client, server, self._wake[0]], [], [])
            if self._wake[0] in ready:
                return
            for fd in ready:
                packet = os.read(fd, 65536)
                changed = self._to_server(packet) if fd == client else self._to_client(packet)
                if changed:
                    os.write(server if fd == client else client, changed)

    def _to_server(self, packet: bytes) -> bytes | None:
        family = packet[0] >> 4
        source, _, tcp = split(packet)
        if tcp is None or (family == 4 and source != CLIENT[4]):
            return None
        port = struct.unpack_from("!H", tcp)[0]
        if self._stage(tcp) in self.where:
            tcp = _with_option(tcp, self.told(CLIENT[family], port))
        return join(CLIENT[family] if self.direct else LOCAL[family], REAL[family], tcp)

    def _stage(self, tcp: bytes) -> str:
        flow = tcp[:4]
        if tcp[13] & _SYN:
            self._seen.discard(flow)
            return "syn"
        if flow not in self._seen:
            self._seen.add(flow)
            return "ack"
        return "data"

    def _to_client(self, packet: bytes) -> bytes | None:
        family = packet[0] >> 4
        source, _, tcp = split(packet)
        if tcp is None or source != REAL[family]:
            return None
        return join(REAL[family] if self.direct else VIP[family], CLIENT[family], tcp)


def split(packet: bytes) -> tuple[str, str, bytes | None]:
    """Source, destination and TCP of a packet; None: something else."""
    if packet[0] >> 4 == 4:
        tcp = packet[(packet[0] & 15) * 4 :] if packet[9] == _TCP else None
        return str(ip_address(packet[12:16])), str(ip_address(packet[16:20])), tcp
    tcp = packet[40:] if packet[6] == _TCP else None
    return str(ip_address(packet[8:24])), str(ip_address(packet[24:40])), tcp


def _with_option(tcp: bytes, text: bytes) -> bytes:
    """Directly after the fixed part; without it where it does not fit."""
    length = (tcp[12] >> 4) * 4 + len(text)
    if length > 60:
        return tcp
    return tcp[:12] + bytes([length // 4 << 4]) + tcp[13:20] + text + tcp[20:]


def join(source: str, destination: str, tcp: bytes) -> bytes:
    """The packet, its checksums made anew."""
    ends = ip_address(source).packed + ip_address(destination).packed
    tcp = tcp[:16] + bytes(2) + tcp[18:]
    tcp = tcp[:16] + _checksum(ends + struct.pack("!II", len(tcp), _TCP) + tcp) + tcp[18:]
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28, len(tcp), _TCP, 64) + ends + tcp
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, _TCP, 0) + ends
    return head[:10] + _checksum(head) + head[12:] + tcp


def _checksum(data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
