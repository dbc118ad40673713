# SPDX-License-Identifier: Apache-2.0
"""Every checker against servers that are dead, slow, half-open or wrong, and its words for it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.lab.asking import Asker

from xlvs.lab import Lab
from xlvs.model.checker import (
    AnyCheck,
    BfdCheck,
    DnsCheck,
    HttpCheck,
    HttpProtocol,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    SmtpHost,
    TcpCheck,
    UdpCheck,
    Url,
)
from xlvs.model.notification import Command, Mail

SERVER, SERVER6 = "10.2.0.11", "fd00:2::11"
NOBODY = "10.2.0.99"
KEEP = HttpProtocol.HTTP_1_1_KEEP


@pytest.fixture(scope="module")
def folder(world: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The servers run on rs1."""
    folder = tmp_path_factory.mktemp("checked")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=nobody", "-keyout", folder / "key.pem", "-out",
         folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    argv = [sys.executable, str(Path(__file__).with_name("checked.py")), str(folder)]
    with (folder / "log").open("wb") as log:
        servers = subprocess.Popen(
            world.real_servers[0].namespace.enter(argv), stdout=log, stderr=log
        )
    deadline = time.monotonic() + 10
    while not (folder / "ready").exists():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.02)
    yield folder
    servers.terminate()
    servers.wait()


@pytest.fixture(scope="module")
def ask(world: Lab, folder: Path) -> Iterator[Asker]:
    assert folder.exists()
    with Asker(world.director.namespace.enter([])) as asker:
        yield asker


def get(*paths: str, url: dict[str, object] | None = None, **more: object) -> HttpCheck:
    urls = tuple(Url(path=path, **(url or {})) for path in paths)  # type: ignore[arg-type]
    return HttpCheck(urls=urls, **more)  # type: ignore[arg-type]


def md5(text: bytes) -> str:
    return hashlib.md5(text).hexdigest()  # noqa: S324


GOOD: list[tuple[AnyCheck, int]] = [
    (TcpCheck(), 9006),
    (TcpCheck(), 9001),
    (TcpCheck(connect_port=9006), 1),
    (TcpCheck(bind_ip=ip_address("10.2.0.1"), fwmark=7, bind_interface="eth1"), 9006),
    (TcpCheck(bind_port=45001), 9006),
    (PingCheck(), 0),
    (PingCheck(bind_ip=ip_address("10.2.0.1"), fwmark=7, bind_interface="eth1"), 0),
    (get("/200/x"), 9006),
    (get("/204/x", "/299/x"), 9006),
    (get("/404/x", url={"status_codes": ((200, 299), (404, 404))}), 9006),
    (get("/200/host", url={"digest": md5(f"{SERVER}:9006".encode())}), 9006),
    (get("/200/host", url={"digest": md5(b"www.x"), "virtualhost": "www.x"}), 9006),
    (get("/200/chunks", url={"digest": md5(b"abcdef")}), 9006),
    (get("/200/count", "/200/count", url={"digest": md5(b"1")}), 9006),
    (get("/200/fine", url={"regex": "^f(.)ne$"}), 9006),
    (get("/200/fine", url={"regex": "fi+ne"}), 9006),
    (get("/200/fine", url={"regex": "bad", "regex_no_match": True}), 9006),
    (get("/200/x", tls=True), 9443),
    (get("/200/sni", tls=True, url={"digest": md5(b"nothing")}), 9443),
    (get("/200/sni", tls=True, enable_sni=True, virtualhost="www.x",
         url={"digest": md5(b"www.x")}), 9443),
    (get("/200/sni", tls=True, enable_sni=True, virtualhost="www.x", sni_name="s.x",
         url={"digest": md5(b"s.x")}), 9443),
    (SmtpCheck(helo_name="lb"), 9025),
    (SmtpCheck(hosts=(SmtpHost(), SmtpHost(connect_ip=ip_address(SERVER6)))), 9025),
    (DnsCheck(), 9053),
    (DnsCheck(type="A", name="www.example.com"), 9053),
    (DnsCheck(name="late.example"), 9053),
    (UdpCheck(), 7),
    (UdpCheck(require_reply=True, payload=b"hi"), 7),
]  # fmt: skip


@pytest.mark.parametrize(("check", "port"), GOOD)
def test_good(ask: Asker, check: AnyCheck, port: int) -> None:
    outcome = ask(check, SERVER, port)
    del outcome["took"]
    assert outcome == {"ok": True, "cause": "", "weight": None, "ours": False, "added": 0}


