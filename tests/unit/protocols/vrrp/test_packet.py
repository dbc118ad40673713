# SPDX-License-Identifier: Apache-2.0
"""Adverts against bytes that keepalived sent, and against each check's own broken packet."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.protocols.vrrp.packet import (
    AUTH_PASS,
    Advert,
    Form,
    Reason,
    Rejected,
    build,
    parse,
    seal,
)

FACTS = json.loads((Path(__file__).parent / "facts/keepalived.json").read_text())["adverts"]
V4 = ip_address("10.9.0.1"), ip_address("224.0.0.18")
V6 = ip_address("fe80::1"), ip_address("ff02::12")
ADVERT = Advert(3, 7, 100, 1.0, (ip_address("10.9.0.100"),))
SIX = replace(ADVERT, addresses=(ip_address("fe80::100"),))


def sealed(advert, ends=V4, form=Form.MESSAGE):
    return seal(build(advert), *ends, form)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["payload"][:12])
def test_keepalived_is_understood_and_said_again_byte_by_byte(fact):
    ends = ip_address(fact["source"]), ip_address(fact["destination"])
    data = bytes.fromhex(fact["payload"])
    advert = parse(data, *ends)
    assert advert.message == data
    assert seal(build(advert), *ends, advert.form) == data


def test_the_recorded_values():
    found = {
        (advert.version, advert.router_id): advert
        for fact in FACTS
        if fact["payload"][4:6] != "00"
        for advert in [
            parse(
                bytes.fromhex(fact["payload"]),
                ip_address(fact["source"]),
                ip_address(fact["destination"]),
            )
        ]
    }
    assert found[2, 10].interval == 1.0
    assert found[2, 11].auth_type == AUTH_PASS
    assert found[2, 11].auth_data == b"geheim12"
    assert found[3, 12].interval == pytest.approx(0.2)
    assert found[3, 12].form is Form.PSEUDO
    assert found[3, 13].addresses == (ip_address("fe80::9:1"), ip_address("2001:db8:9::1"))


@pytest.mark.parametrize("form", Form)
def test_both_checksums_of_version_3_over_ipv4(form):
    assert parse(sealed(ADVERT, form=form), *V4).form is form


def test_version_2_has_one_checksum():
    advert = replace(ADVERT, version=2)
    assert sealed(advert, form=Form.PSEUDO) == sealed(advert)


def test_an_ipv6_checksum_covers_the_addresses_of_the_ip_header():
    data = sealed(SIX, V6)
    parse(data, *V6)
    with pytest.raises(Rejected) as caught:
        parse(data, ip_address("fe80::2"), V6[1])
    assert caught.value.reason is Reason.CHECKSUM


def broken(at, value, advert=ADVERT):
    data = bytearray(build(advert))
    data[at] = value
    return seal(bytes(data), *V4, Form.MESSAGE)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.LENGTH),
        (sealed(ADVERT)[:7], Reason.LENGTH),
        (sealed(ADVERT)[:-1], Reason.LENGTH),
        (sealed(ADVERT) + b"\0", Reason.LENGTH),
        (broken(3, 2), Reason.LENGTH),
        (broken(0, 0x11), Reason.VERSION),
        (broken(0, 0x41), Reason.VERSION),
        (broken(0, 0x32), Reason.TYPE),
        (broken(1, 0), Reason.ROUTER_ID),
        (broken(5, 0), Reason.INTERVAL),
        (sealed(ADVERT)[:6] + b"\0\0" + sealed(ADVERT)[8:], Reason.CHECKSUM),
    ],
)
def test_every_check_has_its_reason(data, reason):
    with pytest.raises(Rejected) as caught:
        parse(data, *V4)
    assert caught.value.reason is reason


def test_version_2_is_not_for_ipv6():
    with pytest.raises(Rejected) as caught:
        parse(sealed(replace(ADVERT, version=2)), *V6)
    assert caught.value.reason is Reason.VERSION


def test_an_interval_is_rounded_to_what_the_version_can_say():
    assert parse(sealed(replace(ADVERT, interval=0.123)), *V4).interval == pytest.approx(0.12)
    assert parse(sealed(replace(ADVERT, interval=99.0)), *V4).interval == pytest.approx(40.95)
    assert parse(sealed(replace(ADVERT, interval=0.001)), *V4).interval == pytest.approx(0.01)


@given(st.binary(max_size=200), st.sampled_from([V4, V6]))
def test_anything_else_is_rejected_and_nothing_worse(data, ends):
    try:
        advert = parse(data, *ends)
    except Rejected:
        return
    assert advert.router_id


@given(st.sampled_from(FACTS), st.integers(0, 39), st.integers(1, 255))
def test_no_flipped_byte_gets_through(fact, at, bits):
    data = bytearray.fromhex(fact["payload"])
    if at >= len(data):
        return
    data[at] ^= bits
    with pytest.raises(Rejected):
        parse(bytes(data), ip_address(fact["source"]), ip_address(fact["destination"]))
