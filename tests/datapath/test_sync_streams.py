# SPDX-License-Identifier: Apache-2.0
"""Connection sync of connections whose segments are changed: another director goes on exactly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath import streams
from xlvs.datapath.held import Held, to_take
from xlvs.datapath.records import Method, State, StreamFlag, StreamSyn, SyncedResult

from . import test_proxy_header as proxy
from . import test_syn_proxy as syn
from .test_forwarding import FAMILIES, one_server
from .test_sync import Teller, establish, forget
from .world import Out, World, right

BOTH = pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT], ids=lambda m: m.name.lower())


@pytest.fixture
def teller(director: World) -> Iterator[Teller]:
    made = Teller(director)
    yield made
    made.close()


def travelled(teller: Teller, held: Held) -> r.Synced:
    """What another director takes."""
    stream = teller.maps.stream(held)
    as_there = stream and streams.to_take(streams.as_it_travels(stream))
    return to_take(held, stream=as_there)


def there(director: World) -> list[r.Stream]:
    codec = director.layout.codec(r.Stream)
    return [codec.unpack(raw) for _, raw in director.path.map("streams").items()]


def handed_over(director: World, teller: Teller) -> Held:
    """All that was told so far is another director's now, and all that was here is gone."""
    held = teller.told()[-1]
    record = travelled(teller, held)
    forget(director)
    assert teller.maps.take([record]) == [SyncedResult.OPENED]
    return held


def numbers(out: Out) -> tuple[int, int]:
    assert out.verdict == "send", out.reason
    assert right(out.packet)
    return out.packet[TCP].seq, out.packet[TCP].ack


def stamps(packet: Packet) -> tuple[int, int]:
    found: tuple[int, int] = syn.options_of(packet)["Timestamp"]  # type: ignore[assignment]
    return found


@FAMILIES
@BOTH
def test_translated_numbers_go_on(
    director: World, teller: Teller, v6: bool, method: Method
) -> None:
    syn.proxied(director, method, v6)
    made = syn.opened(director, method, v6)
    stamped = [("NOP", None), ("NOP", None), ("Timestamp", (900, made.stamp + 5))]
    inward = syn.client(v6, "A", syn.ISN + 1, made.cookie + 8, stamped)
    theirs = [("NOP", None), ("NOP", None), ("Timestamp", (5010, 900))]
    port = made.local_port
    outward = syn.server(method, v6, port, "A", syn.SERVER_ISN + 8, syn.ISN + 1, theirs)
    before = director.client(inward), director.server(outward)
    handed_over(director, teller)
    after = director.client(inward), director.server(outward)
    for one, other in zip(before, after, strict=True):
        assert numbers(one) == numbers(other)
        assert stamps(one.packet) == stamps(other.packet)
        assert one.packet[TCP].window == other.packet[TCP].window
        assert one.reason == other.reason
    assert numbers(after[0])[1] == syn.SERVER_ISN + 8
    assert stamps(after[0].packet) == (900, 5005)


@FAMILIES
def test_a_server_that_answers_the_other_director(
    director: World, teller: Teller, v6: bool
) -> None:
    """The acknowledgement became a SYN there, and the answer to it comes here."""
    syn.proxied(director, Method.NAT, v6)
    said = syn.answered(director, v6)
    syn.acknowledged(director, v6, said)
    held = handed_over(director, teller)
    assert held.state is State.SYN_RECV
    packet = syn.server(Method.NAT, v6, 40000, "SA", syn.SERVER_ISN, syn.ISN + 1, [("MSS", 1460)])
    to_client, to_server = syn.answer(director, packet)
    assert (to_client[TCP].seq, to_client[TCP].ack) == (said[TCP].seq + 1, syn.ISN + 1)
    assert (to_server[TCP].seq, to_server[TCP].ack) == (syn.ISN + 1, syn.SERVER_ISN + 1)


