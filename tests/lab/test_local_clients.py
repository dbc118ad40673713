# SPDX-License-Identifier: Apache-2.0
"""Clients on the director itself (ADR 14): what they reach beneath IPVS, they reach here."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.lab.traffic import HTTP, bracket, service, who

from xlvs.lab.servers import BIG_FILE, UDP_PORT, UPLOAD

ACCEPT = "net.ipv4.conf.{}.accept_local"
SERVED_HERE = "here saw"
HERE = ("10.2.0.1", "fd00:2::1")
"""The director's own address on the servers' side."""

SERVER = f"""
import socket, sys, threading
def serve(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(sys.argv[1])), family=family)
    while True:
        channel, peer = listener.accept()
        with channel:
            channel.recv(65536)
            channel.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n{SERVED_HERE} " + peer[0].encode())
for address in sys.argv[2:]:
    threading.Thread(target=serve, args=(address,)).start()
"""


def set_accept(director, device, value):
    director.run(["sysctl", "-qw", f"{ACCEPT.format(device)}={value}"])


@pytest.fixture(scope="module")
def running(prepared, hook):
    director = prepared.director
    director.start_xlvsd(hook, extra=["--local-clients"])
    set_accept(director, "lo", 1)
    yield director
    director.down()
    set_accept(director, "lo", 0)


@pytest.fixture
def answers_from_a_local_address(prepared):
    """What DR and TUN need of the director's stack, beneath IPVS as well."""
    for device in ("eth0", "eth1"):
        set_accept(prepared.director, device, 1)
    yield
    for device in ("eth0", "eth1"):
        set_accept(prepared.director, device, 0)


def curl(director, *words, times=1):
    line = " ".join(words)
    script = f"for i in $(seq {times}); do curl -sS -m 2 {line} || break; echo; done"
    done = director.run(["sh", "-c", script], check=False, timeout=30)
    return [line for line in (done.stdout + done.stderr).splitlines() if line]


def url(address, path=""):
    return f"http://{bracket(address)}:{HTTP}/{path}"


def whom(answers):
    return {answer.rpartition(" saw ")[2] for answer in answers}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["nat", "fullnat"])
def test_a_client_that_chooses_no_source(director, prepared, method, family):
    address = service(prepared, method, family, "tcp", [1, 1, 1])
    answers = curl(director, url(address), times=6)
    assert sorted(who(answers).values()) == [2, 2, 2], answers
    assert (whom(answers) == {address}) is (method == "nat")
    # Clients elsewhere are served as ever.
    others = prepared.client.run(["curl", "-sS", "-m", "3", url(address)]).stdout
    assert others.startswith("rs")


@pytest.mark.parametrize("method", ["nat", "fullnat"])
def test_much_data_both_ways(director, prepared, method):
    address = service(prepared, method, 4, "tcp", [1, 1, 1])
    fetched = curl(director, url(address, BIG_FILE), "-o /dev/null -w '%{size_download}'")
    assert fetched == [str(4 << 20)]
    script = f"head -c 3000000 /dev/zero | curl -sS -m 10 --data-binary @- {url(address, UPLOAD)}"
    assert director.run(["sh", "-c", script]).stdout.endswith("took 3000000\n")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["nat", "fullnat"])
def test_datagrams(director, prepared, method, family):
    address = service(prepared, method, family, "udp", [1, 1, 1])
    once = f"echo hello | nc -u -W 1 -w 2 {address} {UDP_PORT}"
    answer = director.run(["sh", "-c", once], check=False).stdout
    assert " saw " in answer
    assert (address in answer) is (method == "nat")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["dr", "tun"])
@pytest.mark.usefixtures("answers_from_a_local_address")
def test_dr_and_tun_want_another_source_than_the_vip(director, prepared, method, family):
    address = service(prepared, method, family, "tcp", [1, 1, 1])
    source = HERE[family == 6]
    answers = curl(director, "--interface", source, url(address), times=3)
    assert len(who(answers)) == 3, answers
    assert whom(answers) == {source}
    # The server would have to believe that its own address is somebody else's.
    (refused,) = curl(director, url(address))
    assert "timed out" in refused.lower()


