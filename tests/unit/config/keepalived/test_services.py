# SPDX-License-Identifier: Apache-2.0
"""virtual_server, real_server, groups of both kinds of addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.config.keepalived.reading import problems, read, remarks, service, with_service

from xlvs.model.checker import TcpCheck, VirtualService
from xlvs.model.notification import Command
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Family,
    Method,
    Protocol,
    Service,
    ServiceKey,
    ServiceTimeouts,
    TunnelType,
)


def test_defaults_are_keepalived_s():
    text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.1.1 8080 {\n }\n}"
    (found,) = read(text).services
    assert found.service == Service(
        key=ServiceKey(protocol=Protocol.UDP, address=ip_address("10.0.0.1"), port=80),
        scheduler="wlc",
    )
    assert found.real_servers[0].destination == Destination(
        key=DestinationKey(address=ip_address("10.0.1.1"), port=8080), method=Method.NAT, weight=1
    )
    assert (found.quorum, found.hysteresis, found.alpha, found.omega) == (1, 0, False, False)
    assert found.delay_loop == 60
    # keepalived says each of these, too.
    assert remarks(text) == [
        "1:1: no protocol is said: it is UDP, as in keepalived",
        "1:1: no lvs_sched is said: it is wlc",
        "1:1: no lvs_method is said: it is NAT",
    ]


def test_all_that_a_service_says():
    found = service(
        """
    lb_algo mh
    mh-port
    mh-fallback
    persistence_timeout
    persistence_granularity 255.255.255.0
    persistence_engine sip
    alpha
    omega
    quorum 3
    hysteresis 1
    quorum_up "/bin/up a 'b c'" me us
    quorum_down /bin/down
    weight 5
    virtualhost www.example
    smtp_alert off
    delay_loop 7.5
    inhibit_on_failure
    slow_start 30
    timeout_tcp 100
    timeout_tcp_fin 10
    sorry_server 10.9.9.9 8080
    sorry_server_inhibit
    sorry_server_lvs_method TUN type gre csum
"""
    )
    assert found.service == Service(
        key=ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80),
        scheduler="mh",
        flags=3,
        persistence_timeout=360,
        netmask="255.255.255.0",
        persistence_engine="sip",
        timeouts=ServiceTimeouts(tcp=100, tcp_fin=10),
    )
    assert (found.alpha, found.omega, found.quorum, found.hysteresis) == (True, True, 3, 1)
    assert found.quorum_up == Command(("/bin/up", "a", "b c"), "me", "us")
    assert found.quorum_down == Command(("/bin/down",))
    assert (found.virtualhost, found.smtp_alert, found.delay_loop) == ("www.example", False, 7.5)
    assert found.sorry_server == Destination(
        # a tunnel does not translate ports
        key=DestinationKey(address=ip_address("10.9.9.9"), port=80),
        method=Method.TUN,
        tunnel_type=TunnelType.GRE,
        tunnel_flags=1,
    )
    (server,) = found.real_servers
    assert found.sorry_server_inhibit
    assert server.inhibit_on_failure
    assert (server.destination.weight, server.slow_start) == (5, 30)


def test_a_real_server_says_otherwise():
    found = service(
        "    inhibit_on_failure\n    weight 5\n",
        """
        weight 0
        lvs_method TUN type gue port 6080 remcsum
        inhibit_on_failure off
        uthreshold 20
        lthreshold 10
        notify_up /bin/up
        notify_down "/bin/down x"
        virtualhost other
        smtp_alert
