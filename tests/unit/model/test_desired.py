# SPDX-License-Identifier: Apache-2.0
"""What an edit does to what is wanted, and which edits are refused."""

from __future__ import annotations

from ipaddress import ip_address

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from xlvs.model.desired import Bounds, Desired, Draft, Timeouts, apply, apply_all
from xlvs.model.edit import (
    AddDestination,
    AddLocalAddress,
    AddService,
    AnyEdit,
    Clear,
    DeleteDestination,
    DeleteLocalAddress,
    DeleteService,
    EditDestination,
    EditService,
    SetTimeouts,
    Zero,
)
from xlvs.model.problem import Code, Problem
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Family,
    Method,
    Protocol,
    ProxyProtocol,
    ProxyTlv,
    Service,
    ServiceKey,
    SynProxy,
    SynProxyMode,
)


def address(text: str):
    return ip_address(text)


WEB = ServiceKey(protocol=Protocol.TCP, address=address("10.0.0.1"), port=80)
SIX = ServiceKey(protocol=Protocol.TCP, address=address("fd00:1::1"), port=80)
MARK = ServiceKey(protocol=Protocol.FWM, fwmark=7)
MARK_SIX = ServiceKey(protocol=Protocol.FWM, fwmark=7, family=Family.INET6)


def server(host: str, port: int = 80, **more) -> Destination:
    more.setdefault("method", Method.NAT)
    return Destination(key=DestinationKey(address=address(host), port=port), **more)


def wanted(*edits: AnyEdit) -> Desired:
    desired, _ = apply_all(Desired(), edits, "abort")
    return desired


def with_web(*hosts: str) -> Desired:
    adds = [AddDestination(service=WEB, destination=server(host)) for host in hosts]
    return wanted(AddService(service=Service(key=WEB)), *adds)


def listed(desired: Desired, key: ServiceKey = WEB) -> list[str]:
    return [str(each.key.address) for each in desired.services[key][1]]


def test_a_new_destination_is_first_and_an_edited_one_keeps_its_place() -> None:
    desired = with_web("192.168.0.1", "192.168.0.2", "192.168.0.3")
    assert listed(desired) == ["192.168.0.3", "192.168.0.2", "192.168.0.1"]
    edit = EditDestination(service=WEB, destination=server("192.168.0.2", weight=9))
    desired = apply(desired, edit)
    assert listed(desired) == ["192.168.0.3", "192.168.0.2", "192.168.0.1"]
    assert desired.services[WEB][1][1].weight == 9
    gone = DeleteDestination(service=WEB, destination=server("192.168.0.2").key)
    assert listed(apply(desired, gone)) == ["192.168.0.3", "192.168.0.1"]


@pytest.mark.parametrize("method", [Method.DR, Method.TUN])
def test_without_translation_the_port_is_the_services(method: Method) -> None:
    desired = wanted(
        AddService(service=Service(key=WEB)),
        AddDestination(service=WEB, destination=server("192.168.0.1", 81, method=method)),
    )
    assert desired.services[WEB][1][0].key.port == 80


def test_a_mark_has_no_port_to_lend() -> None:
    desired = wanted(
        AddService(service=Service(key=MARK)),
        AddDestination(service=MARK, destination=server("192.168.0.1", 81, method=Method.DR)),
    )
    assert desired.services[MARK][1][0].key.port == 81


def test_an_edited_service_keeps_its_destinations_and_its_local_addresses_if_asked() -> None:
    local = address("10.9.9.9")
    desired = apply(with_web("192.168.0.1"), AddLocalAddress(service=WEB, address=local))
    kept = apply(
        desired,
        EditService(service=Service(key=WEB, scheduler="rr"), keep_local_addresses=True),
    )
    assert kept.services[WEB][0] == Service(key=WEB, scheduler="rr", local_addresses=(local,))
    assert listed(kept) == ["192.168.0.1"]
    reset = apply(desired, EditService(service=Service(key=WEB, scheduler="rr")))
    assert reset.services[WEB][0].local_addresses == ()


