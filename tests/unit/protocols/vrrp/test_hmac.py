# SPDX-License-Identifier: Apache-2.0
"""``auth_hmac`` against the two packets in the draft's appendix."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.vrrp.builders import instance

from xlvs.model.vrrp import Authentication, AuthType
from xlvs.protocols.vrrp.hmac import Signer, Verifier, window
from xlvs.protocols.vrrp.packet import Form, Reason, Rejected, parse, seal
from xlvs.protocols.vrrp.sending import Sender

KEY = bytes(range(32))
AUTH = Authentication(type=AuthType.HMAC, keys=((1, KEY),), window=5.0)
SEQUENCE = 0x68000000 + 0.5  # seconds since the epoch, as the appendix has it
VECTORS = (
    (
        "3133c80100644402c00002640101000068000000800000001b84bc4e8e43892dc6d98448f8ee2265",
        "198.51.100.10",
        "192.0.2.10",
    ),
    (
        "3133c8010064a2e9fe800000000000000000000000000100"
        "010100006800000080000000"
        "c8c56146ebfd66ee10ec4d8186461b78",
        "fe80::10",
        "fe80::20",
    ),
)


def vector(number):
    text, source, destination = VECTORS[number]
    ends = ip_address(source), ip_address(destination)
    return parse(bytes.fromhex(text), *ends), ends


@pytest.mark.parametrize("number", [0, 1])
def test_the_appendix_is_right(number):
    advert, (source, _) = vector(number)
    Verifier(AUTH, 1.0).check(advert, source, SEQUENCE + 4)


@pytest.mark.parametrize("number", [0, 1])
def test_we_sign_as_the_appendix_does(number):
    advert, ends = vector(number)
    trailer = Signer(AUTH, 1.0).trailer(advert.message, ends[0], SEQUENCE)
    assert trailer == advert.trailer
    again = seal(advert.message, *ends, Form.MESSAGE, trailer)
    assert again.hex() == VECTORS[number][0]


def reason(verifier, advert, source, wall):
    with pytest.raises(Rejected) as caught:
        verifier.check(advert, source, wall)
    return caught.value.reason


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda a: replace(a, trailer=b""), Reason.HMAC_MISSING),
        (lambda a: replace(a, trailer=b"\2" + a.trailer[1:]), Reason.HMAC_MALFORMED),
        (
            lambda a: replace(a, trailer=a.trailer[:2] + b"\1" + a.trailer[3:]),
            Reason.HMAC_MALFORMED,
        ),
        (lambda a: replace(a, trailer=a.trailer[:1] + b"\7" + a.trailer[2:]), Reason.HMAC_KEY),
        (lambda a: replace(a, trailer=a.trailer[:-1] + b"\0"), Reason.HMAC_WRONG),
        (lambda a: replace(a, message=a.message[:2] + b"\xc9" + a.message[3:]), Reason.HMAC_WRONG),
        (lambda a: replace(a, router_id=52), Reason.HMAC_WRONG),
    ],
)
def test_every_refusal_has_its_reason(change, expected):
    advert, (source, _) = vector(0)
    assert reason(Verifier(AUTH, 1.0), change(advert), source, SEQUENCE) is expected


def test_the_source_is_part_of_it():
    advert, _ = vector(0)
    verifier = Verifier(AUTH, 1.0)
    assert reason(verifier, advert, ip_address("198.51.100.11"), SEQUENCE) is Reason.HMAC_WRONG


@pytest.mark.parametrize("late", [6.5, -6.5])
def test_old_and_future_adverts(late):
    advert, (source, _) = vector(0)
    assert reason(Verifier(AUTH, 1.0), advert, source, SEQUENCE + late) is Reason.HMAC_STALE


def test_the_same_advert_again_is_refused():
    advert, (source, _) = vector(0)
    verifier = Verifier(AUTH, 1.0)
    verifier.check(advert, source, SEQUENCE)
    assert reason(verifier, advert, source, SEQUENCE) is Reason.HMAC_REPLAY


def test_monotonic_needs_no_clock():
    advert, (source, _) = vector(0)
    monotonic = Authentication(type=AuthType.HMAC, keys=((1, KEY),), monotonic=True)
    verifier = Verifier(monotonic, 1.0)
    verifier.check(advert, source, SEQUENCE + 1e6)
    assert reason(verifier, advert, source, SEQUENCE) is Reason.HMAC_REPLAY


def test_sequences_grow_within_one_instant_and_over_a_clock_set_back():
    signer = Signer(AUTH, 1.0)
    numbers = [
        int.from_bytes(signer.trailer(bytes(12), ip_address("10.0.0.1"), wall)[4:12], "big")
        for wall in (100.0, 100.0, 98.0)
    ]
    assert numbers == sorted(set(numbers))
    anew = signer.trailer(bytes(12), ip_address("10.0.0.1"), 50.0)
    assert int.from_bytes(anew[4:8], "big") == 50


@pytest.mark.parametrize(
    ("given", "interval", "expected"), [(None, 1.0, 5.0), (None, 10.0, 30.0), (1000.0, 1.0, 300.0)]
)
def test_the_window(given, interval, expected):
    assert window(Authentication(type=AuthType.HMAC, window=given), interval) == expected


def test_one_signature_serves_all_peers():
    peers = (ip_address("10.9.0.7"), ip_address("10.9.0.8"))
    sender = Sender(instance(authentication=AUTH, unicast_peers=peers))
    one, two = sender.datagrams(100, ip_address("10.9.0.2"), 1000.0)
    assert one.payload[-28:] == two.payload[-28:]
    for datagram in (one, two):
        Verifier(AUTH, 1.0).check(
            parse(datagram.payload, datagram.source, datagram.destination),
            datagram.source,
            1000.0,
        )


@given(st.binary(min_size=28, max_size=28), st.floats(0, 2**33))
def test_no_invented_trailer_gets_through(trailer, wall):
    advert, (source, _) = vector(0)
    with pytest.raises(Rejected):
        Verifier(AUTH, 1.0).check(replace(advert, trailer=trailer), source, wall)
