# SPDX-License-Identifier: Apache-2.0
"""Which connections a filter means: asked of bytes, and compared with what the fields say."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.unit.datapath_plan.lines import LAYOUT, entry

from xlvs.datapath import records as r
from xlvs.datapath import selection as module
from xlvs.datapath.addresses import packed
from xlvs.datapath.connections import STATES
from xlvs.datapath.places import Shape, parts
from xlvs.datapath.records import Entry4, Entry6, Line4, Line6, Method, State, Transport
from xlvs.datapath.selection import EVERYTHING, Selection
from xlvs.datapath.tables import Tables
from xlvs.model.connection import ConnectionFilter, Side, Templates
from xlvs.model.problem import Problem
from xlvs.model.service import Family, Protocol, ServiceKey
from xlvs.model.service import Method as MethodName

CLIENTS = [ip_address(a) for a in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "192.0.2.1")]
CLIENTS6 = [ip_address(a) for a in ("2001:db8::1", "2001:db8::2", "2001:db8:1::1")]
VIPS, VIPS6 = [ip_address("10.9.0.1"), ip_address("10.9.0.2")], [ip_address("fd00::1")]
IDS = (0, 1, 2, 257, 258, 65537)
WEB = ServiceKey(protocol=Protocol.TCP, address=VIPS[0], port=80)
MARK = ServiceKey(protocol=Protocol.FWM, fwmark=7, family=Family.INET6)
TABLES = Tables(
    services={
        4: r.Service(key=r.ServiceKey(packed(VIPS[0]), 0, 80, 6, 2)),
        5: r.Service(key=r.ServiceKey(fwmark=7, family=10)),
    },
    destinations={
        id_: r.Destination(
            address=packed(ip_address(f"172.16.0.{id_ % 3 + 1}")),
            service=4 if id_ < 256 else 5,
            port=80 + id_ % 2,
        )
        for id_ in IDS
    },
)
PROTOCOLS = {
    Transport.TCP: Protocol.TCP,
    Transport.UDP: Protocol.UDP,
    Transport.SCTP: Protocol.SCTP,
    Transport.IP: Protocol.FWM,
}


@st.composite
def places(draw, *, v6):
    record = entry(
        draw(st.sampled_from(State)),
        method=draw(st.sampled_from(Method)),
        protocol=draw(st.sampled_from(Transport).filter(lambda t: t is not Transport.TEMPLATE))
        | draw(st.sampled_from([0, Transport.TEMPLATE])),
        destination=draw(st.sampled_from(IDS)),
        generation=draw(st.integers(0, 4095)),
    )
    client = draw(st.sampled_from(CLIENTS6 if v6 else CLIENTS))
    vip = draw(st.sampled_from(VIPS6 if v6 else VIPS))
    ports = draw(st.sampled_from((0, 80, 8080, 40000))), draw(st.sampled_from((80, 443, 53)))
    if v6:
        return Entry6(record, packed(client), packed(vip), *ports)
    return Entry4(record, int(client), int(vip), *ports)


networks = st.sampled_from(
    [None, *map(ip_network, ("10.0.0.1", "10.0.0.0/24", "10.0.0.0/23", "0.0.0.0/0", "10.9.0.0/30",
     "2001:db8::/48", "2001:db8::1", "fd00::1"))]
)  # fmt: skip
sides = st.builds(Side, networks, st.sampled_from((None, 80, 40000)))
filters = st.builds(
    ConnectionFilter,
    service=st.sampled_from((None, None, WEB, MARK)),
    destination=st.builds(
        Side, st.sampled_from((None, ip_network("172.16.0.2"))), st.sampled_from((None, None, 80))
    ),
    client=sides,
    virtual=sides,
    protocols=st.frozensets(st.sampled_from(Protocol), max_size=2),
    states=st.frozensets(st.sampled_from(STATES), max_size=3),
    methods=st.frozensets(st.sampled_from(MethodName), max_size=2),
    templates=st.sampled_from(Templates),
)


def of_side(side, address, port):
    return (side.network is None or address in side.network) and side.port in {None, port}


def fits(place, wanted, *, closed):
    """A plain restatement, by the fields."""
    word = place.entry.word
    state, kind = word & 31, word >> 5 & 7
    template = kind >= Transport.TEMPLATE
    method = Method(word >> 16 & 3).name.lower()
    there = TABLES.destinations[place.entry.destination]
    server = ip_address(there.address[-4:])
    service = {4: WEB, 5: MARK}[there.service]
    return (
        wanted.service in {None, service}
        and of_side(wanted.destination, server, there.port)
        and of_side(wanted.client, ip_address(place.src), place.sport)
        and of_side(wanted.virtual, ip_address(place.dst), place.dport)
        and (not wanted.protocols or PROTOCOLS[kind & 3] in wanted.protocols)
        and (not wanted.states or (STATES[state] in wanted.states and not template))
        and (not wanted.methods or (method in wanted.methods and not template))
        and (wanted.templates is Templates.WITH or template is (wanted.templates is Templates.ONLY))
        and (closed or state != State.RESET)
    )


def chosen(found, selection, *, v6):
    if v6:
        lines = [Line6(way=(place,)) for place in found]
    else:
        pairs = zip(found[::2], [*found[1::2], Entry4()], strict=False)
        lines = [Line4(way=pair) for pair in pairs]
    image = memoryview(bytearray(b"".join(map(LAYOUT.pack, lines))))
    shape = Shape.of(LAYOUT, v6=v6)
    asked = parts(image, shape, 0, selection.choose)
    return sorted(at for part in asked for at, _ in part.numbered())


@given(st.data(), filters, st.booleans(), st.booleans())
def test_the_same_as_the_fields_say(data, wanted, v6, closed):
    found = data.draw(st.lists(places(v6=v6), max_size=12))
    selection = Selection.of(wanted, TABLES, closed=closed)
    expected = [i for i, place in enumerate(found) if fits(place, wanted, closed=closed)]
    assert chosen(found, selection, v6=v6) == expected
    if expected:
        assert selection.asks(v6=v6)


@given(st.lists(places(v6=False), max_size=12), st.sampled_from(MethodName), st.booleans())
def test_templates_have_no_method_and_no_state(found, method, by_state):
    asked = {"states": frozenset({STATES[1]})} if by_state else {"methods": frozenset({method})}
    selection = Selection.of(ConnectionFilter(**asked), TABLES)
    for at in chosen(found, selection, v6=False):
        assert found[at].entry.word >> 5 & 7 < Transport.TEMPLATE


@given(st.lists(places(v6=False), max_size=12))
def test_everything(found):
    assert chosen(found, EVERYTHING, v6=False) == list(range(len(found)))


def test_the_bytes_that_are_asked():
    for kind in (Entry4, Entry6):
        offsets = LAYOUT.codec(kind).offsets
        assert offsets["src"] == module._CLIENT
        assert (offsets["dst"] - offsets["src"]) * 2 == offsets["sport"] - offsets["src"]
        assert offsets["dport"] - offsets["sport"] == module._PORT_BYTES
    assert LAYOUT.codec(r.Entry).offsets["destination"] == module._DESTINATION
    assert r.CONNECTION_METHOD_SHIFT == module._METHOD * 8


def test_a_state_that_there_is_not():
    with pytest.raises(Problem, match=r"no state is called 'OPEN'; there are .*ESTABLISHED") as e:
        Selection.of(ConnectionFilter(states=frozenset({"OPEN"})), TABLES)
    assert e.value.where == "state"


def test_a_service_that_there_is_not():
    wanted = ConnectionFilter(service=ServiceKey(protocol=Protocol.UDP, address=VIPS[0], port=80))
    with pytest.raises(Problem, match=r"there is no service udp 10\.9\.0\.1:80") as e:
        Selection.of(wanted, TABLES)
    assert e.value.where == "service"


def test_a_destination_that_nobody_has_fits_nothing():
    wanted = ConnectionFilter(destination=Side(ip_network("192.0.2.7")))
    assert Selection.of(wanted, TABLES).destinations == frozenset()