def test_timeouts_of_zero_stay() -> None:
    desired = apply(Desired(), SetTimeouts(tcp=1, tcp_fin=0, udp=3))
    assert desired.timeouts == Timeouts(tcp=1, tcp_fin=120, udp=3)


def test_clear_keeps_timeouts() -> None:
    desired = apply(apply(with_web("192.168.0.1"), SetTimeouts(tcp=5)), Clear())
    assert desired == Desired(timeouts=Timeouts(tcp=5))


def test_an_edit_changes_no_earlier_value() -> None:
    before = with_web("192.168.0.1")
    copy = msgspec.structs.replace(before, services=dict(before.services))
    apply(before, DeleteService(key=WEB))
    apply(before, AddDestination(service=WEB, destination=server("192.168.0.2")))
    assert before == copy


OTHER = ServiceKey(protocol=Protocol.UDP, address=address("10.0.0.1"), port=80)

REFUSED: list[tuple[AnyEdit, Code]] = [
    (AddService(service=Service(key=WEB)), Code.SERVICE_EXISTS),
    (AddService(service=Service(key=WEB, scheduler="nosuch")), Code.SERVICE_EXISTS),
    (AddService(service=Service(key=OTHER, scheduler="nosuch")), Code.NO_SUCH_SCHEDULER),
    (AddService(service=Service(key=OTHER, persistence_engine="x")), Code.NO_SUCH_SCHEDULER),
    (AddService(service=Service(key=OTHER, persistence_timeout=-1)), Code.INVALID),
    (AddService(service=Service(key=OTHER, netmask="300.0.0.0")), Code.INVALID),
    (AddService(service=Service(key=OTHER, flags=8)), Code.INVALID),
    (AddService(service=Service(key=OTHER, stateless=True)), Code.NOT_SUPPORTED),
    (AddService(service=Service(key=OTHER, local_addresses=(address("fd00::1"),))), Code.INVALID),
    (AddService(service=Service(key=ServiceKey(protocol=Protocol.FWM))), Code.INVALID),
    (AddService(service=Service(key=ServiceKey(protocol=Protocol.TCP))), Code.INVALID),
    (
        AddService(service=Service(key=msgspec.structs.replace(SIX, family=Family.INET6))),
        Code.INVALID,
    ),
    (EditService(service=Service(key=OTHER, scheduler="nosuch")), Code.NO_SUCH_SERVICE),
    (EditService(service=Service(key=WEB, scheduler="nosuch")), Code.NO_SUCH_SCHEDULER),
    (DeleteService(key=OTHER), Code.NO_SUCH_SERVICE),
    (DeleteService(key=MARK), Code.NO_SUCH_SERVICE),
    (AddDestination(service=OTHER, destination=server("1.1.1.1")), Code.NO_SUCH_SERVICE),
    (AddDestination(service=WEB, destination=server("192.168.0.1")), Code.DESTINATION_EXISTS),
    (
        AddDestination(service=WEB, destination=server("192.168.0.1", 9, method=Method.DR)),
        Code.DESTINATION_EXISTS,
    ),
    (AddDestination(service=WEB, destination=server("1.1.1.1", weight=-1)), Code.OUT_OF_RANGE),
    (AddDestination(service=WEB, destination=server("1.1.1.1", weight=2**31)), Code.OUT_OF_RANGE),
    (
        AddDestination(service=WEB, destination=server("224.0.0.1", lower_threshold=1)),
        Code.OUT_OF_RANGE,
    ),
    (AddDestination(service=WEB, destination=server("1.1.1.1", 65536)), Code.INVALID),
    (EditDestination(service=WEB, destination=server("224.0.0.1")), Code.NO_SUCH_DESTINATION),
    (
        DeleteDestination(service=WEB, destination=server("192.168.0.1", 81).key),
        Code.NO_SUCH_DESTINATION,
    ),
    (AddLocalAddress(service=OTHER, address=address("1.1.1.1")), Code.NO_SUCH_SERVICE),
    (AddLocalAddress(service=WEB, address=address("fd00::1")), Code.INVALID),
    (DeleteLocalAddress(service=WEB, address=address("1.1.1.1")), Code.NO_SUCH_LOCAL_ADDRESS),
    (Zero(service=OTHER), Code.NO_SUCH_SERVICE),
    (SetTimeouts(tcp=-1), Code.INVALID),
    (SetTimeouts(udp=2**31), Code.INVALID),
]


