# SPDX-License-Identifier: Apache-2.0
"""Checkers: keywords, defaults, what they have from their servers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.config.keepalived.reading import problems, read, remarks, service, with_service

from xlvs.model.checker import (
    BfdCheck,
    DnsCheck,
    FileCheck,
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
from xlvs.model.notification import Command

DEFAULTS = {
    "retry": 1,
    "delay_before_retry": 1.0,
    "delay_loop": 60.0,
    "warmup": 60.0,
    "alpha": False,
}
CONNECTING = {**DEFAULTS, "connect_timeout": 5.0}


def check(kind, lines="", server="", virtual=""):
    text = f"        {server}\n        {kind} {{\n{lines}\n        }}"
    return service(f"    {virtual}", text).real_servers[0].checks[0]


@pytest.mark.parametrize(
    ("kind", "lines", "expected"),
    [
        ("TCP_CHECK", "", TcpCheck(**CONNECTING)),
        ("PING_CHECK", "", PingCheck(**CONNECTING)),
        ("SMTP_CHECK", "", SmtpCheck(**CONNECTING)),
        ("UDP_CHECK", "", UdpCheck(**CONNECTING, min_reply_length=0, max_reply_length=255)),
        (
            "DNS_CHECK",
            "",
            DnsCheck(**{**CONNECTING, "retry": 3, "delay_before_retry": 60.0}, type="SOA"),
        ),
        (
            "MISC_CHECK",
            "misc_path /bin/x",
            MiscCheck(**{**DEFAULTS, "retry": 0}, command=Command(("/bin/x",))),
        ),
        (
            "HTTP_GET",
            "url {\n path /\n}",
            HttpCheck(
                **{**CONNECTING, "delay_before_retry": 3.0},
                urls=(Url(path="/", status_codes=((200, 299),)),),
            ),
        ),
    ],
)
def test_defaults_are_keepalived_s(kind, lines, expected):
    assert check(kind, lines) == expected


def test_values_come_from_the_checker_else_the_real_else_the_virtual_server():
    virtual = "delay_loop 6\n retry 2\n connect_timeout 3\n delay_before_retry 4\n warmup 1"
    server = "retry 5\n delay_before_retry 7\n alpha"
    found = check("TCP_CHECK", "retry 9", server, virtual)
    assert found == TcpCheck(
        retry=9, delay_before_retry=7, delay_loop=6, warmup=1, connect_timeout=3, alpha=True
    )
    # the first check comes within delay_loop unless warmup is said
    assert check("TCP_CHECK", "", "delay_loop 8").warmup == 8


def test_where_a_check_goes_and_comes_from():
    lines = """
connect_ip 10.0.9.9
connect_port 81
bindto 10.0.8.8
bind_port 1234
bind_if eth3
fwmark 5
log_all_failures
rise 3
through_datapath
"""
    assert check("TCP_CHECK", lines) == TcpCheck(
        **CONNECTING,
        connect_ip=ip_address("10.0.9.9"),
        connect_port=81,
        bind_ip=ip_address("10.0.8.8"),
        bind_port=1234,
        bind_interface="eth3",
        fwmark=5,
        log_all_failures=True,
        rise=3,
        through_datapath=True,
    )


def test_http():
    lines = r"""
