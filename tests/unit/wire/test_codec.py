# SPDX-License-Identifier: Apache-2.0
"""Messages survive the way to JSON and back; what is no message says where it is wrong."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import msgspec
import pytest

from xlvs.model import edit as edits
from xlvs.model.mark import MarkRule
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Family,
    Method,
    Protocol,
    Service,
    ServiceKey,
)
from xlvs.model.syncing import SyncChannel, SyncRole
from xlvs.wire import codec
from xlvs.wire.messages import ConnectionView, EditRequest, EditResponse, ErrorBody

KEY = ServiceKey(protocol=Protocol.TCP, address=ip_address("fd00:1::1"), port=80)
SERVER = DestinationKey(address=ip_address("192.168.0.1"), port=8080)

RULE = MarkRule(mark=7, mask=0xFF, to=ip_network("10.9.0.0/16"), protocol=6, ports=((80, 81),))

VIEW = ConnectionView(
    protocol=Protocol.UDP,
    state="UDP",
    expires=299,
    client="1.2.3.4",
    client_port=5,
    virtual="10.0.0.1",
    virtual_port=53,
    destination="192.168.0.1",
    destination_port=53,
    method="nat",
)

CHANNEL = SyncChannel(interface="eth0", sync_id=7, group=ip_address("ff02::51"))

EVERY_EDIT = [
    edits.AddService(service=Service(key=KEY, local_addresses=(ip_address("fd00::9"),))),
    edits.EditService(service=Service(key=KEY), keep_local_addresses=True),
    edits.DeleteService(key=KEY),
    edits.AddDestination(service=KEY, destination=Destination(key=SERVER, method=Method.TUN)),
    edits.EditDestination(service=KEY, destination=Destination(key=SERVER, weight=0)),
    edits.DeleteDestination(service=KEY, destination=SERVER),
    edits.AddLocalAddress(service=KEY, address=ip_address("fd00::8")),
    edits.DeleteLocalAddress(service=KEY, address=ip_address("fd00::8")),
    edits.Clear(),
    edits.SetTimeouts(tcp=1, tcp_fin=2, udp=3),
    edits.DrainDestination(service=KEY, destination=SERVER, seconds=5),
    edits.UndrainDestination(service=KEY, destination=SERVER),
    edits.SetSettings(values={"net.ipv4.vs.sloppy_tcp": "1"}),
    edits.Zero(service=KEY),
    edits.Zero(),
    edits.AddMark(rule=RULE, number=3),
    edits.AddMark(rule=MarkRule(mark=1, source=ip_network("fd00::/8"), family=Family.INET6)),
    edits.DeleteMark(rule=RULE),
    edits.DeleteMark(number=7),
    edits.ClearMarks(),
    edits.PutList(name="bad", prefixes=("192.0.2.0/24",)),
    edits.ChangeList(name="bad", add=("192.0.2.1",), remove=("2001:db8::/32",)),
    edits.DeleteList(name="bad"),
    edits.SetPool(name="lips", addresses=(ip_address("10.2.0.1"), ip_address("fd00::1"))),
    edits.DeletePool(name="lips"),
    edits.ChangePool(name="lips", add=(ip_address("10.2.0.2"),), remove=(ip_address("fd00::1"),)),
    edits.StartSync(role=SyncRole.BACKUP, channel=CHANNEL),
    edits.StopSync(role=SyncRole.MASTER),
]


def test_every_edit_comes_back() -> None:
    request = EditRequest(edits=EVERY_EDIT, on_error="continue")
    assert codec.decode(codec.encode(request), EditRequest) == request
    assert {type(each) for each in EVERY_EDIT} == set(edits.AnyEdit.__args__)


def test_a_rule_is_told_in_the_operators_words() -> None:
    text = codec.encode(MarkRule(mark=1, source=ip_network("192.0.2.0/24")))
    assert text == b'{"mark":1,"from":"192.0.2.0/24"}'


@pytest.mark.parametrize("text", ["10.9.0.1/16", "10.9.0.0/33", "nonsense", 7, None, "fd00::/129"])
def test_what_is_no_network_is_refused(text: object) -> None:
    body = codec.encode({"mark": 1, "to": text})
    if text is None:
        assert codec.decode(body, MarkRule).to is None
    else:
        with pytest.raises(msgspec.ValidationError, match=r"\$.to"):
            codec.decode(body, MarkRule)


def test_answers_come_back() -> None:
    answer = EditResponse(results=[None, ErrorBody(code="invalid", message="no", where="/x")])
    assert codec.decode(codec.encode(answer), EditResponse) == answer


def test_lines_are_one_message_each() -> None:
    lines = codec.encode_lines([VIEW, VIEW]).splitlines()
    assert [codec.decode(line, ConnectionView) for line in lines] == [VIEW, VIEW]
    assert codec.decode_lines(b"\n".join(lines) + b"\n", ConnectionView) == [VIEW, VIEW]


@pytest.mark.parametrize(
    "view",
    [
        VIEW,
        msgspec.structs.replace(VIEW, expires=0, client_port=0),
        msgspec.structs.replace(VIEW, client="2001:db8::9", virtual="fd00:1::1", expires=86400),
        msgspec.structs.replace(VIEW, method="fullnat", local="192.168.200.101", local_port=1024),
        msgspec.structs.replace(VIEW, destination_port=0, virtual_port=0),
    ],
)
def test_what_is_around_a_client_makes_a_line(view: ConnectionView) -> None:
    before, after = codec.connection_around(view)
    client = f'"client":"{view.client}","client_port":{view.client_port}'
    line = f"{before}{view.expires},{client}{after}{view.local_port}}}"
    assert codec.decode(line.encode(), ConnectionView) == view


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b'{"edits": [{"op": "nosuch"}]}', "nosuch"),
        (b'{"edits": [{"op": "clear", "more": 1}]}', "more"),
        (b'{"edits": 1}', "edits"),
        (b'{"edits": [{"op":"service.delete","key":{"protocol":"tcp","address":5}}]}', "address"),
        (b'{"edits": [{"op":"service.delete","key":{"protocol":"tcp","address":"x"}}]}', "address"),
        (b"{", "truncated"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, where: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=where):
        codec.decode(text, EditRequest)