@pytest.mark.parametrize(("edit", "code"), REFUSED)
def test_refused_edits_say_why_and_where(edit: AnyEdit, code: Code) -> None:
    desired = with_web("192.168.0.1")
    with pytest.raises(Problem) as caught:
        apply(desired, edit)
    assert caught.value.code is code
    assert caught.value.message


PROXIED = Service(key=WEB, syn_proxy=SynProxy(mode=SynProxyMode.AUTO))


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        ({"key": OTHER}, "mode", "SYN proxy is for TCP: udp has no SYN"),
        ({"scheduler": "mh", "stateless": True}, "mode", "stateless service has no SYN proxy"),
        ({"one_packet": True}, "mode", "one-packet scheduling has no SYN proxy"),
        ({"syn_proxy": SynProxy(mss=535)}, "mss", "mss is 536 to 65495, not 535"),
        ({"syn_proxy": SynProxy(window_scale=15)}, "window_scale", "is 0 to 14, not 15"),
        ({"syn_proxy": SynProxy(threshold=0)}, "threshold", "threshold is 1 to"),
    ],
)
def test_what_syn_proxy_cannot_be(change: dict, where: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as caught:
        apply(Desired(), AddService(service=msgspec.structs.replace(PROXIED, **change)))
    assert caught.value.where == f"/service/syn_proxy/{where}"


@pytest.mark.parametrize("method", Method)
def test_syn_proxy_needs_answers_by_the_director(method: Method) -> None:
    added = AddDestination(service=WEB, destination=server("192.168.0.1", method=method))
    proxied = wanted(AddService(service=PROXIED))
    without = wanted(AddService(service=Service(key=WEB)), added)
    if method in (Method.NAT, Method.FULLNAT):
        assert apply(proxied, added).services == (
            apply(without, EditService(service=PROXIED)).services
        )
        return
    by_nat = server("192.168.0.1", method=Method.NAT)
    for before, edit in (
        (proxied, added),
        (without, EditService(service=PROXIED)),
        (
            apply(proxied, AddDestination(service=WEB, destination=by_nat)),
            EditDestination(service=WEB, destination=added.destination),
        ),
    ):
        with pytest.raises(Problem, match=f"nat or fullnat: by {method.value} 192.168") as caught:
            apply(before, edit)
        assert caught.value.code is Code.NOT_SUPPORTED


STATELESS = Service(key=WEB, scheduler="mh", stateless=True)


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        ({"scheduler": "wlc"}, "/service/scheduler", r"by its hash alone \(mh\), not wlc"),
        ({"persistence_timeout": 9}, "/service/persistence_timeout", "cannot be persistent"),
        ({"one_packet": True}, "/service/one_packet", "cannot schedule packet by packet"),
    ],
)
def test_a_stateless_service_remembers_nothing(change: dict, where: str, why: str) -> None:
    refused = msgspec.structs.replace(STATELESS, **change)
    for before, edit in (
        (Desired(), AddService(service=refused)),
        (wanted(AddService(service=STATELESS)), EditService(service=refused)),
    ):
        with pytest.raises(Problem, match=why) as caught:
            apply(before, edit)
        assert (caught.value.code, caught.value.where) == (Code.NOT_SUPPORTED, where)