http_protocol 1.1
enable_sni
sni_name sni.example
fast_recovery
nb_get_retry 4
url {
    path "/a b"
    digest FF20AD2481F97B1754EF3E12ECD3A9CC
    status_code 200-299 301 400-499
    virtualhost in.url
    regex "it\\.is \"so\""
    regex_no_match
    regex_options caseless multiline
    regex_stack 1000 2000
    regex_min_offset 10
    regex_max_offset 100
    tls_compliant
}
url {
    path /second
}
"""
    found = check("SSL_GET", lines, virtual="virtualhost of.vs", server="virtualhost of.rs")
    assert isinstance(found, HttpCheck)
    assert (found.tls, found.protocol, found.retry) == (True, HttpProtocol.HTTP_1_1, 4)
    assert (found.enable_sni, found.sni_name) == (True, "sni.example")
    assert found.virtualhost == "of.rs"
    assert found.urls == (
        Url(
            path="/a b",
            digest="ff20ad2481f97b1754ef3e12ecd3a9cc",
            status_codes=((200, 299), (301, 301), (400, 499)),
            virtualhost="in.url",
            regex=r'it\.is "so"',
            regex_no_match=True,
            regex_options=("caseless", "multiline"),
            regex_min_offset=10,
            regex_max_offset=100,
            tls_compliant=True,
        ),
        Url(path="/second", status_codes=((200, 299),)),
    )


def test_smtp_has_hosts():
    lines = "helo_name me\nhost {\n connect_ip 10.0.0.9\n bindto 10.0.0.8\n}\nhost {\n}"
    found = check("SMTP_CHECK", lines)
    assert found.helo_name == "me"
    assert found.hosts == (
        SmtpHost(connect_ip=ip_address("10.0.0.9"), bind_ip=ip_address("10.0.0.8")),
        SmtpHost(),
    )


def test_dns_udp_misc():
    assert check("DNS_CHECK", "type aaaa\nname example.org").type == "AAAA"
    found = check("UDP_CHECK", "payload Ab12f 3 456\nrequire_reply\nmin_reply_length 4")
    assert found.payload == bytes.fromhex("ab120f034506")
    assert (found.require_reply, found.min_reply_length) == (True, 4)
    found = check("UDP_CHECK", "require_reply 01ff")
    assert (found.reply, found.reply_mask) == (b"\x01\xff", b"")
    found = check("UDP_CHECK", "require_reply aXx1 x 2 XX")
    assert found.reply == bytes.fromhex("a001000200")
    assert found.reply_mask == bytes.fromhex("f00ff0ff00")
    found = check(
        "MISC_CHECK", "misc_path \"/bin/x 'a b'\"\nuser me us\nmisc_timeout 9\nmisc_dynamic"
    )
    assert found.command == Command(("/bin/x", "a b"), "me", "us")
    assert (found.timeout, found.dynamic) == (9, True)


def test_what_follows_something_else():
    text = """track_file F {
    file /tmp/f
}
bfd_instance B {
    neighbor_ip 10.0.0.9
}
""" + with_service(
        server="FILE_CHECK {\n track_file F\n weight -3 reverse\n}\nBFD_CHECK {\n name B\n}"
    )
    assert read(text).services[0].real_servers[0].checks == (
        FileCheck(track_file="F", weight=-3, reverse=True),
        BfdCheck(name="B", alpha=False),
    )


@pytest.mark.parametrize(
    ("kind", "lines", "problem"),
    [
        ("HTTP_GET", "", "HTTP_GET has no url"),
        ("HTTP_GET", "url {\n}", "url has no path"),
        ("HTTP_GET", "url {\n path /\n digest 12\n}", "a digest has 32"),
        ("HTTP_GET", "url {\n path /\n status_code 99\n}", "a status code is 100 to 599"),
        ("HTTP_GET", "url {\n path /\n status_code 300-200\n}", "a status code is"),
        ("HTTP_GET", "url {\n path /\n regex a b\n}", "put an expression with blanks in quotes"),
        ("HTTP_GET", "url {\n path /\n regex a\n regex_options x\n}", "no option 'x'"),
        ("HTTP_GET", "http_protocol 2", "http_protocol is one of 1.0"),
        ("TCP_CHECK", "connect_port 0", "a port is 1 to 65535"),
        ("TCP_CHECK", "connect_ip host", "names of hosts are not looked up"),
        ("TCP_CHECK", "bind_if averyveryverylongname", "no interface's name"),
        ("TCP_CHECK", "retry -1", "retry is a number from 0"),
        ("TCP_CHECK", "connect_timeout 0", "connect_timeout is"),
        ("TCP_CHECK", "misc_path x", "unknown keyword 'misc_path' in TCP_CHECK: it belongs to"),
        ("MISC_CHECK", "", "MISC_CHECK has no misc_path"),
        ("MISC_CHECK", "misc_path /bin/x y", "takes one word"),
        ("MISC_CHECK", "misc_path '/bin/x", "the closing ' is missing"),
        ("DNS_CHECK", "type PTR", "type is one of A, NS"),
        ("UDP_CHECK", "payload xy", "is not in hexadecimal digits"),
        ("UDP_CHECK", "require_reply az", "is not in hexadecimal digits"),
        ("UDP_CHECK", "min_reply_length 300", "min_reply_length is above max_reply_length"),
        ("FILE_CHECK", "", "FILE_CHECK has no track_file"),
        ("FILE_CHECK", "track_file F", "there is no track_file 'F'"),
        ("BFD_CHECK", "name B", "there is no bfd_instance 'B'"),
        ("XYZ_CHECK", "", "unknown keyword 'XYZ_CHECK'"),
    ],
)
def test_what_a_checker_cannot_say(kind, lines, problem):
    found = problems(with_service(server=f"        {kind} {{\n{lines}\n        }}"))
    assert any(problem in each for each in found), found


def test_what_has_no_effect_is_remarked():
    text = with_service(server="HTTP_GET {\n enable_sni\n url {\n path /\n regex_no_match\n}\n}")
    assert [each.partition(": ")[2] for each in remarks(text)] == [
        "enable_sni has no effect in HTTP_GET",
        "regex_no_match has no effect without regex",
    ]


def test_all_failures_are_logged_if_global_defs_say_so():
    text = with_service(server="TCP_CHECK {\n}") + "global_defs {\nchecker_log_all_failures on\n}"
    assert read(text).services[0].real_servers[0].checks[0].log_all_failures
