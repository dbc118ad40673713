# SPDX-License-Identifier: Apache-2.0
"""What runs in the network: nginx as web server, and the balancers that are compared."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.e2e import plan
from bench.e2e.hosts import Failed, Host, Network, wait_for
from bench.e2e.leftovers import delete, instance
from bench.e2e.plan import DIRECTORS, SERVERS, Director
from xlvs.datapath import pins
from xlvs.datapath.loader import remove
from xlvs.lab.run import program, run_directory

PACKAGES = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "nft": "nftables",
    "wrk": "wrk",
    "iperf3": "iperf3",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "ping": "iputils-ping",
    "setpriv": "util-linux",
}
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
TABLE = "xlvs_bench"
METHOD_FLAGS = {"nat": "-m", "dr": "-g", "tun": "-i"}
_READY = 30.0  # seconds that xlvsd has to load its programs

_NGINX = """\
daemon off;
user root;
worker_processes {workers};
worker_rlimit_nofile 65536;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log crit;
events {{ worker_connections 8192; }}
"""
_HTTP = """\
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    keepalive_requests 1000000000;
    keepalive_timeout 120s;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    server {{ listen 80 reuseport backlog=4096; root {folder}; }}
}}
"""
_HAPROXY = """\
global
  maxconn 8192
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 120s
  timeout server 120s
listen web
  bind {vip}:{http}
  balance roundrobin
  server a {one}:80
  server b {two}:80
listen bulk
  bind {vip}:{bulk}
  server a {one}:5201
"""
_STREAM = """\
stream {{
    upstream web {{ server {one}:80; server {two}:80; }}
    server {{ listen {vip}:{http} reuseport backlog=4096; proxy_pass web; }}
    server {{ listen {vip}:{bulk}; proxy_pass {one}:5201; }}
}}
"""
_NFT = """\
table ip xlvs_bench {{
  chain pre {{
    type nat hook prerouting priority dstnat;
    ip daddr {vip} tcp dport 80 dnat to numgen inc mod 2 map {{ 0 : {one}, 1 : {two} }}
    ip daddr {vip} tcp dport 5201 dnat to {one}
    ip daddr {vip} udp dport 9 dnat to numgen inc mod 2 map {{ 0 : {one}, 1 : {two} }}
  }}
}}
"""
_SINK = """\
table ip xlvs_bench {
  counter sink {
  }
  chain pre {
    type filter hook prerouting priority raw;
    udp dport 9 counter name sink drop
    ip protocol 4 counter name sink drop
  }
}
"""


def missing() -> str:
    """What has to be installed first, as one line to type; "" if nothing."""
    names = {PACKAGES[name] for name in PACKAGES if not shutil.which(name, path=_PATH)}
    if "nginx-light" not in names and not _stream_module():
        names.add("libnginx-mod-stream")
    return f"apt-get install {' '.join(sorted(names))}" if names else ""


def _stream_module() -> str:
    """The line that loads nginx's stream module; "" if there is none."""
    nginx = shutil.which("nginx", path=_PATH) or "nginx"
    done = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False)
    if "--with-stream " in done.stderr:
        return "# built in\n"
    found = re.search(r"--modules-path=(\S+)", done.stderr)
    module = Path(found[1], "ngx_stream_module.so") if found else Path()
    return f"load_module {module};\n" if found and module.exists() else ""


def _serve(host: Host, name: str, port: int, argv: list[str]) -> None:
    host.start(argv, stdout=subprocess.DEVNULL)
    listening = ["ss", "-Hltn", f"sport = :{port}"]
    wait_for(lambda: bool(host.run(listening)), f"{name} on port {port}")


def start_servers(net: Network) -> None:
    """Web server, TCP sink and packet sink on each real server."""
    (net.folder / "index.html").write_text("x" * 127 + "\n", encoding="ascii")
    net.folder.chmod(0o755)
    for host in net.servers:
        words = {"folder": net.folder, "name": host.name, "workers": 1}
        conf = net.folder / f"{host.name}.conf"
        conf.write_text((_NGINX + _HTTP).format(**words), encoding="ascii")
        _serve(host, "nginx", plan.HTTP_PORT, ["nginx", "-p", f"{net.folder}", "-c", f"{conf}"])
        _serve(host, "iperf3", plan.BULK_PORT, ["iperf3", "-s"])
        host.run(["nft", "-f", "-"], text=_SINK)