@pytest.mark.parametrize("method", Method)
def test_a_stateless_service_forwards_what_needs_no_table(method: Method) -> None:
    added = AddDestination(service=WEB, destination=server("192.168.0.1", method=method))
    stateless = wanted(AddService(service=STATELESS))
    table = wanted(AddService(service=Service(key=WEB)), added)
    if method in (Method.DR, Method.TUN):
        assert apply(stateless, added).services == (
            apply(table, EditService(service=STATELESS)).services
        )
        return
    by_dr = server("192.168.0.1", method=Method.DR)
    for before, edit in (
        (stateless, added),
        (table, EditService(service=STATELESS)),
        (
            apply(stateless, AddDestination(service=WEB, destination=by_dr)),
            EditDestination(service=WEB, destination=added.destination),
        ),
    ):
        with pytest.raises(Problem, match=f"dr and tun only: {method.value} to 192.168") as caught:
            apply(before, edit)
        assert caught.value.code is Code.NOT_SUPPORTED


TOA = Service(key=WEB, toa=True)


def test_toa_is_an_option_of_tcp() -> None:
    for refused, why in (
        (
            Service(key=ServiceKey(protocol=Protocol.UDP, address=WEB.address, port=53), toa=True),
            "udp has none",
        ),
        (msgspec.structs.replace(STATELESS, toa=True), "by dr and tun only"),
    ):
        with pytest.raises(Problem, match=why) as caught:
            apply(Desired(), AddService(service=refused))
        assert (caught.value.code, caught.value.where) == (Code.NOT_SUPPORTED, "/service/toa")
    assert wanted(AddService(service=Service(key=MARK, toa=True))).services


@pytest.mark.parametrize("method", Method)
def test_toa_is_for_fullnat(method: Method) -> None:
    added = AddDestination(service=WEB, destination=server("192.168.0.1", method=method))
    asked = wanted(AddService(service=TOA))
    plain = wanted(AddService(service=Service(key=WEB)), added)
    if method is Method.FULLNAT:
        assert apply(asked, added).services == apply(plain, EditService(service=TOA)).services
        return
    for before, edit in ((asked, added), (plain, EditService(service=TOA))):
        with pytest.raises(Problem, match=f"by {method.value} 192.168.0.1 sees") as caught:
            apply(before, edit)
        assert caught.value.code is Code.NOT_SUPPORTED


PROXY = Service(key=WEB, proxy_protocol=ProxyProtocol.V2)
UDP = ServiceKey(protocol=Protocol.UDP, address=WEB.address, port=53)


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        ({"key": UDP}, "/service/proxy_protocol", "is for streams of TCP: udp has none"),
        ({"scheduler": "mh", "stateless": True}, "/service/proxy_protocol", "by dr and tun only"),
        (
            {"proxy_protocol": ProxyProtocol.V1, "proxy_tlvs": (ProxyTlv.ID,)},
            "/service/proxy_tlvs",
            "only version 2",
        ),
        (
            {"proxy_protocol": ProxyProtocol.OFF, "proxy_tlvs": (ProxyTlv.ID,)},
            "/service/proxy_tlvs",
            "only version 2",
        ),
        ({"proxy_tlvs": (ProxyTlv.ID, ProxyTlv.ID)}, "/service/proxy_tlvs", "named once"),
        ({"proxy_tlvs": (ProxyTlv.MARK,)}, "/service/proxy_tlvs", "only a mark service"),
    ],
)
def test_where_the_proxy_protocol_cannot_be(change: dict, where: str, why: str) -> None:
    refused = msgspec.structs.replace(PROXY, **change)
    with pytest.raises(Problem, match=why) as caught:
        apply(Desired(), AddService(service=refused))
    assert (caught.value.code, caught.value.where) == (Code.NOT_SUPPORTED, where)


@pytest.mark.parametrize("method", Method)
def test_the_proxy_protocol_is_for_nat_and_fullnat(method: Method) -> None:
    added = AddDestination(service=WEB, destination=server("192.168.0.1", method=method))
    asked = wanted(AddService(service=PROXY))
    plain = wanted(AddService(service=Service(key=WEB)), added)
    if method in (Method.NAT, Method.FULLNAT):
        assert apply(asked, added).services == apply(plain, EditService(service=PROXY)).services
        return
    for before, edit in ((asked, added), (plain, EditService(service=PROXY))):
        with pytest.raises(Problem, match=f"by {method.value} the answers of 192.168.0.1"):
            apply(before, edit)


