# SPDX-License-Identifier: Apache-2.0
"""The smallest world that a daemon can be tried in: client, director, two real servers.

The real servers are two addresses of one host, and answer with the address that was
asked. The daemon is talked to by its API, nothing else is needed.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.lab import wire

CLIENT = "192.168.100.254"
VIP = "10.0.0.1"
REAL = ("192.168.200.11", "192.168.200.12")
ENDS = (("c", "w0"), ("r", "w1"))
SERVICE = {"protocol": "tcp", "address": VIP, "port": 80}
PATIENCE = 15.0
START = 60.0
"""Seconds for a daemon on a busy machine: the kernel looks at its programs for some of CPU time."""

_SERVER = """
import socket, sys, threading
def serve(address):
    listener = socket.create_server((address, 80), backlog=200)
    while True:
        channel, _ = listener.accept()
        with channel:
            channel.recv(65536)
            channel.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + address.encode())
for address in sys.argv[1:]:
    threading.Thread(target=serve, args=(address,)).start()
print("serving", flush=True)
"""


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


class Small:
    """Namespaces, and one daemon at a time.

    ``watched``: what arrives at clients and real servers has to be well-formed.
    """

    def __init__(self, tmp_path: Path, *, watched: bool = False) -> None:
        self.name = f"xlvs-d{os.getpid()}"
        self.instance = self.name
        self.run_folder = tmp_path
        self.log = tmp_path / "xlvsd.log"
        self.daemon: subprocess.Popen[bytes] | None = None
        self._servers: list[subprocess.Popen[str]] = []
        self._watched = watched
        self._watching = ExitStack()
        self.environment = {**os.environ, "XLVS_RUN": str(tmp_path / "run")}

    def __enter__(self):
        try:
            self._build()
            if self._watched:
                ends = [(host, self._enter(host), device) for host, device in ENDS]
                self._watching.enter_context(wire.watched(self.run_folder, ends))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *failure):
        try:
            self._watching.__exit__(*failure)
        finally:
            self._remove()

    def _remove(self):
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
        self.down()
        for servers in self._servers:
            servers.kill()
            servers.communicate()
        for host in ("c", "d", "r"):
            ip("netns", "del", f"{self.name}{host}", check=False)

    def _build(self):
        for host in ("c", "d", "r"):
            ip("netns", "add", f"{self.name}{host}")
            ip("-n", f"{self.name}{host}", "link", "set", "lo", "up")
        self.cable("c", "w0", "eth0")
        self.cable("r", "w1", "eth1")
        self.on("c", "addr", "add", f"{CLIENT}/24", "dev", "w0")
        self.on("d", "addr", "add", "192.168.100.1/24", "dev", "eth0")
        self.on("d", "addr", "add", "192.168.200.1/24", "dev", "eth1")
        self.on("d", "addr", "add", f"{VIP}/32", "dev", "lo")
        subprocess.run(self.within("d", "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
        for address in REAL:
            self.on("r", "addr", "add", f"{address}/24", "dev", "w1")
        self.on("c", "route", "add", "default", "via", "192.168.100.1")
        self.on("r", "route", "add", "default", "via", "192.168.200.1")
        self.listen("r", *REAL)

    def listen(self, host, *addresses, script=_SERVER):
        """Real servers on addresses of a host, until the world's end; their first line."""
        servers = subprocess.Popen(
            self.within(host, sys.executable, "-c", script, *addresses),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._servers.append(servers)
        return servers.stdout.readline()

    def cable(self, host, there, here):
        director = f"{self.name}d"
        ip("link", "add", here, "netns", director, "type", "veth", "peer", "name", there,
           "netns", f"{self.name}{host}")  # fmt: skip
        self.on("d", "link", "set", here, "up")
        self.on(host, "link", "set", there, "up")

    def on(self, host, *words):
        return ip("-n", f"{self.name}{host}", *words)

    def _enter(self, host):
        return lambda command: self.within(host, *command)

    def within(self, host, *command):
        return ["ip", "netns", "exec", f"{self.name}{host}", *command]

    # ---- the daemon

    def xlvsd(self, *options, hook="tc", interfaces="eth0,eth1"):
        command = [sys.executable, "-m", "xlvs.daemon", "--instance", self.instance]
        if interfaces:
            command += ["--interfaces", interfaces]
        return self.within("d", *command, "--hook", hook, *options)

    def start(self, *options, hook="tc"):
        """Start the daemon and wait until it says that it is ready; what it said."""
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                self.xlvsd(*options, hook=hook), stderr=log, env=self.environment
            )
        deadline = time.monotonic() + START
        while "xlvsd: ready" not in self.said():
            assert self.daemon.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)
        return self.said()

    def stop(self, number):
        self.daemon.send_signal(number)
        status = self.daemon.wait(PATIENCE)
        self.daemon = None
        return status

    def said(self):
        return self.log.read_text()

    def refused(self, *options, **more):
        """The exit status and words of a daemon that does not start."""
        done = subprocess.run(
            self.xlvsd(*options, **more),
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stderr

    def down(self):
        """``xlvs down``, from outside the director's namespace."""
        return self.xlvs("down")

    def xlvs(self, *words):
        """A command, and what became of it."""
        return subprocess.run(
            [sys.executable, "-m", "xlvs.cli.main", "--instance", self.instance, *words],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )

    # ---- talking

    def api(self, method, path, body=None):
        connection = http.client.HTTPConnection("xlvs")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.run_folder / "run" / f"{self.instance}.sock"))
        head = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), head)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == 200, text
        if answer.headers["content-type"] == "application/x-ndjson":
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text)

    def edit(self, *edits):
        return self.api("POST", "/v1/edits", {"edits": list(edits)})

    def service(self):
        (found,) = self.api("GET", "/v1/services")["services"]
        return found

    def serve_both(self, weights=(1, 1)):
        """One NAT service over both real servers."""
        self.edit(
            {"op": "service.add", "service": {"key": SERVICE, "scheduler": "rr"}},
            *(destination(address, weight) for address, weight in zip(REAL, weights, strict=True)),
        )

    def ask(self, times=1):
        """Who answered, asked by the client; "" for nobody."""
        found = []
        for _ in range(times):
            done = subprocess.run(
                self.within("c", "curl", "-s", "-m", "2", f"http://{VIP}/"),
                capture_output=True,
                text=True,
                check=False,
            )
            found.append(done.stdout)
        return found


def destination(address, weight=1, op="destination.add", method="nat"):
    """The edit that adds or changes a real server."""
    wanted = {"key": {"address": address, "port": 80}, "method": method, "weight": weight}
    return {"op": op, "service": SERVICE, "destination": wanted}


def eventually(condition, patience=PATIENCE):
    """Wait until ``condition()`` is true."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