@pytest.fixture
def here(prepared):
    """A server on the director itself, on another port than the services'."""
    argv = [sys.executable, "-I", "-S", "-c", SERVER, "8080", *HERE]
    process = subprocess.Popen(prepared.director.namespace.enter(argv), stdin=subprocess.DEVNULL)
    yield HERE
    process.kill()
    process.wait()


@pytest.mark.parametrize("family", [4, 6])
def test_client_and_server_both_on_the_director(director, prepared, here, family):
    address = prepared.plan.vips["nat"][family == 6]
    name = f"-t {bracket(address)}:{HTTP}"
    director.ipvsadm(f"-A {name} -s rr")
    director.ipvsadm(f"-a {name} -r {bracket(here[family == 6])}:8080 -m")
    for source in (address, HERE[family == 6], ("127.0.0.1", "::1")[family == 6]):
        answers = curl(director, "--interface", source, url(address), times=2)
        assert answers == [f"{SERVED_HERE} {source}"] * 2


def test_what_is_delivered_on_lo_is_not_taken_for_another_client(director, prepared):
    """A service of all ports would take an answer to a local client for a packet to it."""
    address = prepared.plan.vips["nat"][0]
    director.ipvsadm(f"-A -t {address}:0 -s rr -p 30")
    director.ipvsadm(f"-a -t {address}:0 -r {prepared.real_servers[0].address(4)}:0 -m")
    # Not port 80: other tests' connections are still listed.
    assert len(curl(director, f"http://{address}:8080/", times=5)) == 5
    listed = [line.split() for line in director.ipvsadm("-Lnc").stdout.splitlines()]
    virtual = [line[4] for line in listed if line[0] == "TCP" and line[4].startswith(address)]
    virtual = [each for each in virtual if each != f"{address}:{HTTP}"]
    assert sorted(virtual) == [f"{address}:0", *[f"{address}:8080"] * 5]


def test_the_stack_that_would_drop_the_answers_is_told_of(director, prepared):
    service(prepared, "nat", 4, "tcp", [1, 1, 1])
    assert "accept_local" not in director.xlvs("status", check=False).stdout
    set_accept(director, "lo", 0)
    try:
        assert "net.ipv4.conf.lo.accept_local=1" in " ".join(
            director.xlvs("status", check=False).stdout.split()
        )
    finally:
        set_accept(director, "lo", 1)


@pytest.fixture
def narrow(prepared):
    """The way to the servers takes less than they tell clients that it does."""
    prepared.director.namespace.ip(["link set eth1 mtu 1400"])
    yield
    prepared.director.namespace.ip(["link set eth1 mtu 1500"])


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("family", [4, 6])
def test_a_client_learns_that_its_packets_are_too_big(director, prepared, family):
    address = service(prepared, "nat", family, "tcp", [1, 1, 1])
    script = f"head -c 300000 /dev/zero | curl -sS -m 10 --data-binary @- {url(address, UPLOAD)}"
    assert director.run(["sh", "-c", script], check=False).stdout.endswith("took 300000\n")


REFUSED = """
import socket, sys
flow = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
flow.settimeout(3)
flow.connect((sys.argv[1], 7))
flow.send(b"?")
flow.recv(100)
"""


@pytest.mark.parametrize("family", [4, 6])
def test_a_servers_icmp_error_reaches_the_client(director, prepared, family):
    address = prepared.plan.vips["nat"][family == 6]
    name = f"-u {bracket(address)}:{UDP_PORT}"
    director.ipvsadm(f"-A {name} -s rr")
    nobody = f"{bracket(prepared.servers_for('nat')[0].address(family))}:9"
    director.ipvsadm(f"-a {name} -r {nobody} -m")
    done = director.run([sys.executable, "-I", "-S", "-c", REFUSED, address], check=False)
    assert "ConnectionRefusedError" in done.stderr, done.stderr
