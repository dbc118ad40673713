# SPDX-License-Identifier: Apache-2.0
"""What has arrived, as tshark sees it: is there anything that no stack would have sent?"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

from xlvs.lab import Lab

PATIENCE = 15.0
WHAT = "(ip or ip6) and less 1000"
"""Bulk is left out: its receivers check it, and its headers are those of shorter packets."""
# What is in them is another question, and would be guessed by ports, which are anybody's.
_BELOW = [word for each in ("tcp", "udp") for word in ("-d", f"{each}.port==1-65535,data")]
_SETTINGS = (
    *(f"{each}.check_checksum:TRUE" for each in ("ip", "tcp", "udp")),
    # What is sent again or out of order is right, too.
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
)
_ENDS = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst")
_SEGMENT = ("tcp.hdr_len", "tcp.len", "tcp.checksum")
_TCP = 6

Enter = Callable[[Sequence[str]], list[str]]
"""Gives the argv that runs words on a host."""


@contextmanager
def recorded(file: Path, enter: Enter, device: str, only: str = WHAT) -> Iterator[None]:
    """What arrives on a device, in a file."""
    argv = ["tcpdump", "-i", device, "-Q", "in", "-B", "16384"]
    argv += ["--immediate-mode", "-U", "-Z", "root"]
    log = file.with_suffix(".log")
    with log.open("wb") as said:
        recorder = subprocess.Popen(enter([*argv, "-w", str(file), only]), stderr=said)
    try:
        deadline = time.monotonic() + PATIENCE
        while "listening on" not in log.read_text():
            assert recorder.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        yield
        time.sleep(0.1)  # what was sent last is on its way through tcpdump
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait(PATIENCE)


@contextmanager
def watched(folder: Path, ends: Sequence[tuple[str, Enter, str]]) -> Iterator[None]:
    """The block's packets are well-formed where they arrive: at a name, a host's device."""
    files = [folder / f"{name}.pcap" for name, _, _ in ends]
    with ExitStack() as stack:
        for file, (_, enter, device) in zip(files, ends, strict=True):
            stack.enter_context(recorded(file, enter, device))
        yield
    for file in files:
        assert wrong(file) == [], file
        file.unlink()


@contextmanager
def lab_watched(lab: Lab, folder: Path) -> Iterator[None]:
    """The same at the lab's client, and at the servers of NAT and FULLNAT."""
    hosts = {lab.client.full_name: lab.client}
    for method in ("nat", "fullnat"):
        hosts |= {each.namespace.full_name: each.namespace for each in lab.servers_for(method)}
    with watched(folder, [(name, host.enter, "eth0") for name, host in hosts.items()]):
        yield


def tshark(file: Path, only: str, *fields: str) -> list[list[str]]:
    """Fields of the packets that a display filter lets through."""
    argv = ["tshark", "-n", "-r", str(file), "-Y", only, "-T", "fields"]
    argv += [word for each in _SETTINGS for word in ("-o", each)]
    argv += _BELOW
    argv += [word for field in fields for word in ("-e", field)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def wrong(file: Path) -> list[str]:
    """What tshark calls an error, a wrong checksum too; not one that a device is to complete."""
    fields = (*_ENDS, *_SEGMENT, "frame.number", "_ws.expert.message")
    marked = "_ws.malformed || _ws.expert.severity == error"
    return [
        f"{number}: {words}"
        for *segment, number, words in tshark(file, marked, *fields)
        if not ("Bad checksum" in words and _partial(*segment))
    ]


def _partial(src4: str, dst4: str, src6: str, dst6: str, *segment: str) -> bool:
    """Is the checksum the pseudo header's sum? An ICMP error quotes a second one: it is none."""
    header, size, checksum = segment
    if "," in src4 + src6 or not checksum:
        return False
    ends = b"".join(ip_address(text).packed for text in (src4 or src6, dst4 or dst6))
    total = _TCP + int(header) + int(size)
    total += sum(int.from_bytes(ends[i : i + 2], "big") for i in range(0, len(ends), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(checksum, 16) == total
