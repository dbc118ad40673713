# SPDX-License-Identifier: Apache-2.0
"""Whatever there is, what is put is what there is then; a second time nothing is to do."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from xlvs.engine import replacing
from xlvs.model.desired import Desired, apply_all
from xlvs.model.mark import MarkRule
from xlvs.model.service import Destination, DestinationKey, Method, Protocol, ServiceKey
from xlvs.wire.messages import Timeouts
from xlvs.wire.resources import ConfiguredService, RunningConfiguration

KEYS = [
    ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80),
    ServiceKey(protocol=Protocol.UDP, address=ip_address("10.0.0.1"), port=53),
    ServiceKey(protocol=Protocol.FWM, fwmark=7),
]


@st.composite
def services(draw, key):
    hosts = draw(st.lists(st.integers(1, 5), unique=True, max_size=4))
    return ConfiguredService(
        key=key,
        scheduler=draw(st.sampled_from(["rr", "wrr", "lc"])),
        persistence_timeout=draw(st.sampled_from([0, 50])),
        destinations=tuple(
            Destination(
                key=DestinationKey(address=ip_address(f"10.2.0.{host}"), port=key.port or 80),
                method=Method.NAT,
                weight=draw(st.integers(0, 3)),
            )
            for host in hosts
        ),
    )


@st.composite
def configurations(draw):
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True))
    return RunningConfiguration(
        services=tuple(draw(services(key)) for key in keys),
        timeouts=Timeouts(tcp=draw(st.integers(1, 5))),
        marks=tuple(MarkRule(mark=mark) for mark in draw(st.lists(st.integers(1, 4), max_size=3))),
        settings=draw(
            st.dictionaries(
                st.sampled_from(["net.ipv4.vs.sloppy_tcp", "net.xlvs.reset"]),
                st.sampled_from(["0", "1"]),
            )
        ),
    )


def put(desired, wanted):
    edits = [each.edit for each in replacing.configuration(desired, wanted)]
    return apply_all(desired, edits, "abort")[0]


def plain(destinations):
    """Without their order, and without what a weight of 0 was before."""
    return {each.key: (each.method, each.weight) for each in destinations}


@given(configurations(), configurations())
def test_a_configuration_is_there_after_it_was_put(before, wanted):
    found = put(put(Desired(), before), wanted)
    assert {key: service for key, (service, _) in found.services.items()} == {
        each.key: each.service for each in wanted.services
    }
    for each in wanted.services:
        assert plain(found.services[each.key][1]) == plain(each.destinations)
    assert found.timeouts.tcp == wanted.timeouts.tcp
    assert found.marks == wanted.marks
    assert replacing.asked_settings(found) == wanted.settings
    assert list(replacing.configuration(found, wanted)) == []


@given(configurations())
def test_new_real_servers_are_in_the_order_that_was_put(wanted):
    found = put(Desired(), wanted)
    for each in wanted.services:
        assert found.services[each.key][1] == each.destinations
