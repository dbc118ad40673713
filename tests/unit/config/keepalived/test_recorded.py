# SPDX-License-Identifier: Apache-2.0
"""What we read is what keepalived 2.2.7 read: values of its dump of services and checkers.

Recorded once under a kernel with IPVS (its checkers do not run without): ``recorded.json``
has the files and, of ``keepalived -n -l -d``, the lines about values. What is surprising
there stands below as a comment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.unit.config.keepalived.reading import read

from xlvs.model.checker import (
    DnsCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    SmtpHost,
    TcpCheck,
    UdpCheck,
)
from xlvs.model.service import Method, Protocol

CASES = json.loads((Path(__file__).parent / "recorded.json").read_text())

NAMES = {TcpCheck: "TCP_CHECK", MiscCheck: "MISC_CHECK", DnsCheck: "DNS_CHECK"}
NAMES |= {UdpCheck: "UDP_CHECK", PingCheck: "PING_CHECK", SmtpCheck: "SMTP_CHECK"}


def own(services):
    """Services as the file has them: members of a group are one."""
    first = {}
    for each in services:
        first.setdefault(each.name, each)
    return list(first.values())


def on(value):
    return "ON" if value else "OFF"


def forwarding(destination):
    text = destination.method.value.upper()
    if destination.method is Method.TUN:
        text += f", type = {destination.tunnel_type.upper()}, port = {destination.tunnel_port}"
        text += {0: "", 1: ", checksum", 2: ", remote checksum"}[destination.tunnel_flags]
    return f"forwarding method = {text}"


@pytest.mark.parametrize("case", CASES)
def test_services(case):
    ours = own(read("\n".join(case["text"])).services)
    assert len(ours) == len(case["services"])
    for service, theirs in zip(ours, case["services"], strict=True):
        wanted = service.service
        expected = [
            f"lvs_sched = {wanted.scheduler}",
            f"One packet scheduling = {'enabled' if wanted.one_packet else 'disabled'}",
            f"alpha is {on(service.alpha)}",
            f"omega is {on(service.omega)}",
            f"quorum = {service.quorum}, hysteresis = {service.hysteresis}",
            f"delay_loop = {service.delay_loop:.6f}",
        ]
        if wanted.persistence_timeout:
            expected.append(f"persistence timeout = {wanted.persistence_timeout}")
        if wanted.netmask:
            expected.append(f"persistence granularity = {wanted.netmask}")
        protocol = wanted.key.protocol
        expected.append(
            "protocol = none" if protocol is Protocol.FWM else f"protocol = {protocol.upper()}"
        )
        if wanted.scheduler in ("mh", "sh"):
            for name, bit in (("port", 2), ("fallback", 1)):
                state = "enabled" if wanted.flags & bit else "disabled"
                expected.append(f"{wanted.scheduler}-{name} = {state}")
        assert set(expected) <= set(theirs["lines"])
        for server, lines in zip(service.real_servers, theirs["servers"], strict=True):
            key, weight = server.destination.key, server.destination.weight
            low, high = server.destination.lower_threshold, server.destination.upper_threshold
            assert {
                f"RIP = {key.address}, RPORT = {key.port}, WEIGHT = {weight} EFF WEIGHT = {weight}",
                forwarding(server.destination),
                f"connection limit range = {low} -> {high}",
                f"Inhibit on failure is {on(server.inhibit_on_failure)}",
                # a server sends alerts unless told otherwise, a service does not
                f"Using smtp notification = {'yes' if server.smtp_alert else 'no'}",
            } <= set(lines)


def checkers(services):
    for service in own(services):
        for server in service.real_servers:
            for check in server.checks:
                # each host of SMTP_CHECK is a checker of its own
                for host in getattr(check, "hosts", ()) or (None,):
                    yield server.destination.key, check, host


def micro(seconds):
    return f"{round(seconds * 1_000_000)} us"


def common(check):
    return {
        f"Alpha = {'yes' if check.alpha else 'no'}",
        f"Delay loop = {micro(check.delay_loop)}",
        f"Warmup = {micro(check.warmup)}",
        f"Retries = {check.retry}",
        f"Delay before retry = {micro(check.delay_before_retry)}",
        f"Log all failures = {'yes' if check.log_all_failures else 'no'}",
    }


def connection(key, check, host):
    if isinstance(check, MiscCheck):
        return set()
    host = host or SmtpHost()
    address = host.connect_ip or check.connect_ip or key.address
    port = host.connect_port or check.connect_port or key.port
    expected = {f"Dest = [{address}]:{port}"}
    if check.bind_ip:
        expected.add(f"Bind to = [{check.bind_ip}]:{check.bind_port}")
    if check.fwmark:
        expected.add(f"Mark = {check.fwmark}")
    # 2.2.7 forgets the time-out of SMTP_CHECK's hosts: it says 0 there
    if host == SmtpHost():
        expected.add(f"Timeout = {check.connect_timeout:.6f}")
    return expected


def special(check):
    if isinstance(check, HttpCheck):
        return set(_http(check))
    if isinstance(check, MiscCheck):
        argv = (os.path.realpath(check.command.argv[0]), *check.command.argv[1:])
        return {
            "Keepalive method = MISC_CHECK",
            "script = " + " ".join(f"'{word}'" for word in argv),
            f"timeout = {check.timeout:g}",
            f"dynamic = {'YES' if check.dynamic else 'NO'}",
        }
    expected = {f"Keepalive method = {NAMES[type(check)]}"}
    if isinstance(check, DnsCheck):
        # the name "." is shown as nothing
        expected |= {f"Type = {check.type}", f"Name = {check.name}".removesuffix(".").strip()}
    if isinstance(check, UdpCheck):
        expected.add(f"Require reply = {'yes' if check.require_reply else 'no'}")
        if check.payload:
            expected.add(f"Payload len = {len(check.payload)}")
    return expected


def _http(check):
    kind = "SSL_GET" if check.tls else "HTTP_GET"
    yield f"Keepalive method = {kind}, http protocol {check.protocol.value}"
    if check.virtualhost:
        yield f"Virtualhost = {check.virtualhost}"
    for url in check.urls:
        yield f"Checked url = {url.path}"
        if url.digest:
            yield f"digest = {url.digest}"
        # 200-299 unless said, also beside a digest or a regex
        for least, most in url.status_codes:
            yield f"{least}-{most}" if most != least else str(least)
        if url.regex:
            yield f'Regex = "{url.regex}"'
        if url.regex_no_match:
            yield "Regex no match"
        if url.regex_max_offset:
            yield (
                f"Regex min offset = {url.regex_min_offset}, max_offset = {url.regex_max_offset}"
            )


@pytest.mark.parametrize("case", CASES)
def test_checkers(case):
    ours = list(checkers(read("\n".join(case["text"])).services))
    assert len(ours) == len(case["checks"])
    for (key, check, host), theirs in zip(ours, case["checks"], strict=True):
        expected = common(check) | connection(key, check, host) | special(check)
        assert expected - set(theirs) == set()
