# SPDX-License-Identifier: Apache-2.0
"""global_defs."""

from __future__ import annotations

import pytest
from tests.unit.config.keepalived.reading import problems, read

from xlvs.model.configuration import Configuration, Global, LvsFlush, Tls
from xlvs.model.desired import Timeouts
from xlvs.model.notification import Command, Fifo, Mail


def test_an_empty_file_is_an_empty_configuration():
    assert read("") == Configuration()
    assert read("# nothing\n\n") == Configuration()


def test_all_that_is_kept():
    text = """global_defs {
    router_id LVS_1
    notification_email {
        a@example b@example
        "C <c@example>"
    }
    notification_email_from lvs@example
    smtp_server mail.example 587
    smtp_helo_name me
    smtp_connect_timeout 9
    smtp_alert on
    smtp_alert_vrrp off
    smtp_alert_checker on
    no_email_faults
    checker_log_all_failures
    startup_script "/bin/up x" me us
    startup_script_timeout 5
    shutdown_script /bin/down
    script_user me us
    enable_script_security
    notify_fifo /run/a me us
    notify_fifo_script /bin/a
    vrrp_notify_fifo /run/b
    lvs_notify_fifo /run/c
    lvs_notify_fifo_script "/bin/c d"
    vrrp_notify_priority_changes on
    fifo_write_vrrp_states_on_reload
    rs_init_notifies
    lvs_timeouts tcp 100 tcpfin 0 udp 30
    lvs_flush
    lvs_flush_on_stop VS
    vrrp_rt_priority 50
    vrrp_no_swap
    vrrp_priority -5
}
SSL {
    ca /etc/ca.pem
    certificate /etc/c.pem
    key /etc/k.pem
    password "a b"
}
"""
    found = read(text)
    assert found.globals == Global(
        router_id="LVS_1",
        mail=Mail(
            sender="lvs@example",
            to=("a@example", "b@example", "C <c@example>"),
            server="mail.example",
            port=587,
            helo_name="me",
            timeout=9,
        ),
        smtp_alert=True,
        smtp_alert_vrrp=False,
        smtp_alert_checker=True,
        no_email_faults=True,
        checker_log_all_failures=True,
        startup_script=Command(("/bin/up", "x"), "me", "us", 5),
        shutdown_script=Command(("/bin/down",), timeout=10),
        script_user="me",
        script_group="us",
        enable_script_security=True,
        notify_fifo=Fifo("/run/a", Command(("/bin/a",)), "me", "us"),
        vrrp_notify_fifo=Fifo("/run/b"),
        lvs_notify_fifo=Fifo("/run/c", Command(("/bin/c", "d"))),
        notify_priority_changes=True,
        fifo_states_on_reload=True,
        rs_init_notifies=True,
        timeouts=Timeouts(tcp=100, udp=30),
        lvs_flush=True,
        lvs_flush_on_stop=LvsFlush.SERVICES,
        vrrp_rt_priority=50,
        vrrp_no_swap=True,
        vrrp_priority=-5,
    )
    assert found.tls == Tls(
        ca="/etc/ca.pem",
        certificate="/etc/c.pem",
        key="/etc/k.pem",
        password="a b",  # noqa: S106  # of a test
    )
    assert found.remarks == ()


def test_several_blocks_add_up():
    text = "global_defs {\n router_id a\n}\nglobal_defs {\n lvs_flush_onstop\n}\n"
    assert read(text).globals == Global(router_id="a", lvs_flush_on_stop=LvsFlush.ALL)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("router_id", "2:11: router_id wants a name"),
        ("smtp_server a b", "a port is 1 to 65535"),
        ("smtp_alert maybe", "smtp_alert is on, true, yes, off, false, no, not 'maybe'"),
        ("lvs_timeouts", "lvs_timeouts wants tcp N"),
        ("lvs_timeouts icmp 3", "lvs_timeouts has tcp, tcpfin, udp, not 'icmp'"),
        ("lvs_timeouts tcp x", "tcp is a number"),
        ("lvs_flush_on_stop RS", "followed by VS or nothing"),
        ("startup_script_timeout 0", "a number from 1 to 1000"),
        ("startup_script '/bin/x", "the closing ' is missing"),
        ("vrrp_version 1", "a number from 2 to 3"),
        ("vrrp_mcast_group4 ff02::12", "vrrp_mcast_group4 is an IPv4 address"),
        ("vrrp_mcast_group6 ff05::12", "is not link-local"),
        ("vrrp_priority 20", "a number from -20 to 19"),
        ("vrrp_garp_extra_if all 90", "keyword 'vrrp_garp_extra_if' is not supported"),
        ("reload_time_file /x", "use a systemd timer"),
        ("vrrp_notify_fifo_script /x", "is there without vrrp_notify_fifo"),
        ("notify_fifo /a\nlvs_notify_fifo /a", "are the same FIFO /a"),
        ("notify_fifo /a\nnotify_fifo /b", "notify_fifo is said twice"),
    ],
)
def test_what_cannot_be_said(line, problem):
    assert any(problem in each for each in problems(f"global_defs {{\n {line}\n}}"))


WORDS = "0123456789abcdef"


def test_a_secret_of_syn_cookies_is_read_from_its_file():
    text = "global_defs {\n syn_cookie_secret_file /etc/s\n}"
    assert read(text, {"/etc/s": f"{WORDS}\n"}).globals.syn_cookie_secrets == (WORDS.encode(),)
    two = read(text, {"/etc/s": f"{WORDS}\n{WORDS[::-1]}\n"}).globals.syn_cookie_secrets
    assert two == (WORDS.encode(), WORDS[::-1].encode())
    assert read("global_defs {\n}").globals.syn_cookie_secrets == ()


@pytest.mark.parametrize(
    ("line", "files", "words"),
    [
        ("", {}, "2:24: syn_cookie_secret_file wants the path of a file"),
        (" etc/s", {}, "2:25: syn_cookie_secret_file wants the whole path of a file, not 'etc/s'"),
        (" /etc/s", {}, "2:25: /etc/s cannot be read: No such file or directory"),
        (" /etc/s", {"/etc/s": "short"}, "2:25: /etc/s: secret 1 has 5 bytes, 16 at least"),
        (
            " /etc/s\n syn_cookie_secret_file /etc/s",
            {"/etc/s": WORDS},
            "3:2: syn_cookie_secret_file is said twice",
        ),
    ],
)
def test_a_wrong_secret_of_syn_cookies(line, files, words):
    found = problems(f"global_defs {{\n syn_cookie_secret_file{line}\n}}", files)
    assert [each[: len(words)] for each in found] == [words]