@FAMILIES
def test_the_servers_answer_is_told_although_no_state_changes(
    director: World, teller: Teller, v6: bool
) -> None:
    syn.proxied(director, Method.NAT, v6)
    syn.acknowledged(director, v6, syn.answered(director, v6))
    (held,) = teller.told()
    first = teller.maps.stream(held)
    assert first is not None
    assert not first.syn & StreamSyn.ANSWERED
    packet = syn.server(Method.NAT, v6, 40000, "SA", syn.SERVER_ISN, syn.ISN + 1, [("MSS", 1460)])
    syn.answer(director, packet)
    (held,) = teller.told()
    stream = teller.maps.stream(held)
    assert stream is not None
    assert stream.syn & StreamSyn.ANSWERED


@FAMILIES
@BOTH
def test_shifted_streams_go_on(director: World, teller: Teller, v6: bool, method: Method) -> None:
    proxy.service(director, v6, "v2", method)
    header = len(proxy.opened(director, v6, "v2"))
    # The server has not said yet that it has the header: the other director puts it in again.
    handed_over(director, teller)
    data = proxy.segment(v6, "PA", 1, proxy.STAMPS, b"hello")
    assert proxy.sent(director, data) == (1, proxy.STAMPS, proxy.wanted(v6, "v2") + b"hello")
    assert proxy.answered(director, v6, "A", 1 + header + 5)[0] == 6
    # Told at once: numbers that are far from the first one are shifted all the same.
    (record,) = there(director)
    assert record.flags & StreamFlag.HEADED
    handed_over(director, teller)
    far = proxy.segment(v6, "PA", 3_000_000_000, proxy.STAMPS, b"x")
    assert proxy.sent(director, far)[0] == 3_000_000_000 + header


def test_what_is_known_is_brought_up_to_date(director: World, teller: Teller) -> None:
    proxy.service(director, v6=False)
    header = len(proxy.opened(director, v6=False, version="v2"))
    (held,) = teller.told()[-1:]
    young = travelled(teller, held)
    proxy.answered(director, False, "A", 1 + header)
    grown = travelled(teller, held)
    forget(director)
    assert teller.maps.take([young]) == [SyncedResult.OPENED]
    assert not there(director)[0].flags & StreamFlag.HEADED
    assert teller.maps.take([grown]) == [SyncedResult.UPDATED]
    assert there(director)[0].flags & StreamFlag.HEADED


def test_another_one_of_the_same_ports(director: World, teller: Teller) -> None:
    """With a stream where the old one had none, and the other way round."""
    one_server(director, Method.NAT, v6=False, udp=False)
    establish(director)
    (held,) = teller.told()
    plain = to_take(held)
    stream = r.Stream(flags=int(r.ServiceFlag.PROXY_V2), header=28, client_isn=7)
    shifted = to_take(held, stream=stream)
    forget(director)
    assert teller.maps.take([plain]) == [SyncedResult.OPENED]
    assert there(director) == []
    assert teller.maps.take([shifted]) == [SyncedResult.OPENED]
    (found,) = director.connections()
    assert found.word & r.ConnectionFlag.SPECIAL
    assert there(director) == [stream]
    assert teller.maps.take([plain]) == [SyncedResult.UPDATED]
    assert there(director) == []
    assert director.load(0) == (1, 0)


def test_of_one_that_ends_nothing_is_left(director: World, teller: Teller) -> None:
    service, _ = one_server(director, Method.NAT, v6=False, udp=False)
    establish(director)
    (held,) = teller.told()
    second = director.destination(service, 2, Method.NAT)
    stream = r.Stream(flags=int(r.ServiceFlag.PROXY_V2), header=28)
    forget(director)
    assert teller.maps.take([to_take(held, stream=stream)]) == [SyncedResult.OPENED]
    moved = to_take(held._replace(destination=second))
    assert teller.maps.take([moved]) == [SyncedResult.OPENED]
    assert [each.destination for each in director.connections()] == [second]
    assert there(director) == []
