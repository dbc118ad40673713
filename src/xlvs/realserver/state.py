# SPDX-License-Identifier: Apache-2.0
"""What ``xlvs realserver`` changed in a network namespace and what was there before.

One file per namespace, named by the namespace's cookie, which the kernel never
gives twice before a reboot (inode numbers of namespaces are reused).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

import msgspec

from xlvs.model.problem import Code, Problem

SO_NETNS_COOKIE = 71  # Linux 5.14; Python has no name for it


class Sysctl(msgspec.Struct, frozen=True):
    """A value that was replaced. Both as text, as the kernel prints them."""

    before: str
    wrote: str


class Vip(msgspec.Struct, frozen=True):
    """A virtual address. ``added``: it was not on lo before.

    Of TUN: the kinds of ``tunnels`` that lead to it, GUE's ``port``, and what SYN/ACKs
    allow for the tunnel's headers (``overhead``, bytes; 0: nothing).
    """

    method: str
    added: bool
    tunnels: tuple[str, ...] = ("ipip",)
    port: int = 0
    overhead: int = 0


class Decapsulation(msgspec.Struct, frozen=True):
    """The programs on one interface. ``clsact``: the qdisc is ours, too.

    ``lowers``: there is one on the way out that lowers the MSS of SYN/ACKs, ``mss``.
    ``program`` and ``mss`` are 0 as long as it is only intended: written before the kernel is
    asked, so that ``down`` finds it also when something broke in between.
    """

    hook: str
    program: int
    clsact: bool
    lowers: bool = False
    mss: int = 0


class UnFullnat(msgspec.Struct, frozen=True, kw_only=True):
    """FULLNAT taken back on an interface, for local addresses of ``families``.

    ``clsact``: the qdisc is ours, too. ``maps``: ids by name; ``programs``: ids of that on the
    way in and that on the way out. Without them it is only intended.
    """

    interface: str
    mark: int
    families: tuple[int, ...]
    clsact: bool
    sysctls: dict[str, Sysctl] = {}
    maps: dict[str, int] = {}
    programs: tuple[int, int] = (0, 0)


class Record(msgspec.Struct, kw_only=True):
    """Everything that ``down`` needs."""

    namespace: int
    interfaces: tuple[str, ...] = ()
    vips: dict[str, Vip] = msgspec.field(default_factory=dict)
    sysctls: dict[str, Sysctl] = msgspec.field(default_factory=dict)
    decapsulation: dict[str, Decapsulation] = msgspec.field(default_factory=dict)
    outer: tuple[str, ...] = ()
    client_cgroups: tuple[str, ...] = ()
    """Whose programs are told clients' addresses, by an ``up`` in this namespace."""
    un_fullnat: UnFullnat | None = None

    def vips_of(self, method: str) -> list[str]:
        """The virtual addresses of one method."""
        return [address for address, vip in self.vips.items() if vip.method == method]


class Store:
    """The file of one namespace."""

    def __init__(self, path: Path, namespace: int) -> None:
        self.path = path
        self._namespace = namespace

    def load(self) -> Record:
        """The record, an empty one if there is none."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Record)
        except FileNotFoundError:
            return Record(namespace=self._namespace)
        except msgspec.MsgspecError as problem:
            raise Problem(
                Code.INVALID,
                f"{self.path} is damaged ({problem}): remove it and undo by hand what it lists",
            ) from problem

    def save(self, record: Record) -> None:
        """Replace the file as a whole; of nothing there is none."""
        if not (
            record.vips
            or record.sysctls
            or record.decapsulation
            or record.client_cgroups
            or record.un_fullnat
        ):
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(f".{os.getpid()}")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        beside.rename(self.path)


def here() -> Store:
    """The store of the network namespace that this process runs in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        (cookie,) = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))
    inode = os.stat("/proc/self/ns/net").st_ino
    return Store(_folder() / f"{cookie}.json", inode)


def forget_namespaces(inodes: set[int]) -> None:
    """Remove the files of namespaces that were deleted, with all that the files list."""
    for path in _folder().glob("*.json"):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            record = msgspec.json.decode(path.read_bytes(), type=Record)
            if record.namespace in inodes:
                path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _folder().rmdir()


def _folder() -> Path:
    return Path(os.environ.get("XLVS_RUN", "/run/xlvs")) / "realserver"
