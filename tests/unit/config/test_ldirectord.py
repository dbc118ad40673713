# SPDX-License-Identifier: Apache-2.0
"""ldirectord.cf to keepalived.conf: what comes out is read again."""

from __future__ import annotations

import random
import re
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.config.keepalived.reading import read

from xlvs.config.keepalived.places import ConfigurationError
from xlvs.config.ldirectord import convert
from xlvs.model.checker import DnsCheck, HttpCheck, MiscCheck, PingCheck, SmtpCheck, TcpCheck
from xlvs.model.service import Method, Protocol

EXAMPLE = """# a comment
checktimeout=3
checkinterval = 1
fallback=127.0.0.1:80
autoreload=yes
quiescent=no
failurecount=4
emailalert="a@x.example, b@x.example"

virtual=192.168.6.240:80
	real=192.168.6.2:80 gate
	real=192.168.6.3->192.168.6.5:80 gate 7 "http://x/other.html", "a\\.b"
	fallback=127.0.0.1:81 masq
	service=http
	scheduler=rr
	persistent=600
	netmask=255.255.255.0
	checktype=negotiate
	checkport=8080
	request="index.html?a#b"
	receive="Test Page"	# of a page
	virtualhost=www.example
"""


def services(text):
    return read(convert(text, "l.cf").text).services


def one(lines, virtual="10.0.0.1:80", real="10.0.1.1:80 masq"):
    (found,) = services(f"virtual={virtual}\n\treal={real}\n" + "\n".join(f"\t{x}" for x in lines))
    return found


def problems(text):
    with pytest.raises(ConfigurationError) as caught:
        convert(text, "l.cf")
    return [f"{each.where}: {each.message}" for each in caught.value.problems]


def test_the_example():
    made = convert(EXAMPLE, "l.cf")
    configuration = read(made.text)
    (found,) = configuration.services
    assert configuration.globals.mail.to == ("a@x.example", "b@x.example")
    assert found.service.key.protocol is Protocol.TCP
    assert (found.service.scheduler, found.service.persistence_timeout) == ("rr", 600)
    assert found.service.netmask == "255.255.255.0"
    # a real server is down until its first check, in ldirectord always
    assert found.alpha
    assert str(found.sorry_server.key.address) == "127.0.0.1"
    assert [
        (str(each.destination.key.address), each.destination.weight, each.destination.method)
        for each in found.real_servers
    ] == [
        ("192.168.6.2", 1, Method.DR),
        *((f"192.168.6.{n}", 7, Method.DR) for n in (3, 4, 5)),
    ]
    check, other = (found.real_servers[at].checks[0] for at in (0, 1))
    assert isinstance(check, HttpCheck)
    assert (check.connect_port, check.retry, check.delay_loop) == (8080, 3, 1)
    assert check.urls[0].path == "/index.html?a#b"
    assert check.urls[0].regex == "Test Page"
    assert check.virtualhost == "www.example"
    assert (other.urls[0].path, other.urls[0].regex) == ("/other.html", r"a\.b")
    assert not found.real_servers[0].inhibit_on_failure
    assert made.remarks == (
        "l.cf:5:1: autoreload is left out: reload with systemctl reload or SIGHUP",
    )


@pytest.mark.parametrize(
    ("lines", "virtual", "kind"),
    [
        (["checktype=connect"], "10.0.0.1:80", TcpCheck),
        (["checktype=connect", "protocol=udp"], "10.0.0.1:80", PingCheck),
        (["checktype=ping"], "10.0.0.1:80", PingCheck),
        (["checktype=external", 'checkcommand="/bin/c"'], "10.0.0.1:80", MiscCheck),
        (["checktype=5"], "10.0.0.1:80", HttpCheck),
        ([], "10.0.0.1:80", HttpCheck),
        ([], "10.0.0.1:443", HttpCheck),
        ([], "10.0.0.1:25", SmtpCheck),
        ([], "10.0.0.1:53", DnsCheck),
        (["service=mysql"], "10.0.0.1:80", TcpCheck),
        (["service=sip", "protocol=udp"], "10.0.0.1:80", PingCheck),
        (["checktype=on"], "10.0.0.1:80", None),
        (["service=none"], "10.0.0.1:80", None),
    ],
)
def test_the_checker_that_is_nearest(lines, virtual, kind):
    checks = one(lines, virtual).real_servers[0].checks
    assert [type(each) for each in checks] == ([kind] if kind else [])


