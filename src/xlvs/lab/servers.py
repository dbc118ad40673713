# SPDX-License-Identifier: Apache-2.0
"""What runs on a real server: nginx and a UDP echo, both answering who saw whom."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from xlvs.lab import cgroups
from xlvs.lab.namespace import Namespace
from xlvs.lab.problem import LabError

HTTP_PORTS = (80, 8080)
UDP_PORT = 7
BIG_FILE = "big"
"""``GET /big``: four megabytes."""
UPLOAD = "upload"
"""``POST /upload``: read as a whole, then answered ``rs1 took 900000``."""
_BEHIND = 8081  # on 127.0.0.1: nginx buffers a request only for somebody behind it

# The folder is private, so the worker stays root.
_CONFIGURATION = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
{listen}
        root {folder}/www;
        location = / {{ return 200 "{name} saw $remote_addr\\n"; }}
        location = /upload {{
            client_max_body_size 64m;
            proxy_pass http://127.0.0.1:{behind}/;
        }}
    }}
    server {{
        listen 127.0.0.1:{behind};
        client_max_body_size 64m;
        location / {{ return 200 "{name} took $http_content_length\\n"; }}
    }}
}}
"""


def nginx_configuration(name: str, folder: Path) -> str:
    """The whole nginx.conf of one real server."""
    listen = "\n".join(
        f"        listen {address}:{port} backlog=4096;"
        for port in HTTP_PORTS
        for address in ("*", "[::]")
    )
    return _CONFIGURATION.format(name=name, folder=folder, listen=listen, behind=_BEHIND)


def start(server: Namespace, folder: Path, cgroup: str = "") -> None:
    """Start both servers, in a cgroup; ``wait`` says when they serve."""
    (folder / "www").mkdir(parents=True)
    with (folder / "www" / BIG_FILE).open("wb") as big:
        big.truncate(4 << 20)
    configuration = folder / "nginx.conf"
    configuration.write_text(nginx_configuration(server.name, folder))
    server.start(
        cgroups.enter(cgroup, ["nginx", "-p", str(folder), "-c", str(configuration)]),
        "nginx",
        folder / "nginx.log",
    )
    server.start(
        # -I -S: no site packages, so it starts in a blink.
        cgroups.enter(cgroup, [
            sys.executable, "-I", "-S", str(Path(__file__).with_name("echo.py")),
            server.name, str(UDP_PORT), str(folder / "echo.ready"),
        ]),
        "udp echo",
        folder / "echo.log",
    )  # fmt: skip


def wait(server: Namespace, folder: Path, *, patience: float = 10.0) -> None:
    """Both have bound their sockets, or a LabError with what they said."""
    deadline = time.monotonic() + patience
    waiting = [folder / "nginx.pid", folder / "echo.ready"]
    while waiting := [path for path in waiting if not path.exists()]:
        if time.monotonic() > deadline:
            logs = (folder / name for name in ("nginx.log", "error.log", "echo.log"))
            said = " ".join(log.read_text() for log in logs if log.exists())
            raise LabError(f"{server.name} does not serve after {patience:g} s: {said.strip()}")
        time.sleep(0.01)