@pytest.mark.parametrize(
    ("check", "port"),
    [
        (TcpCheck(), 9006), (PingCheck(), 0), (get("/200/x"), 9006), (SmtpCheck(), 9025),
        (get("/200/host", url={"digest": md5(b"[fd00:2::11]:9006")}), 9006),
    ],
)  # fmt: skip
def test_good6(ask: Asker, check: AnyCheck, port: int) -> None:
    outcome = ask(check, SERVER6, port)
    assert outcome["ok"], outcome


def test_link_local(world: Lab, ask: Asker) -> None:
    shown = world.real_servers[0].run(
        ["ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"]
    )
    address = shown.stdout.split()[3].split("/")[0]
    for check in (TcpCheck(), PingCheck()):
        assert ask(check, f"{address}%eth1", 9006)["ok"]
        assert ask(type(check)(bind_interface="eth1"), address, 9006)["ok"]


def test_keep_alive_reuses_the_connection(ask: Asker) -> None:
    urls = tuple(Url(path="/200/count", digest=md5(str(n).encode())) for n in (1, 2, 3))
    assert ask(HttpCheck(urls=urls, protocol=KEEP), SERVER, 9006)["ok"]
    assert ask(HttpCheck(urls=urls, protocol=KEEP, tls=True), SERVER, 9443)["ok"]


BAD: list[tuple[AnyCheck, str, int, str]] = [
    (TcpCheck(), SERVER, 9, "connection refused"),
    (TcpCheck(), "198.51.100.9", 9, "network unreachable"),
    (get("/"), SERVER, 9, "connection refused"),
    (get("/"), SERVER, 9001, "timed out after 0.5 s while waiting for the status line"),
    (get("/"), SERVER, 9002, "timed out after 0.5 s while waiting for the rest of the body"),
    (get("/"), SERVER, 9003, 'the answer is not HTTP: "SSH-2.0-OpenSSH_9.2"'),
    (get("/"), SERVER, 9004, "the connection was closed while waiting for the status line"),
    (get("/"), SERVER, 9005, "connection reset while waiting for the status line"),
    (get("/503/x"), SERVER, 9006, "status 503, expected 200-299"),
    (get("/200/x", "/500/x"), SERVER, 9006, "GET /500/x: status 500, expected 200-299"),
    (get("/200/x", url={"digest": "0" * 32}), SERVER, 9006,
     f"digest is {md5(b'x')}, expected {'0' * 32}"),
    (get("/200/x", url={"regex": "y"}), SERVER, 9006, 'the body does not match "y"'),
    (get("/200/xy", url={"regex": "x.?y", "regex_no_match": True}), SERVER, 9006,
     'the body matches "x.?y", which it must not'),
    (get("/200/x", tls=True), SERVER, 9003, "TLS handshake failed: wrong version number"),
    (get("/200/x", tls=True), SERVER, 9001,
     "timed out after 0.5 s while waiting for the TLS handshake"),
    (get("/200/x"), SERVER, 9443, "the connection was closed while waiting for the status line"),
    (SmtpCheck(), SERVER, 9026, 'the greeting is "554 go away", expected 220'),
    (SmtpCheck(), SERVER, 9027, 'the reply to HELO is "421 busy", expected 250'),
    (SmtpCheck(), SERVER, 9001, "timed out after 0.5 s while waiting for the greeting"),
    (DnsCheck(name="missing.x"), SERVER, 9053, "SOA missing.x is answered NXDOMAIN"),
    (DnsCheck(name="broken.x", type="MX"), SERVER, 9053, "MX broken.x is answered SERVFAIL"),
    (DnsCheck(name="silent.x"), SERVER, 9053,
     "timed out after 0.5 s while waiting for the answer"),
    (DnsCheck(), SERVER, 9, "connection refused while waiting for the answer"),
    (UdpCheck(), SERVER, 9, "connection refused while waiting for the reply"),
    (UdpCheck(require_reply=True, payload=b"silent" * 3), SERVER, 9053,
     "timed out after 0.5 s while waiting for the reply"),
    (UdpCheck(require_reply=True, max_reply_length=5), SERVER, 7,
     "the reply has 17 bytes, expected 0 to 5"),
    (PingCheck(), "198.51.100.9", 0, "network unreachable"),
    (BIG := get("/200/" + "a" * 30, url={"regex": "(a+)+$b"}), SERVER, 9006, ""),
]  # fmt: skip


@pytest.mark.parametrize(("check", "address", "port", "cause"), BAD[:-1])
def test_bad(ask: Asker, check: AnyCheck, address: str, port: int, cause: str) -> None:
    outcome = ask(check, address, port, timeout=0.5)
    assert (outcome["ok"], outcome["cause"]) == (False, cause)


