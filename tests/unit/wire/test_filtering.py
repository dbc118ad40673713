# SPDX-License-Identifier: Apache-2.0
"""Connections as a request names them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import hypothesis.strategies as st
import pytest
from hypothesis import given

from xlvs.model.connection import ConnectionFilter, Side, Templates
from xlvs.model.problem import Problem
from xlvs.model.service import Family, Method, Protocol, ServiceKey
from xlvs.wire.connections import ConnectionFilterText
from xlvs.wire.endpoint import service_name
from xlvs.wire.filtering import connection_filter, refuse_empty


def meant(**words):
    return connection_filter(ConnectionFilterText(**words))


def test_nothing_is_everything():
    assert meant() == ConnectionFilter()
    for words in ({}, {"templates": "only"}):
        with pytest.raises(Problem, match="would end every connection"):
            refuse_empty(ConnectionFilterText(**words))
    refuse_empty(ConnectionFilterText(client="::/0"))


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("10.0.0.1", Side(ip_network("10.0.0.1/32"))),
        ("10.0.0.0/8", Side(ip_network("10.0.0.0/8"))),
        ("10.0.0.1:80", Side(ip_network("10.0.0.1/32"), 80)),
        ("fd00::1", Side(ip_network("fd00::1/128"))),
        ("fd00::/16", Side(ip_network("fd00::/16"))),
        ("[fd00::1]:80", Side(ip_network("fd00::1/128"), 80)),
        ("::1", Side(ip_network("::1/128"))),
        (":80", Side(None, 80)),
        (":0", Side(None, 0)),
        ("", Side()),
    ],
)
def test_ends(text, side):
    assert meant(client=text, virtual=text, destination=text) == ConnectionFilter(
        client=side, virtual=side, destination=side
    )


@pytest.mark.parametrize(
    "text",
    ["vip", "10.0.0.1:", ":", ":http", ":65536", "10.0.0.1:80:80", "10.0.0.0/33", "10.0.0.0/8:80",
     "[fd00::1]", "[10.0.0.1]:80", "fe80::1%eth0", "10.0.0.1 ", "/", "1"],
)  # fmt: skip
def test_what_is_no_end(text):
    with pytest.raises(Problem, match="virtual wants ADDRESS, NETWORK/BITS") as e:
        meant(virtual=text)
    assert e.value.where == "virtual"
    assert repr(text) in e.value.message


def test_bits_behind_the_prefix_are_told():
    with pytest.raises(Problem, match="has host bits set"):
        meant(client="10.0.0.1/8")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("tcp/10.0.0.1:80", {"protocol": Protocol.TCP, "address": "10.0.0.1", "port": 80}),
        ("udp/[fd00::1]:53", {"protocol": Protocol.UDP, "address": "fd00::1", "port": 53}),
        ("sctp/10.0.0.1:0", {"protocol": Protocol.SCTP, "address": "10.0.0.1"}),
        ("fwm/7", {"protocol": Protocol.FWM, "fwmark": 7}),
        ("fwm6/4294967295", {"protocol": Protocol.FWM, "fwmark": 2**32 - 1}),
    ],
)
def test_services(text, key):
    if "address" in key:
        key = {**key, "address": ip_address(key["address"])}
    if text.startswith("fwm6"):
        key = {**key, "family": Family.INET6}
    assert meant(service=text).service == ServiceKey(**key)
    assert service_name(ServiceKey(**key)) == text


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1:80", "tcp", "tcp/", "tcp/10.0.0.1", "http/10.0.0.1:80", "tcp/[fe80::1%e]:80",
     "fwm/", "fwm/0x7", "fwm/7/", "fwm/7/inet6", "fwm7/7", "fwm/-1", "fwm/99999999999",
     "fwm/\u0667"],
)  # fmt: skip
def test_what_is_no_service(text):
    with pytest.raises(Problem, match="service wants PROTOCOL/ADDRESS:PORT") as e:
        meant(service=text)
    assert e.value.where == "service"


@pytest.mark.parametrize("mark", ["0", "4294967296"])
def test_a_mark_out_of_range(mark):
    with pytest.raises(Problem, match="is 1 to 4294967295"):
        meant(service=f"fwm/{mark}")


def test_words():
    found = meant(protocol="tcp,udp", method="nat", state="SYN_RECV,UDP", templates="only")
    assert found.protocols == {Protocol.TCP, Protocol.UDP}
    assert found.methods == {Method.NAT}
    assert found.states == {"SYN_RECV", "UDP"}
    assert found.templates is Templates.ONLY


@pytest.mark.parametrize(("field", "known"), [("protocol", "tcp, udp"), ("method", "nat, dr")])
@pytest.mark.parametrize("text", ["tcp,", "masq", ",", "TCP", "nat;dr"])
def test_words_that_there_are_not(field, known, text):
    with pytest.raises(Problem, match=f"{field} wants some of {known}") as e:
        meant(**{field: text})
    assert e.value.where == field


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("service", "destination", "client", "virtual", "protocol", "state", "method"),
            st.text(st.sampled_from("tcpfwm/.:[]01f,%-_ \u0667"), max_size=12),
        ),
    )
)
def test_any_text_is_meant_or_refused(words):
    try:
        found = meant(**words)
    except Problem as problem:
        where = problem.where
    else:
        where = None
        assert found == ConnectionFilter() or any(words.values())
    assert where is None or words[where]
