# SPDX-License-Identifier: Apache-2.0
"""Real servers of every kind, and what they say of their clients."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.lab.small import eventually

from xlvs.datapath import libbpf
from xlvs.realserver.client_address import agent, cgroup

PYTHON, MPTCP, OLD, NGINX, BOTH, HAPROXY, REDIS = range(8000, 8007)

_SERVER = """
import contextlib, socket, sys
family, protocol, port = map(int, sys.argv[1:])
listener = socket.socket(family, socket.SOCK_STREAM, protocol)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0) if family == 10 else None
listener.bind(("", port))
listener.listen()
print("up", flush=True)
while True:
    channel, peer = listener.accept()
    with channel, contextlib.suppress(ConnectionResetError):
        # First what accept() says; getpeername() after each line.
        channel.sendall(f"{peer[0]} {peer[1]}\\n".encode())
        while channel.recv(100):
            peer = channel.getpeername()
            channel.sendall(f"{peer[0]} {peer[1]}\\n".encode())
"""

_NGINX = """
daemon off; user root; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ }}
http {{
    log_format who "nginx $remote_addr $remote_port";
    access_log {folder}/access.log who;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen *:{nginx}; listen [::]:{nginx} ipv6only=on; return 204; }}
    server {{ listen [::]:{both} ipv6only=off; return 204; }}
}}
"""

_HAPROXY = """
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
    log stdout format raw local0
    log-format "haproxy %ci %cp"
frontend all
    bind 0.0.0.0:{haproxy}
    bind [::]:{haproxy} v6only
    http-request return status 204
"""


class Net(Protocol):
    """A director between two network namespaces. By family: what a client asks, and who it is."""

    client: str
    server: str

    def asked(self, family: int) -> str: ...

    def source(self, family: int) -> str: ...


class Told:
    """Servers in a cgroup and a namespace, and ``xlvs realserver`` there."""

    def __init__(self, net: Net, place: Path, folder: Path, believed: str) -> None:
        self.net = net
        self.place = place
        self.believed = believed
        self.folder = folder
        self.environment = {**os.environ, "XLVS_RUN": str(folder / "run")}
        self.servers: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        """A server in the cgroup from its first instruction on: sockets stay where they began."""
        enter = f'echo $$ > {self.place}/cgroup.procs; exec "$@"'
        with (self.folder / log).open("ab") as output:
            server = subprocess.Popen(
                within(self.net.server, "sh", "-c", enter, "-", *command),
                stdout=output,
                stderr=output,
                env=self.environment,
            )
        self.servers.append(server)
        return server

    def python(self, port: int, family: int = 10, protocol: int = 0) -> subprocess.Popen[bytes]:
        """A server that tells its clients who they are."""
        log = f"python-{port}"
        (self.folder / log).unlink(missing_ok=True)
        words = (str(family), str(protocol), str(port))
        server = self.start(sys.executable, "-I", "-S", "-c", _SERVER, *words, log=log)
        eventually(lambda: "up" in self.said(log))
        return server

    def start_all(self) -> None:
        """All but the old one."""
        ports = {"nginx": NGINX, "both": BOTH, "haproxy": HAPROXY, "folder": self.folder}
        for name, text in (("nginx.conf", _NGINX), ("haproxy.cfg", _HAPROXY)):
            (self.folder / name).write_text(text.format(**ports))
        self.python(PYTHON)
        self.python(MPTCP, protocol=socket.IPPROTO_MPTCP)
        folder = str(self.folder)
        self.start("nginx", "-p", folder, "-c", f"{folder}/nginx.conf", log="nginx.log")
        self.start("haproxy", "-db", "-f", f"{folder}/haproxy.cfg", log="haproxy.log")
        self.start(
            "redis-server", "--port", str(REDIS), "--bind", "*", "-::*", "--save", "",
            "--protected-mode", "no", "--dir", folder, log="redis.log",
        )  # fmt: skip
        listening = within(self.net.server, "ss", "-Hltn")
        for port in (NGINX, BOTH, HAPROXY, REDIS):
            eventually(
                lambda at=f":{port} ": (
                    at
                    in subprocess.run(listening, capture_output=True, text=True, check=True).stdout
                )
            )

    def stop_all(self) -> None:
        for server in list(self.servers):
            self.stop(server)

    def stop(self, server: subprocess.Popen[bytes]) -> None:
        server.terminate()  # nginx takes its workers along
        server.wait()
        self.servers.remove(server)

    def said(self, log: str) -> str:
        path = self.folder / log
        return path.read_text() if path.exists() else ""

    def realserver(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            within(self.net.server, sys.executable, "-m", "xlvs.cli.main", "realserver", *words),
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )

    def up(self, believed: str = "", *words: str) -> str:
        """``up`` that works; what it said."""
        whom = ("--from", believed or self.believed)
        done = self.realserver("up", "--client-address", *whom, "--cgroup", str(self.place), *words)
        assert not done.returncode, done.stderr
        return done.stdout

    def counts(self) -> dict[str, int]:
        """Connections since ``up``, by what became of them."""
        state = agent.Agent(cgroup.find(str(self.place))).state()
        assert state is not None
        return state.counts

    def connect(self, family: int, port: int, protocol: int = 0) -> socket.socket:
        """A connection from the client's namespace."""
        with inside(self.net.client):
            channel = socket.socket(
                socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM, protocol
            )
        try:
            channel.settimeout(10)
            channel.connect((self.net.asked(family), port))
        except OSError:
            channel.close()
            raise
        return channel

    def ask(self, family: int, port: int, protocol: int = 0) -> tuple[str, str]:
        """What a Python server says of the other end, and what is true."""
        with self.connect(family, port, protocol) as channel, channel.makefile("rwb", 0) as lines:
            seen = lines.readline().decode()
            lines.write(b"again\n")
            assert lines.readline().decode() == seen
            mapped = "::ffff:" if seen.startswith("::ffff:") else ""
            return seen.strip(), f"{mapped}{self.net.source(family)} {channel.getsockname()[1]}"

    def logged(self, family: int, port: int, log: str, name: str) -> tuple[str, str]:
        """What a web server has in its log of a request, and what is true."""
        with self.connect(family, port) as channel:
            channel.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b" 204 " in channel.recv(4096)
            source = channel.getsockname()[1]
        mapped = "::ffff:" if (family, port) == (4, BOTH) else ""
        eventually(lambda: f" {source}\n" in self.said(log))
        (line,) = (line for line in self.said(log).splitlines() if line.endswith(f" {source}"))
        return line, f"{name} {mapped}{self.net.source(family)} {source}"

    def listed(self, family: int) -> tuple[str, str]:
        """How redis lists its client, and what is true."""
        with self.connect(family, REDIS) as channel:
            channel.sendall(b"CLIENT LIST\r\n")
            (seen,) = re.findall(r" addr=(\S+)", channel.recv(65536).decode())
            source = self.net.source(family)
            address = f"[{source}]" if family == 6 else source
            return seen, f"{address}:{channel.getsockname()[1]}"


LOGS = [
    (NGINX, "access.log", "nginx"),
    (BOTH, "access.log", "nginx"),
    (HAPROXY, "haproxy.log", "haproxy"),
]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread in a network namespace."""
    with open("/proc/thread-self/ns/net", "rb") as before:
        with open(f"/run/netns/{namespace}", "rb") as there:
            libbpf.enter_network(there.fileno())
        try:
            yield
        finally:
            libbpf.enter_network(before.fileno())


def within(namespace: str, *command: str) -> list[str]:
    """The argv that runs a command in a namespace; /sys stays as it is."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]