def test_a_weight_of_zero_remembers_what_it_was() -> None:
    def edited(desired: Desired, **more) -> Desired:
        return apply(desired, EditDestination(service=WEB, destination=server("1.1.1.1", **more)))

    def weights(desired: Desired) -> tuple[int, int]:
        (only,) = desired.services[WEB][1]
        return only.weight, only.weight_before

    desired = wanted(
        AddService(service=Service(key=WEB)),
        AddDestination(service=WEB, destination=server("1.1.1.1", weight=0)),
    )
    assert weights(desired) == (0, 0)
    desired = edited(desired, weight=5)
    assert weights(desired) == (5, 0)
    desired = edited(edited(desired, weight=0), weight=0)
    assert weights(desired) == (0, 5)
    assert weights(edited(desired, weight=0, weight_before=6)) == (0, 6)
    assert weights(edited(desired, weight=3, weight_before=6)) == (3, 0)


NO_UNICAST = [
    "0.0.0.0",  # noqa: S104  # an address to refuse
    "224.0.0.1",
    "255.255.255.255",
    "127.255.255.255",
    "::",
    "ff02::1",
    "fe80::1",
    "::ffff:10.0.0.1",
]


@pytest.mark.parametrize("host", NO_UNICAST)
def test_only_unicast_serves(host: str) -> None:
    key = SIX if ":" in host else WEB
    desired = wanted(AddService(service=Service(key=key)))
    with pytest.raises(Problem, match="unicast") as caught:
        apply(desired, AddDestination(service=key, destination=server(host)))
    assert caught.value.code is Code.INVALID


@pytest.mark.parametrize(("key", "host"), [(WEB, "fd00::2"), (SIX, "1.1.1.1"), (MARK, "fd00::2")])
def test_only_tunnels_lead_to_the_other_family(key: ServiceKey, host: str) -> None:
    desired = wanted(AddService(service=Service(key=key)))
    tunnel = AddDestination(service=key, destination=server(host, method=Method.TUN))
    assert listed(apply(desired, tunnel), key) == [host]
    with pytest.raises(Problem, match="only tun"):
        apply(desired, AddDestination(service=key, destination=server(host)))


def test_a_subnets_broadcast_address_is_refused_where_it_is_known() -> None:
    host = address("192.168.0.255")
    draft = Draft(with_web(), Bounds(is_broadcast=lambda address: address == host))
    draft.apply(AddDestination(service=WEB, destination=server("192.168.0.254")))
    with pytest.raises(Problem, match="unicast"):
        draft.apply(AddDestination(service=WEB, destination=server("192.168.0.255")))


def test_marks_of_two_families_are_two_services() -> None:
    desired = wanted(*(AddService(service=Service(key=key)) for key in (MARK, MARK_SIX)))
    assert len(desired.services) == 2


def test_a_batch_goes_on_or_changes_nothing() -> None:
    edits = [
        AddService(service=Service(key=WEB)),
        DeleteService(key=OTHER),
        AddDestination(service=WEB, destination=server("192.168.0.1")),
    ]
    desired, results = apply_all(Desired(), edits, "continue")
    assert listed(desired) == ["192.168.0.1"]
    assert [None if each is None else each.code for each in results] == [
        None,
        Code.NO_SUCH_SERVICE,
        None,
    ]
    before = Desired()
    with pytest.raises(Problem) as caught:
        apply_all(before, edits, "abort")
    assert caught.value.where == "/edits/1"
    assert before == Desired()


