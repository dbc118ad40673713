# SPDX-License-Identifier: Apache-2.0
"""A reload of 2,000 services with 40,000 real servers: ``python bench/reload.py`` as root.

A director with such a file, all servers checked (2,000 probes a second), is VRRP master with
adverts of 100 ms. It is told to read its file again, by turns with one weight of every service
changed and with nothing changed. Shown: how long each reload took, and how late a peer saw
adverts meanwhile, beside the same time without reloads.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from tests.lab.vrrp_pair import Pair, tshark, wait

SERVICES = 2000
SERVERS = 20
ROUNDS = 6
QUIET = 20.0
INTERVAL = 0.1
DONE = "read again"

HEAD = """
vrrp_instance one {
    interface eth0
    virtual_router_id 9
    version 3
    priority 200
    advert_int 0.1
    virtual_ipaddress {
        10.9.0.100/32
    }
}
"""


def text(weight: int) -> str:
    """The file; the first server of each service has this weight."""
    parts = [HEAD]
    for service in range(SERVICES):
        parts.append(
            f"virtual_server 10.7.{service >> 8}.{service & 255} 80 {{\n"
            "delay_loop 20\nlb_algo wrr\nlb_kind NAT\nprotocol TCP\n"
        )
        for server in range(SERVERS):
            number = service * SERVERS + server
            parts.append(
                f"real_server 10.8.{number >> 8}.{number & 255} 80 {{\n"
                f"weight {weight if not server else 1}\nTCP_CHECK {{\nconnect_timeout 3\n}}\n}}\n"
            )
        parts.append("}\n")
    return "".join(parts)


def late(path: Path) -> str:
    """What the peer saw of the adverts, in milliseconds too late."""
    times = [float(line[0]) for line in tshark(path, "-Y", "vrrp", fields=("frame.time_epoch",))]
    found = sorted(max(0.0, b - a - INTERVAL) * 1e3 for a, b in pairwise(times))
    p99 = found[int(len(found) * 0.99)]
    return (
        f"{len(found)} adverts, late by p50 {statistics.median(found):.2f}, p99 {p99:.2f}, "
        f"max {found[-1]:.2f} ms"
    )


def reloaded(daemon: subprocess.Popen[bytes], log: Path) -> float:
    """Have the file read again; how long that took."""
    before = log.read_text().count(DONE)
    began = time.monotonic()
    daemon.send_signal(signal.SIGHUP)
    wait(lambda: log.read_text().count(DONE) > before, lambda: log.read_text()[-2000:], 60)
    return time.monotonic() - began


def main() -> None:
    """The report."""
    instance = f"reload{os.getpid()}"
    with tempfile.TemporaryDirectory() as name, Pair(Path(name)) as pair:
        folder = Path(name)
        config, log = folder / "keepalived.conf", folder / "xlvsd.log"
        config.write_text(text(2))
        # All servers are one host, which has their whole network.
        pair.sh("a", "ip route add local 10.8.0.0/16 dev lo")
        pair.sh("b", "ip route add 10.8.0.0/16 via 10.9.0.1; sysctl -qw net.ipv4.ip_forward=1")
        pair.spawn("a", [sys.executable, "-c", LISTEN], folder / "listen.log")
        argv = [sys.executable, "-m", "xlvs.daemon", "--interfaces", "eth0", "--hook", "tc"]
        argv += ["--instance", instance, "-f", str(config)]
        began = time.monotonic()
        daemon = pair.spawn("b", argv, log)
        try:
            wait(lambda: "ready: " in log.read_text(), log.read_text, 120)
            print(f"start: {time.monotonic() - began:.1f} s", flush=True)
            wait(lambda: "10.9.0.100" in pair.addresses("b"), log.read_text, 30)
            time.sleep(25)  # each server was asked once
            path, tcpdump = pair.capture("a", "quiet.pcap")
            time.sleep(QUIET)
            pair.captured(tcpdump)
            print(f"without reloads: {late(path)}", flush=True)
            path, tcpdump = pair.capture("a", "reloads.pcap")
            for number in range(ROUNDS):
                config.write_text(text(3 - number // 2 % 2))
                seconds = reloaded(daemon, log)
                what = "nothing changed" if number % 2 else f"{SERVICES} weights changed"
                print(f"reload, {what}: {seconds:.2f} s", flush=True)
            pair.captured(tcpdump)
            print(f"while reloading: {late(path)}", flush=True)
            print(log.read_text()[-600:])
        finally:
            daemon.terminate()
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
            argv = [sys.executable, "-m", "xlvs.cli.main", "--instance", instance, "down"]
            subprocess.run([*pair.enter("b"), *argv], check=True)


LISTEN = """
import socket
with socket.create_server(("0.0.0.0", 80), backlog=4096) as server:
    while True:
        server.accept()[0].close()
"""

if __name__ == "__main__":
    main()