def start_others(net: Network) -> None:
    """The balancers that are compared with xlvs."""
    for d in DIRECTORS.values():
        words = {"vip": d.vip("nat"), "one": d.server(1), "two": d.server(2)}
        host, kind = net.director(d.name), d.name.removesuffix("-off").removeprefix("flood-")
        if kind == "nft":
            host.run(["nft", "-f", "-"], text=_NFT.format(**words))
        if kind == "proxy":
            conf = net.folder / f"{d.name}-haproxy.cfg"
            ports = {"http": plan.HAPROXY_HTTP, "bulk": plan.HAPROXY_BULK}
            conf.write_text(_HAPROXY.format(**words, **ports), encoding="ascii")
            _serve(host, "haproxy", plan.HAPROXY_HTTP, ["haproxy", "-db", "-f", f"{conf}"])
            conf = net.folder / f"{d.name}-nginx.conf"
            ports = {"http": plan.NGINX_HTTP, "bulk": plan.NGINX_BULK}
            about = {"folder": net.folder, "name": d.name, "workers": 2}
            text = _NGINX.format(**about) + _STREAM.format(**words, **ports)
            conf.write_text(_stream_module() + text, encoding="ascii")
            argv = ["nginx", "-p", f"{net.folder}", "-c", f"{conf}"]
            _serve(host, "nginx", plan.NGINX_HTTP, argv)


def sunk(net: Network) -> int:
    """Packets that the real servers' netfilter has counted and dropped."""
    total = 0
    for host in net.servers:
        said = json.loads(host.run(["nft", "-j", "list", "counters", "table", "ip", TABLE]))
        total += sum(x["counter"]["packets"] for x in said["nftables"] if "counter" in x)
    return total


def _is_ready(notify: socket.socket) -> bool:
    try:
        return "READY=1" in notify.recv(4096).decode().splitlines()
    except TimeoutError:
        return False


class Xlvs:
    """One xlvsd with its services."""

    def __init__(self, net: Network, d: Director, table_size: int = 0) -> None:
        self.director = d
        self.host = net.director(d.name)
        self.instance = instance(net.pid, d.name)
        self._folder = net.folder
        self._size = table_size
        self._env = {"XLVS_INSTANCE": self.instance}

    def start(self) -> None:
        """Start the daemon, wait until it is ready, add the services."""
        where = self._folder / f"{self.instance}.notify"
        devices = ",".join(self.director.devices)
        argv = [*program("xlvsd"), "--interfaces", devices, "--hook", self.director.hook]
        if self._size:
            argv += ["--table-size", f"{self._size}"]
        log = self._folder / f"{self.instance}.log"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
            log.open("w", encoding="utf-8") as said,
        ):
            notify.bind(f"{where}")
            notify.settimeout(0.1)
            env = self._env | {"NOTIFY_SOCKET": f"{where}"}
            child = self.host.start(argv, env=env, stdout=said.fileno())
            deadline = time.monotonic() + _READY
            while not _is_ready(notify):
                if child.poll() is not None or time.monotonic() > deadline:
                    why = log.read_text(encoding="utf-8").strip()[-500:]
                    raise Failed(f"xlvsd --hook {self.director.hook} is not ready: {why}")
        for method in METHOD_FLAGS:
            self._services(method)

    def _services(self, method: str) -> None:
        d, flag = self.director, METHOD_FLAGS[method]
        lines = []
        for kind, port, servers in (
            ("-t", plan.HTTP_PORT, SERVERS),
            ("-t", plan.BULK_PORT, (1,)),
            ("-u", plan.SINK_PORT, SERVERS),
        ):
            service = f"{kind} {d.vip(method)}:{port}"
            proxied = d.syn_proxy and (method, port) == ("nat", plan.HTTP_PORT)
            lines.append(f"-A {service} -s rr{' --syn-proxy on' if proxied else ''}")
            lines += [f"-a {service} -r {d.server(n)}:{port} {flag}" for n in servers]
        self.ipvsadm("-R", text="\n".join(lines) + "\n")

    def ipvsadm(self, *words: str, text: str | None = None) -> str:
        """Our ipvsadm."""
        return self.host.run([*program("ipvsadm"), *words], text=text, env=self._env)

    def status(self) -> dict[str, Any]:
        """``xlvs status --json``."""
        words = [*program("xlvs"), "status", "--json"]
        said: dict[str, Any] = json.loads(self.host.run(words, env=self._env))
        return said

    def of_clients(self, network: str) -> int:
        """Connections of clients of a network."""
        words = [*program("xlvs"), "connections", "--client", network, "--count"]
        return int(self.host.run(words, env=self._env).split()[0])

    def connections(self) -> tuple[int, int]:
        """ActiveConn and InActConn of all servers, added up."""
        active = inactive = 0
        for line in self.ipvsadm("-Ln").splitlines():
            words = line.split()
            if words[:1] == ["->"] and words[-1].isdigit():
                active, inactive = active + int(words[-2]), inactive + int(words[-1])
        return active, inactive

    def stop(self) -> None:
        """Remove the data path and all traces."""
        with suppress(Failed, OSError):
            self.host.run([*program("xlvs"), "down"], env=self._env)
            time.sleep(0.1)
        with suppress(FileNotFoundError):
            remove(pins.folder(self.instance))
        for left in run_directory().glob(f"{self.instance}*"):
            delete(left)
