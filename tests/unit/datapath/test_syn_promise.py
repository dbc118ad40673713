# SPDX-License-Identifier: Apache-2.0
"""What SYN proxy promises: what is set, else what all servers do, and never too much."""

from __future__ import annotations

import pytest

from xlvs.datapath.records import DestinationLoad, Service, SynOffer, SynSays
from xlvs.datapath.syn_promise import (
    FORGET,
    NOTHING,
    Learnt,
    Promise,
    of_record,
    promise,
    room,
    weakest,
)
from xlvs.model.service import (
    Protocol,
    ProxyProtocol,
    ProxyTlv,
    ServiceKey,
    SynProxy,
    SynProxyMode,
)
from xlvs.model.service import Service as Wanted

HZ = 250
KEY = ServiceKey(protocol=Protocol.TCP)


def service(**more: object) -> Wanted:
    own = more.pop("promise", {})
    return Wanted(key=KEY, syn_proxy=SynProxy(mode=SynProxyMode.ON, **own), **more)


def says(mss: int = 0, scale: int | None = None, no: int = 0, at: int = 0):
    word = mss | no | (0 if scale is None else SynSays.SCALE | scale << 16)
    return DestinationLoad(syn_says=int(word), syn_refused_at=at)


def test_the_weakest_of_the_servers_decides():
    assert weakest([], 0, HZ) == NOTHING
    assert weakest([says(), says()], 5, HZ) == NOTHING, "they have not been asked yet"
    found = weakest([says(1460, 10), says(1400, 7), says(), says(8960, 14)], 5, HZ)
    assert found == Learnt(1400, 7)
    assert not weakest([says(1460, 7), says(no=SynSays.NO_SCALE)], 5, HZ).scaling
    assert not weakest([says(no=SynSays.NO_SACK)], 5, HZ).sack
    assert not weakest([says(no=SynSays.NO_STAMPS)], 5, HZ).timestamps


@pytest.mark.parametrize("at", [0, (1 << 32) - 100])
def test_what_a_server_did_not_do_is_asked_for_again(at):
    server = says(1460, no=SynSays.NO_SACK, at=at)
    soon, late = at + FORGET * HZ - 1, at + FORGET * HZ
    assert not weakest([server], soon % (1 << 32), HZ).sack
    assert weakest([server], late % (1 << 32), HZ) == Learnt(1460)


def test_what_nobody_knows_is_as_with_linux():
    assert promise(service(), 4, [], NOTHING) == Promise(1460, 7, sack=True, timestamps=True)
    assert promise(service(), 6, [], NOTHING).mss == 1440


def test_what_is_set_wins():
    learnt = Learnt(1200, 3, sack=False, timestamps=False)
    assert promise(service(), 4, [], learnt) == Promise(1200, None, sack=False, timestamps=False)
    own = {"mss": 1300, "window_scale": 9, "sack": True, "timestamps": True}
    found = promise(service(promise=own), 4, [1500], learnt)
    assert found == Promise(1300, 9, sack=True, timestamps=True)
    own = {"timestamps": False, "window_scale": 9, "sack": True}
    found = promise(service(promise=own), 4, [], NOTHING)
    assert found == Promise(1460, None, sack=False, timestamps=False), "the stamp remembers them"
    assert promise(service(), 4, [], Learnt(window_scale=5, scaling=False)).window_scale is None


def test_no_segment_is_too_long_for_a_way():
    assert promise(service(), 4, [1500, 1400], NOTHING).mss == 1360
    assert promise(service(promise={"mss": 8960}), 4, [9000], NOTHING).mss == 8960
    assert promise(service(promise={"mss": 8960}), 6, [9000], NOTHING).mss == 8940
    assert promise(service(toa=True), 4, [1500], NOTHING).mss == 1452
    assert promise(service(toa=True), 6, [1500], NOTHING).mss == 1420
    assert promise(service(), 4, [68], NOTHING).mss == 48


def test_the_room_for_what_is_put_in():
    v1, v2 = ({"proxy_protocol": each} for each in (ProxyProtocol.V1, ProxyProtocol.V2))
    longest = "PROXY TCP6 " + 2 * ("ffff:" * 8) + "65535 65535\r\n"
    assert room(service(**v1), 6) == len(longest)
    longest = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"
    assert room(service(**v1), 4) == len(longest)
    assert (room(service(**v2), 4), room(service(toa=True, **v2), 6)) == (28, 72)
    assert room(service(proxy_tlvs=(ProxyTlv.ID,), **v2), 4) == 28 + 19 + 3
    assert room(service(proxy_tlvs=(ProxyTlv.ID, ProxyTlv.MARK), **v2), 4) == 28 + 26
    assert room(service(), 4) == 0


def test_packets_read_the_same():
    for found in (Promise(1452, None, sack=True, timestamps=True), Promise(536, 0, False, True)):
        scale = found.window_scale or 0
        record = Service(syn_mss=found.mss, syn_offers=int(found.offers), syn_scale=scale)
        assert of_record(record) == found
    assert Promise(1, 2, sack=True, timestamps=True).offers == (
        SynOffer.STAMPS | SynOffer.SACK | SynOffer.SCALE
    )