def test_defaults_are_ldirectord_s():
    found = one([])
    check = found.real_servers[0].checks[0]
    assert (check.delay_loop, check.connect_timeout, check.retry) == (10, 30, 0)
    assert one(["checktype=connect"]).real_servers[0].checks[0].connect_timeout == 5
    assert found.service.scheduler == "wrr"
    assert found.real_servers[0].inhibit_on_failure  # quiescent=yes
    assert one([], "10.0.0.1:53").service.key.protocol is Protocol.UDP


def test_external_checks_get_four_arguments():
    found = one(["checktype=external", 'checkcommand="/bin/c -v"'])
    assert found.real_servers[0].checks[0].command.argv == (
        *("/bin/c", "-v", "10.0.0.1", "80", "10.0.1.1", "80"),
    )


def test_a_server_that_is_off_has_no_weight():
    assert one(["checktype=off"]).real_servers[0].destination.weight == 0


def test_commands_of_a_fallback_follow_the_quorum():
    found = one(['fallbackcommand="/bin/f"'])
    assert found.quorum_down.argv == ("/bin/f", "start")
    assert found.quorum_up.argv == ("/bin/f", "stop")


def test_marks_and_ipv6():
    found = one(["protocol=fwm", "service=http"], "7", "10.0.1.1 gate")
    assert found.service.key.fwmark == 7
    text = "virtual6=[fd00::1]:80\n\treal6=[fd01::1]:80 masq\n\tfallback6=[::1]:80\n"
    (found,) = services("fallback=127.0.0.1:80\n" + text)
    assert found.service.key.address == ip_address("fd00::1")
    assert str(found.sorry_server.key.address) == "::1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "l.cf:1:1: wants NAME = VALUE"),
        ("foo=1", "l.cf:1:1: ldirectord has no option 'foo' here"),
        ("virtual=10.0.0.1:80\n\tautoreload=yes", "l.cf:2:2: ldirectord has no option"),
        ("virtual=web:80\n\treal=10.0.0.2:80 gate", "names of hosts are not looked up"),
        ("virtual=10.0.0.1:http\n\treal=10.0.0.2:80 gate", "names of services are not looked up"),
        ("virtual=10.0.0.1:80\n\treal=web:80 gate", "l.cf:2:2: 'web' is no address"),
        ("virtual=10.0.0.1:80\n\treal=10.0.0.2:80 nat", "wants real = ADDRESS"),
        ("virtual=10.0.0.1:80", "has no real server"),
        ("virtual=10.0.0.1:80\n\treal=10.0.0.9->10.0.0.2:80 gate", "is no range"),
        ("virtual=10.0.0.1:80\n\tchecktype=x\n\treal=10.0.0.2:80 gate", "no checktype 'x'"),
        ("virtual=10.0.0.1:80\n\tservice=x\n\treal=10.0.0.2:80 gate", "no service 'x'"),
        ("virtual=10.0.0.1:80\n\tprotocol=icmp\n\treal=10.0.0.2:80 gate", "tcp or udp"),
        ('virtual=10.0.0.1:80\n\treceive=a"b\n\treal=10.0.0.2:80 gate', "has a double quote"),
        ("checkinterval=x\nvirtual=10.0.0.1:80\n\treal=10.0.0.2:80 gate", "is a number, not 'x'"),
    ],
)
def test_what_cannot_be_converted(text, problem):
    assert any(problem in each for each in problems(text))


@pytest.mark.parametrize("seed", range(150))
def test_mutated_files_never_do_anything_but_be_refused(seed):
    chance = random.Random(seed)
    lines = EXAMPLE.split("\n")
    for _ in range(4):
        at = chance.randrange(len(lines))
        words = re.split(r"([=:>\s])", lines[at])
        words[chance.randrange(len(words))] = chance.choice(
            ('"', "", "->", "99999", "[", "]", "::", "gate", "\u0661", "{", "}", "#", "$A", "real")
        )
        lines[at] = "".join(words)
    _never_breaks("\n".join(lines))


@given(st.text(max_size=150))
@settings(max_examples=150, deadline=None)
def test_any_text_is_converted_or_refused(text):
    _never_breaks(text)


def _never_breaks(text):
    try:
        made = convert(text, "l.cf")
    except ConfigurationError:
        return
    try:
        read(made.text)
    except ConfigurationError:
        return