""",
    ).real_servers[0]
    assert found.destination == Destination(
        key=DestinationKey(address=ip_address("10.0.1.1"), port=80),
        method=Method.TUN,
        weight=0,
        upper_threshold=20,
        lower_threshold=10,
        tunnel_type=TunnelType.GUE,
        tunnel_port=6080,
        tunnel_flags=2,
    )
    assert not found.inhibit_on_failure
    assert found.smtp_alert
    assert (found.notify_up, found.notify_down) == (
        Command(("/bin/up",)),
        Command(("/bin/down", "x")),
    )


def test_a_port_follows_the_service_without_nat():
    text = """virtual_server 10.0.0.1 80 {
    lvs_sched rr
    lvs_method DR
    protocol TCP
    real_server 10.0.1.1 8080 {
    }
    real_server 10.0.1.2 {
    }
}"""
    (found,) = read(text).services
    assert [each.destination.key.port for each in found.real_servers] == [80, 80]
    assert remarks(text) == [
        "5:26: DR does not translate ports: 8080 has no effect, it is the service's 80"
    ]


def test_a_mark_has_no_port_and_the_family_of_its_servers():
    text = """virtual_server fwmark 7 {
    lvs_sched rr
    lvs_method DR
    real_server fd00::1 80 {
    }
}"""
    (found,) = read(text).services
    assert found.service.key == ServiceKey(protocol=Protocol.FWM, fwmark=7, family=Family.INET6)
    assert found.real_servers[0].destination.key.port == 0
    assert remarks(text) == ["4:25: the service is a fwmark's: the server's port has no effect"]


def test_a_group_is_a_service_for_each_member_with_shared_servers():
    text = """virtual_server_group G {
    10.0.0.1 80
    10.0.0.3-5 81
    10.0.0.8-10.0.0.9 80
    10.0.1.0/31 80
    fwmark 4
}
virtual_server group G {
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    real_server 10.9.0.1 80 {
        TCP_CHECK {
        }
    }
}"""
    found = read(text).services
    keys = [
        (str(each.service.key.address or ""), each.service.key.port, each.service.key.fwmark)
        for each in found
    ]
    assert keys == [
        ("10.0.0.1", 80, 0),
        *((f"10.0.0.{n}", 81, 0) for n in (3, 4, 5)),
        *((f"10.0.0.{n}", 80, 0) for n in (8, 9)),
        *((f"10.0.1.{n}", 80, 0) for n in (0, 1)),
        ("", 0, 4),
    ]
    assert {each.group for each in found} == {"G"}
    assert {each.name for each in found} == {"group G"}
    assert found[0].real_servers is found[-2].real_servers
    assert len({id(each.real_servers[0].checks) for each in found}) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("10.0.0.5-1 80", "ends before it begins"),
        ("10.0.0.5-300 80", "no end of a range"),
        ("10.0.0.0/8 80", "more than 65536"),
        ("10.0.0.1/31 80", "is no network"),
        ("10.0.0.1-fd00::1 80", "no end of a range"),
        ("fd00::1-10000 80", "no end of a range"),
        ("fd00::1-fe00::1 80", "more than 65536"),
        ("10.0.0.1 http", "a port is 1 to 65535, not 'http'"),
        ("www.example 80", "names of hosts are not looked up"),
        ("fwmark 0", "fwmark is a number from 1"),
        ("fwmark 1 inet4", "inet or inet6"),
    ],
)
def test_members_of_a_group_that_cannot_be(line, problem):
    (found,) = problems(f"virtual_server_group G {{\n  {line}\n}}")
    assert found.startswith("2:")
    assert problem in found


def test_members_share_checks_of_the_server_s_own_port():
    server = "        TCP_CHECK {\n        }"
    group = "virtual_server_group G {\n 10.0.0.1 81\n fwmark 3\n}\n"
    text = group + with_service("    lb_kind DR", server, "group G")
    first, second = read(text).services
    assert [each.real_servers[0].destination.key.port for each in (first, second)] == [81, 0]
    assert first.real_servers[0].checks == second.real_servers[0].checks
    assert first.real_servers[0].checks[0].connect_port == 80


def test_ipv6_ranges_count_in_hexadecimal():
    text = "virtual_server_group G {\n ae00::9-b 80\n}\n" + with_service(key="group G").replace(
        "10.0.1.1", "fd00::1"
    )
    assert [str(each.service.key.address) for each in read(text).services] == [
        "ae00::9",
        "ae00::a",
        "ae00::b",
    ]


def test_fullnat_of_the_forks():
    text = """local_address_group L {
    10.8.0.1
    10.8.0.3-4
    10.8.0.7 dev eth1
}
virtual_server 10.0.0.1 80 {
    lb_algo rr
    lb_kind FNAT
    protocol TCP
    laddr_group_name L
    establish_timeout 60
    real_server 10.0.1.1 80 {
    }
}"""
    (found,) = read(text).services
    assert found.real_servers[0].destination.method is Method.FULLNAT
    assert [str(each) for each in found.service.local_addresses] == [
        *("10.8.0.1", "10.8.0.3", "10.8.0.4", "10.8.0.7")
    ]
    assert found.service.timeouts.tcp == 60
    assert problems(text.replace("    laddr_group_name L\n", "")) == [
        "11:5: FNAT needs local addresses: laddr_group_name in the virtual server"
    ]
    assert "there is no local_address_group 'M'" in problems(text.replace("name L", "name M"))[0]


def test_stateless_services_are_ours():
    text = with_service("    lb_algo mh\n    lb_kind DR\n    stateless\n")
    assert read(text).services[0].service.stateless
    assert "a stateless service needs a scheduler" in problems(text.replace("mh", "wlc"))[0]
    assert "forwards by dr and tun only" in problems(text.replace("lb_kind DR", "lb_kind NAT"))[0]


def test_toa_is_ours():
    text = with_service("    lb_kind FNAT\n    laddr_group_name L\n    toa\n")
    text = "local_address_group L {\n    10.8.0.1\n}\n" + text
    assert read(text).services[0].service.toa
    assert not read(text.replace("toa\n", "toa no\n")).services[0].service.toa
    assert "toa is for fullnat: by nat" in problems(text.replace("FNAT", "NAT"))[0]


def test_the_proxy_protocol():
    found = service("    lb_kind NAT\n    proxy_protocol v2 id\n").service
    assert (found.proxy_protocol.value, found.proxy_tlvs) == ("v2", ("id",))
    assert service("    lb_kind NAT\n    proxy_protocol v1\n").service.proxy_protocol.value == "v1"
    assert not service("    lb_kind NAT\n    proxy_protocol disable\n").service.proxy_protocol
    assert (
        "by dr the answers" in problems(with_service("    lb_kind DR\n    proxy_protocol v1\n"))[0]
    )
    wrong = problems(with_service("    lb_kind NAT\n    proxy_protocol v3\n"))[0]
    assert "v1" in wrong
    assert "v3" in wrong
    assert "mark" in problems(with_service("    lb_kind NAT\n    proxy_protocol v2 marks\n"))[0]


@pytest.mark.parametrize(
    ("lines", "mode"), [("syn_proxy", "on"), ("syn_proxy auto", "auto"), ("syn_proxy off", "off")]
)
def test_syn_proxy_is_on_without_a_word(lines, mode):
    text = with_service(f"    lb_kind NAT\n    {lines}\n")
    assert read(text).services[0].service.syn_proxy.mode.value == mode


def test_what_syn_proxy_promises():
    lines = "syn_proxy_mss 1300\n syn_proxy_window_scale 4\n syn_proxy_sack no\n"
    lines += " syn_proxy_timestamps no\n syn_proxy_threshold 7\n"
    text = with_service(f"    lb_kind NAT\n    syn_proxy\n {lines}\n")
    found = read(text).services[0].service.syn_proxy
    assert (found.mss, found.window_scale, found.threshold) == (1300, 4, 7)
    assert not found.sack
    assert not found.timestamps


def test_syn_proxy_needs_answers_by_the_director():
    text = with_service("    lb_kind DR\n    syn_proxy auto\n")
    assert "SYN proxy needs nat or fullnat: by dr" in problems(text)[0]


def test_flags_of_a_scheduler_count_wherever_they_stand():
    assert service("    sh-port\n    lvs_sched sh").service.flags == 2
    text = with_service("    sh-port\n    flag-3")
    assert read(text).services[0].service.flags == 4
    assert remarks(text) == ["5:5: sh-port is for the scheduler sh: no effect"]


def test_a_service_without_a_port_is_persistent():
    text = with_service(key="10.0.0.1")
    assert read(text).services[0].service.persistence_timeout == 360
    assert remarks(text) == ["1:1: no port is said: the service is persistent, for 360 s"]


@pytest.mark.parametrize(
    ("quorum", "hysteresis", "made", "said"),
    [
        ("2", "0", (1, 0), ["quorum 2 is above the weight of all servers: it is 1"]),
        ("1", "1", (1, 0), ["hysteresis 1 is not below quorum 1: it is 0"]),
    ],
)
def test_a_quorum_that_cannot_be_reached_is_lowered(quorum, hysteresis, made, said):
    text = with_service(f"    quorum {quorum}\n    hysteresis {hysteresis}")
    (found,) = read(text).services
    assert (found.quorum, found.hysteresis) == made
    assert remarks(text) == [f"1:1: {each}" for each in said]


def test_without_real_servers_there_is_no_service():
    text = "virtual_server 10.0.0.1 80 {\n  protocol TCP\n}"
    assert read(text).services == ()
    assert remarks(text) == ["1:1: the virtual server has no real servers and is left out"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("lvs_sched xx", "5:15: lvs_sched is one of"),
        ("lvs_sched", "5:14: lvs_sched wants one of"),
        ("lvs_method NOT", "5:16: lvs_method is one of NAT, DR, TUN"),
        ("lvs_method TUN type gue", "of type gue has a port"),
        ("lvs_method TUN csum", "of type ipip has no checksum"),
        ("lvs_method DR port 4", "'port' is for TUN only"),
        ("protocol ICMP", "protocol is one of TCP, UDP, SCTP"),
        ("quorum 0", "quorum is a number from 1"),
        ("persistence_timeout x", "5:25: persistence_timeout is a number from 0"),
        ("persistence_timeout 9999999", "is a number from 0 to 2678400"),
        ("persistence_granularity 255.255", "an IPv4 mask such as"),
        ("persistence_granularity 24", "the netmask is an IPv4 mask"),
        ("delay_loop x", "delay_loop is"),
        ("ip_family inet6", "ip_family inet6 is not that of the address"),
        ("quorum_up", "quorum_up wants a command"),
        ("quorum_up /bin/x a b c", "put the command with its arguments in quotes"),
        ("syn_proxy maybe", "5:15: syn_proxy is one of off, on, auto, not 'maybe'"),
        ("syn_proxy_mss 100", "5:19: syn_proxy_mss is a number from 536 to 65495"),
        ("syn_proxy_window_scale 15", "is a number from 0 to 14"),
        ("sorry_server fd00::1 80", "the sorry server is of another family"),
        ("timeout_udp 5", "tcp services have no use for the time-out udp"),
        ("real_server 10.0.1.1 80 {\n}", "the same real server is at"),
        ("real_server fd00::1 80 {\n}", "only TUN forwards across"),
        ("real_server 10.0.1.1 99999 {\n}", "a port is 1 to 65535"),
        ("real_server 224.0.0.1 80 {\n}", "it is no unicast address"),
        ("real_server web1 80 {\n}", "names of hosts are not looked up"),
        ("real_server {\n}", "real_server wants an address"),
        ("real_server 10.0.1.9 80 {\n weight -1\n}", "6:9: weight is a number from 0"),
        ("real_server 10.0.1.9 80 {\n lthreshold 5\n}", "lthreshold is above uthreshold"),
    ],
)
def test_what_a_service_cannot_say(lines, problem):
    assert any(problem in each for each in problems(with_service(f"    {lines}")))


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("10.0.0.256 80", "1:16: '10.0.0.256' is no IPv4 or IPv6 address"),
        ("www.example 80", "names of hosts are not looked up"),
        ("10.0.0.1 http", "1:25: a port is"),
        ("fwmark x", "1:23: fwmark is a number from 1"),
        ("match SNAT1", "virtual_server match (a fork's SNAT) is not supported"),
        ("group", "virtual_server wants the name of a virtual_server_group"),
        ("group G", "1:22: virtual_server: there is no virtual_server_group 'G'"),
        ("", "virtual_server wants ADDRESS [PORT]"),
    ],
)
def test_what_a_service_cannot_be_called(key, problem):
    assert any(problem in each for each in problems(with_service(key=key)))


def test_what_every_tutorial_has():
    """keepalived complains about each of these, and goes on."""
    text = """! Configuration File for keepalived