KEYS = st.sampled_from([WEB, SIX, MARK, MARK_SIX, OTHER])
SERVICES = st.builds(
    Service,
    key=KEYS,
    scheduler=st.sampled_from(["rr", "mh", "nosuch"]),
    stateless=st.booleans(),
    local_addresses=st.sampled_from([(), (address("10.8.0.1"),)]),
)
SERVERS = st.builds(
    server,
    st.sampled_from(["192.168.0.1", "192.168.0.2", "fd00::2", "224.0.0.1"]),
    st.sampled_from([80, 81]),
    method=st.sampled_from(Method),
    weight=st.integers(-1, 3),
    weight_before=st.integers(-1, 3),
)
LOCALS = st.sampled_from(["10.8.0.1", "10.8.0.2", "fd00:8::1"]).map(address)
EDITS = st.one_of(
    st.builds(AddService, service=SERVICES),
    st.builds(EditService, service=SERVICES, keep_local_addresses=st.booleans()),
    st.builds(DeleteService, key=KEYS),
    st.builds(AddDestination, service=KEYS, destination=SERVERS),
    st.builds(EditDestination, service=KEYS, destination=SERVERS),
    st.builds(DeleteDestination, service=KEYS, destination=SERVERS.map(lambda s: s.key)),
    st.builds(AddLocalAddress, service=KEYS, address=LOCALS),
    st.builds(DeleteLocalAddress, service=KEYS, address=LOCALS),
    st.builds(Clear),
    st.builds(SetTimeouts, tcp=st.integers(-1, 3), udp=st.integers(0, 3)),
)


def undo(before: Desired, edit: AnyEdit) -> list[AnyEdit]:
    """Edits that take back an accepted edit."""
    match edit:
        case AddService(service=service):
            return [DeleteService(key=service.key)]
        case EditService(service=service):
            return [EditService(service=before.services[service.key][0])]
        case AddDestination(service=key, destination=added):
            present = {each.key for each in before.services[key][1]}
            port = {added.key, msgspec.structs.replace(added.key, port=key.port)} - present
            by_address = key.protocol is not Protocol.FWM
            settled = added.method in (Method.DR, Method.TUN) and by_address
            gone = msgspec.structs.replace(added.key, port=key.port) if settled else added.key
            assert gone in port
            return [DeleteDestination(service=key, destination=gone)]
        case AddLocalAddress(service=key, address=local):
            return [DeleteLocalAddress(service=key, address=local)]
        case _:
            return again(before)


def again(desired: Desired) -> list[AnyEdit]:
    """Edits that make a value from whatever is there."""
    edits: list[AnyEdit] = [Clear()]
    for key, (service, destinations) in desired.services.items():
        edits.append(AddService(service=service))
        edits += [AddDestination(service=key, destination=d) for d in reversed(destinations)]
    now = desired.timeouts
    return [*edits, SetTimeouts(tcp=now.tcp, tcp_fin=now.tcp_fin, udp=now.udp)]


@hypothesis.given(st.lists(EDITS, max_size=12), EDITS)
def test_apply_and_revert_leaves_nothing(history: list[AnyEdit], edit: AnyEdit) -> None:
    before, _ = apply_all(Desired(), history, "continue")
    try:
        after = apply(before, edit)
    except Problem:
        return
    reverted, _ = apply_all(after, undo(before, edit), "abort")
    assert reverted == before


def test_a_machine_has_room_for_so_many() -> None:
    draft = Draft(with_web("192.168.0.1"), Bounds(services=2, destinations=2))
    draft.apply(AddDestination(service=WEB, destination=server("192.168.0.2")))
    draft.apply(AddService(service=Service(key=MARK)))
    for edit in (
        AddService(service=Service(key=SIX)),
        AddDestination(service=MARK, destination=server("192.168.0.3")),
    ):
        with pytest.raises(Problem, match="no room for more than 2") as caught:
            draft.apply(edit)
        assert caught.value.code is Code.NO_SPACE
    draft.apply(DeleteService(key=WEB))
    draft.apply(AddService(service=Service(key=SIX)))
    draft.apply(AddDestination(service=MARK, destination=server("192.168.0.3")))
