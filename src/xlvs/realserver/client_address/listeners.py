# SPDX-License-Identifier: Apache-2.0
"""Listeners that were there before the programs: they are told to keep SYNs, too.

An iterator of the kernel's walks over one network namespace at a time, so a thread of
ours visits each that a process is in.
"""

from __future__ import annotations

import os
import struct
import threading
from contextlib import closing
from pathlib import Path

import xlvs.datapath
from xlvs.datapath import libbpf
from xlvs.datapath.problems import explained
from xlvs.realserver.client_address.cgroup import Cgroup

OBJECT = Path(xlvs.datapath.__file__).with_name("objects") / "clientlisteners.bpf.o"


def keep_syns(cgroup: Cgroup) -> int:
    """Let all listeners of a cgroup keep SYNs; how many did not before. Raises Problem."""
    with (
        libbpf.captured_log() as log,
        explained("telling older listeners to keep SYNs", "", log),
        closing(libbpf.Object(str(OBJECT), None)) as loaded,
    ):
        loaded.load()
        wanted = loaded.map_fds()["listeners_cgroup"]
        libbpf.map_update(wanted, struct.pack("=I", 0), struct.pack("=Q", cgroup.id))
        return _everywhere(loaded.program_fds()["xlvs_client_listeners"])


def _everywhere(program: int) -> int:
    told: list[bytes] = []
    failed: list[OSError] = []

    def visit() -> None:
        seen: set[int] = set()
        for place in Path("/proc").glob("[0-9]*/ns/net"):
            try:
                namespace = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # the process has ended
            try:
                number = os.fstat(namespace).st_ino
                if number not in seen:
                    seen.add(number)
                    libbpf.enter_network(namespace)
                    told.append(libbpf.iterate(program))
            except OSError as error:
                failed.append(error)
                return
            finally:
                os.close(namespace)

    # A thread of its own: it does not come back to this process's namespace.
    visitor = threading.Thread(target=visit)
    visitor.start()
    visitor.join()
    if failed:
        raise failed[0]
    return sum(map(len, told))