virtual_server 172.20.0.119 80{
    delay_loop 6
    lb_algo rr
    lb_kind DR
    nat_mask 255.255.255.0
    persistence_timeout 0
    protocol TCP
    real_server 172.20.0.113 80{
        weight 1
        TCP_CHECK {
            connect_timeout 3
            nb_get_retry 3
        }
    }
}
"""
    (found,) = read(text).services
    assert found.service.persistence_timeout == 0
    assert found.real_servers[0].checks[0].retry == 1
    assert [each.partition(" has no effect")[0] for each in remarks(text)] == [
        "6:5: nat_mask",
        "13:13: nb_get_retry",
    ]


def test_services_are_unique():
    (problem,) = problems(with_service() + with_service())
    assert problem == "10:1: 10.0.0.1 80: the same service is at /etc/k.conf:1:1"
    group = "virtual_server_group G {\n 10.0.0.1 80\n}\n"
    assert "the same service" in problems(group + with_service() + with_service(key="group G"))[0]
    # of another protocol it is another one
    assert len(read(with_service() + with_service().replace("TCP", "UDP")).services) == 2


def test_alerts_of_checkers_follow_the_global_word():
    text = "global_defs {\n smtp_alert on\n smtp_alert_checker off\n}\n"
    (found,) = read(with_service() + text).services
    assert found.smtp_alert is False
    assert found.real_servers[0].smtp_alert is False
    # keepalived"s defaults: of servers, yes; of services, no
    assert service().smtp_alert is False
    assert service().real_servers[0].smtp_alert is True
    assert service("    smtp_alert off").real_servers[0].smtp_alert is True


def test_a_value_is_a_struct_all_through():
    found = service(server="        TCP_CHECK {\n        }")
    assert isinstance(found, VirtualService)
    assert isinstance(found.real_servers[0].checks[0], TcpCheck)