@pytest.mark.parametrize("check", [TcpCheck(), get("/"), PingCheck()])
def test_nobody_there(ask: Asker, check: AnyCheck) -> None:
    """ARP gives up after three seconds; a deadline before that is kept."""
    outcome = ask(check, NOBODY, 9006, timeout=0.4)
    what = "waiting for the echo reply" if isinstance(check, PingCheck) else "connecting"
    assert outcome["cause"] == f"timed out after 0.4 s while {what}"
    late = ask(check, NOBODY, 9006, timeout=8)
    assert late["cause"] == "no route to host"


def test_a_regex_that_takes_for_ever_stalls_nothing(ask: Asker) -> None:
    outcome = ask(BIG, SERVER, 9006, timeout=5, times=3)
    assert outcome["cause"] == "searching for the regex took longer than 1 s"
    assert outcome["took"] > 0.9


@pytest.mark.parametrize(
    ("check", "cause"),
    [
        (TcpCheck(bind_ip=ip_address("10.2.0.77")), "the local address is not here"),
        (PingCheck(bind_ip=ip_address("10.2.0.77")), "10.2.0.77 is not an address of this host"),
        (UdpCheck(bind_ip=ip_address("10.2.0.77")), "the local address is not here"),
        (BfdCheck(name="x"), "this checker sends no probes"),
        (TcpCheck(through_datapath=True), "nothing is known of the data path to it"),
        (PingCheck(bind_interface="none0"), "the interface to bind to is not there"),
        (TcpCheck(bind_interface="none0"), "the interface to bind to is not there"),
        (DnsCheck(type="NOPE"), "DNS type 'NOPE' is not one of"),
    ],
)
def test_what_the_director_lacks_is_not_the_servers_fault(
    ask: Asker, check: AnyCheck, cause: str
) -> None:
    outcome = ask(check, SERVER, 9006)
    assert outcome["ours"]
    assert cause in outcome["cause"]


def sh(script: str, **more: object) -> MiscCheck:
    return MiscCheck(command=Command(("/bin/sh", "-c", script)), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "ok", "cause", "weight"),
    [
        (sh("exit 0"), True, "", None),
        (sh("echo disk full; exit 3"), False, "exit status 3: disk full", None),
        (sh("exit 12", dynamic=True), True, "", 10),
        (sh("sleep 60", timeout=0.3), False, "timed out after 0.3 s", None),
        (sh("kill -9 $$"), False, "ended by SIGKILL", None),
        (MiscCheck(command=Command(("/no/such",))), False, "/no/such: no such file", None),
        (MiscCheck(command=Command(("/bin/true",), "nobody")), True, "", None),
        (MiscCheck(command=Command(("/bin/true",), "who?")), False, "there is no user", None),
    ],
)
def test_misc(ask: Asker, check: MiscCheck, ok: bool, cause: str, weight: int | None) -> None:
    outcome = ask(check, SERVER)
    assert (outcome["ok"], outcome["weight"]) == (ok, weight)
    assert outcome["cause"].startswith(cause)
    assert bool(outcome["cause"]) == bool(cause)


def test_tcp_checks_are_not_seen_by_the_program(world: Lab, ask: Asker) -> None:
    """Three packets, the last one a reset, and nothing is left on either side."""

    def sockets() -> set[str]:
        return set(world.director.run(["ss", "-Htan", "dport", "9006"]).stdout.splitlines())

    before = sockets()
    with world.real_servers[0].capture("tcp port 9006") as seen:
        assert ask(TcpCheck(), SERVER, 9006)["ok"]
    flags = [line.split("Flags ")[1].split(",")[0] for line in seen.lines]
    assert flags in (["[S]", "[S.]", "[R.]"], ["[S]", "[S.]", "[R]"]), seen.lines
    assert sockets() <= before


def test_mail(ask: Asker, folder: Path) -> None:
    mail = Mail(sender="lb@x", to=("a@y", "b@z"), server=SERVER, port=9025, helo_name="lb.x")
    assert ask(TcpCheck(), SERVER, 9025, mail=mail)["sent"] == [1, 0]
    said = (folder / "mail").read_bytes().decode().split("\n")
    assert said[:4] == [
        "HELO lb.x\r", "MAIL FROM:<lb@x>\r", "RCPT TO:<a@y>\r", "RCPT TO:<b@z>\r",
    ]  # fmt: skip
    assert "Subject: a server is down\r" in said
    refused = Mail(to=("a@y",), server=SERVER, port=9026)
    assert ask(TcpCheck(), SERVER, 9025, mail=refused)["sent"] == [0, 1]


def test_many_at_once(ask: Asker) -> None:
    for check, port in ((TcpCheck(), 9006), (PingCheck(), 0), (get("/200/x"), 9006)):
        assert ask(check, SERVER, port, times=200, timeout=5)["ok"]
