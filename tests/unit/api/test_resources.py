# SPDX-License-Identifier: Apache-2.0
"""Services, destinations, settings and all else as resources: read, written, patched, removed."""

from __future__ import annotations

import json

import pytest
from tests.unit.api.served import DESTINATIONS, SERVICE, InMemory, server
from tests.unit.datapath_plan.build import KEY, add, add_service, real

from xlvs.api.caller import Caller, Scope
from xlvs.datapath.records import Stats
from xlvs.model.edit import EditService
from xlvs.model.service import Service
from xlvs.wire.events import Kind


@pytest.fixture
def ask():
    return InMemory()


def with_two(**more):
    destinations = [{"key": {"address": str(real(n)), "port": 80}, "method": "nat"} for n in (1, 2)]
    return {"scheduler": "rr", "destinations": destinations, **more}


def test_a_put_creates_changes_and_is_idempotent(ask):
    created = ask("PUT", SERVICE, with_two())
    assert created.status == 201
    assert ask.world.servers() == [1, 2]  # as they were put
    again = ask("PUT", SERVICE, with_two())
    assert (again.status, again.body, again.tag) == (204, b"", created.tag)
    changed = ask("PUT", SERVICE, with_two(persistence_timeout=50))
    assert changed.status == 200
    assert changed.json["persistence_timeout"] == 50
    assert changed.tag != created.tag


def test_what_is_read_is_what_may_be_written(ask):
    ask("PUT", SERVICE, with_two())
    read = ask("GET", SERVICE)
    assert ask("PUT", SERVICE, read.json).status == 204
    one = ask("GET", server(1))
    assert ask("PUT", server(1), one.json).status == 204
    whole = ask("GET", "/v1/configuration")
    assert ask("PUT", "/v1/configuration", whole.json).status == 204


def test_real_servers_that_are_not_named_go_and_stay_if_none_is(ask):
    ask("PUT", SERVICE, with_two())
    assert ask("PUT", SERVICE, {"scheduler": "wrr"}).status == 200
    assert ask.world.servers() == [1, 2]
    assert ask("PUT", SERVICE, with_two(destinations=with_two()["destinations"][:1])).status == 200
    assert ask.world.servers() == [1]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("udp/[2001:db8::1]:53", {"protocol": "udp", "address": "2001:db8::1", "port": 53}),
        ("sctp/10.0.0.1:0", {"protocol": "sctp", "address": "10.0.0.1", "port": 0}),
        ("fwm/7", {"protocol": "fwm", "fwmark": 7, "family": "inet"}),
        ("fwm6/4294967295", {"protocol": "fwm", "fwmark": 2**32 - 1, "family": "inet6"}),
    ],
)
def test_every_kind_of_service_has_a_path(ask, path, key):
    assert ask("PUT", f"/v1/services/{path}", {}).status == 201
    assert ask("GET", f"/v1/services/{path}").json["key"].items() >= key.items()
    assert ask("DELETE", f"/v1/services/{path}").status == 204
    assert ask("GET", f"/v1/services/{path}").status == 404


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("icmp/10.0.0.1:80", "tcp, udp, sctp, fwm or fwm6, not 'icmp'"),
        ("tcp/10.0.0.1", "ADDRESS:PORT"),
        ("tcp/2001:db8::1:80", "[IPv6]:PORT"),
        ("fwm/0", "1 to 4294967295"),
        ("fwm/4294967296", "1 to 4294967295"),
        ("fwm/²", "1 to 4294967295"),
    ],
)
def test_a_path_that_names_no_service_is_told(ask, path, words):
    answer = ask("PUT", f"/v1/services/{path}", {})
    assert answer.status == 400
    assert words in answer.json["message"]


def test_a_refused_put_says_where_and_changes_nothing(ask):
    ask("PUT", SERVICE, with_two())
    body = with_two(scheduler="wlc")
    body["destinations"][1]["weight"] = -1
    answer = ask("PUT", SERVICE, body)
    assert (answer.status, answer.json["where"]) == (422, "/destinations/1/weight")
    assert ask("GET", SERVICE).json["scheduler"] == "rr"
    answer = ask("PUT", SERVICE, {"scheduler": "best"})
    assert (answer.status, answer.json["code"], answer.json["where"]) == (
        422,
        "no_such_scheduler",
        "/scheduler",
    )
    twice = [with_two()["destinations"][0]] * 2
    answer = ask("PUT", "/v1/services/tcp/10.0.0.2:80", {"destinations": twice})
    assert (answer.status, answer.json["code"]) == (422, "destination_exists")
    assert ask("GET", "/v1/services/tcp/10.0.0.2:80").status == 404


def test_another_key_than_the_paths_is_refused(ask):
    other = {"key": {"protocol": "tcp", "address": "10.0.0.2", "port": 80}}
    assert ask("PUT", SERVICE, other).json["where"] == "/key"
    ask("PUT", SERVICE, {})
    other = {"key": {"address": str(real(2)), "port": 80}}
    assert ask("PUT", server(1), other).json["where"] == "/key"


def test_patches(ask):
    ask("PUT", SERVICE, with_two(persistence_timeout=50, scheduler="wrr"))
    merge = "application/merge-patch+json"
    changed = ask("PATCH", SERVICE, {"persistence_timeout": None}, content_type=merge)
    assert (changed.status, changed.json["persistence_timeout"]) == (200, 0)
    assert changed.json["scheduler"] == "wrr"
    assert ask("PATCH", SERVICE, {"timeouts": {"tcp": 7}}).json["timeouts"]["tcp"] == 7
    assert ask("PATCH", SERVICE, {"timeouts": {"tcp": 7}}).status == 204
    assert ask("PATCH", server(1), {"weight": 5}).json["weight"] == 5
    assert ask("PATCH", server(1), {"weight": None}).json["weight"] == 1
    assert ask("PATCH", server(3), {"weight": 5}).status == 404
    assert ask("PATCH", SERVICE, {"colour": 1}).status == 400
    assert ask("PATCH", SERVICE, b"[]").status == 400


def test_destinations(ask):
    assert ask("PUT", server(1), {"method": "nat"}).json["code"] == "no_such_service"
    ask("PUT", SERVICE, {})
    assert ask("PUT", server(1), {"method": "nat", "weight": 3}).status == 201
    assert ask("GET", server(1)).json["weight"] == 3
    assert ask("GET", server(2)).json["code"] == "no_such_destination"
    assert ask("DELETE", server(2)).status == 404
    assert ask("DELETE", server(1)).status == 204
    assert ask.world.director.desired.services[KEY][1] == ()


def test_drains(ask):
    ask("PUT", SERVICE, with_two())
    assert ask("PUT", f"{server(1)}/drain", {"seconds": 30}).json["weight"] == 0
    (drain,) = ask("GET", "/v1/drains").json["drains"]
    assert (drain["until"] - drain["since"], drain["weight_before"]) == (30, 1)
    assert ask("PUT", f"{server(1)}/drain", {"seconds": -1}).json["where"] == "/seconds"
    assert ask("DELETE", f"{server(1)}/drain").json["weight"] == 1
    assert ask("DELETE", f"{server(1)}/drain").status == 422  # it is not being drained
    assert ask("PUT", f"{DESTINATIONS}/10.9.9.9:80/drain", {}).status == 404


def test_timeouts_marks_and_settings(ask):
    assert ask("PUT", "/v1/timeouts", {"udp": 30}).json == {"tcp": 900, "tcp_fin": 120, "udp": 30}
    assert ask("PUT", "/v1/timeouts", {"udp": 30}).status == 204
    assert ask("PUT", "/v1/timeouts", {"udp": 0}).json["where"] == "/udp"
    rules = [{"mark": 1, "to": "10.9.0.0/16"}, {"mark": 2, "protocol": 6, "ports": [[80, 81]]}]
    assert ask("PUT", "/v1/marks", {"rules": rules}).json == {"rules": rules}
    assert ask("PUT", "/v1/marks", {"rules": rules}).status == 204
    wrong = {"rules": [rules[0], {"mark": -1}]}
    assert ask("PUT", "/v1/marks", wrong).json["where"] == "/rules/1/mark"
    assert ask("GET", "/v1/marks").json == {"rules": rules}
    name = "net.ipv4.vs.sloppy_tcp"
    assert ask("PATCH", "/v1/settings", {name: "1"}).json == {name: "1"}
    assert ask("PATCH", "/v1/settings", {name: "1"}).status == 204
    assert ask("PATCH", "/v1/settings", {name: None}).json == {}
    wrong = ask("PATCH", "/v1/settings", {name: "1", "net.ipv4.vs.no/such": "1"})
    assert (wrong.status, wrong.json["where"]) == (422, "/net.ipv4.vs.no~1such")


def test_the_whole_configuration_all_or_nothing(ask):
    ask("PUT", SERVICE, with_two())
    ask("PATCH", "/v1/settings", {"net.ipv4.vs.sloppy_tcp": "1"})
    before = ask("GET", "/v1/configuration")
    wanted = {
        "services": [
            {
                "key": {"protocol": "udp", "address": "10.0.0.3", "port": 53},
                "destinations": [{"key": {"address": str(real(3)), "port": 53}, "method": "nat"}],
            }
        ],
        "timeouts": {"tcp": 100},
        "marks": [{"mark": 5}],
        "settings": {"net.ipv4.vs.drop_entry": "1"},
    }
    wrong = json.loads(json.dumps(wanted))
    wrong["services"][0]["destinations"][0]["weight"] = -3
    answer = ask("PUT", "/v1/configuration", wrong)
    assert (answer.status, answer.json["where"]) == (422, "/services/0/destinations/0/weight")
    assert ask("GET", "/v1/configuration").tag == before.tag
    answer = ask("PUT", "/v1/configuration", wanted)
    assert answer.status == 200
    assert [each["key"]["address"] for each in answer.json["services"]] == ["10.0.0.3"]
    assert answer.json["settings"] == {"net.ipv4.vs.drop_entry": "1"}
    assert answer.json["marks"] == [{"mark": 5}]
    assert ask("PUT", "/v1/configuration", before.json).json == before.json
    assert ask.world.servers() == [1, 2]
    assert ask("PUT", "/v1/configuration", {}).status == 400  # nothing is removed by leaving out


def test_a_writer_that_knows_an_old_state_changes_nothing(ask):
    ask("PUT", SERVICE, with_two())
    read = ask("GET", SERVICE)
    ask("PATCH", server(1), {"weight": 9})
    late = ask("PUT", SERVICE, with_two(scheduler="wrr"), if_match=read.tag)
    assert (late.status, late.json["code"]) == (412, "outdated")
    now = ask("GET", SERVICE)
    assert now.tag in late.json["message"]
    assert now.json["scheduler"] == "rr"
    assert ask("DELETE", SERVICE, if_match=read.tag).status == 412
    assert ask("PUT", SERVICE, with_two(scheduler="wrr"), if_match=f'"x", {now.tag}').status == 200
    assert ask("PUT", SERVICE, with_two(scheduler="wrr"), if_match="*").status == 204
    # Another service's changes are no matter.
    tag = ask("GET", SERVICE).tag
    ask("PUT", "/v1/services/fwm/1", {})
    assert ask("PATCH", SERVICE, {"scheduler": "lc"}, if_match=tag).status == 200


def test_somebody_writes_while_the_routes_are_learnt(ask):
    ask("PUT", SERVICE, with_two())
    tag = ask("GET", SERVICE).tag
    ask.meanwhile = lambda: ask.world.do(add(3))
    assert ask("PUT", SERVICE, with_two(scheduler="wrr"), if_match=tag).status == 412
    assert ask("GET", SERVICE).json["scheduler"] == "rr"


def test_a_patch_is_of_what_there_is_when_it_is_made(ask):
    ask("PUT", SERVICE, with_two())
    other = EditService(service=Service(key=KEY, scheduler="rr", persistence_timeout=50))
    ask.meanwhile = lambda: ask.world.do(other)
    found = ask("PATCH", SERVICE, {"scheduler": "wrr"}).json
    assert (found["scheduler"], found["persistence_timeout"]) == ("wrr", 50)


def test_only_if_there_is_none_yet(ask):
    assert ask("PUT", SERVICE, {}, if_none_match="*").status == 201
    assert ask("PUT", SERVICE, {"scheduler": "rr"}, if_none_match="*").status == 412
    assert ask("PUT", SERVICE, {}, if_match="*").status == 204
    assert ask("PUT", "/v1/services/fwm/1", {}, if_match="*").status == 412


def test_edits_respect_the_token_of_the_configuration(ask):
    tag = ask("GET", "/v1/configuration").tag
    edits = {"edits": [{"op": "service.add", "service": {"key": {"protocol": "fwm", "fwmark": 1}}}]}
    assert ask("POST", "/v1/edits", edits, if_match=tag).status == 200
    edits["edits"][0]["service"]["key"]["fwmark"] = 2
    assert ask("POST", "/v1/edits", edits, if_match=tag).status == 412
    assert ask("GET", "/v1/services/fwm/2").status == 404


def test_who_has_it_already_is_told_so(ask):
    ask("PUT", SERVICE, {})
    tag = ask("GET", SERVICE).tag
    answer = ask("GET", SERVICE, if_none_match=f"W/{tag}")
    assert (answer.status, answer.body, answer.tag) == (304, b"", tag)
    ask("PATCH", SERVICE, {"scheduler": "rr"})
    assert ask("GET", SERVICE, if_none_match=tag).status == 200


def test_counters_and_zeroing(ask):
    ask.world.do(add_service(), add(1))
    ask.world.port.counted_services[0] = Stats(5, 50, 40, 5000, 4000)
    assert ask("GET", f"{SERVICE}/counters").json["live"]["in_packets"] == 50
    found = ask("GET", "/v1/counters").json
    assert (found["totals"]["in_packets"], found["refused_tokens"]) == (50, 3)
    assert ask("DELETE", f"{SERVICE}/counters").status == 204
    assert ask("GET", "/v1/counters").json["totals"]["in_packets"] == 0
    assert ask("DELETE", "/v1/counters").status == 204
    assert ask("GET", "/v1/services/fwm/9/counters").status == 404
    assert ask("DELETE", "/v1/services/fwm/9/counters").status == 404


@pytest.mark.parametrize(
    ("path", "nothing"),
    [("health", {"services": []}), ("vrrp", {"instances": []}), ("sync", {"sync": None})],
)
def test_without_a_file_there_is_nothing_to_tell(ask, path, nothing):
    assert ask("GET", f"/v1/{path}").json == nothing


def test_edits_are_told(ask):
    ask("PUT", SERVICE, with_two())
    ask("DELETE", SERVICE)
    ask("DELETE", SERVICE)  # there is none: nothing to tell
    put, delete = ask.bus._ring.after(ask.bus._ring.next - 3, 0)
    assert (put.kind, put.about, put.by) == (Kind.EDIT, "tcp 10.0.0.1:80", "root (pid 1)")
    assert put.text.startswith("add tcp 10.0.0.1:80: scheduler rr; add ")
    assert delete.text == "remove tcp 10.0.0.1:80 and its 2 real servers"


@pytest.mark.parametrize(
    ("scope", "status"), [(Scope.NOTHING, 403), (Scope.READ, 403), (Scope.WRITE, 201)]
)
def test_scopes(ask, scope, status):
    ask.caller = Caller("somebody", scope)
    assert ask("PUT", SERVICE, {}).status == status
    assert ask("GET", SERVICE).status == (
        403 if scope is Scope.NOTHING else 404 if status == 403 else 200
    )
    # A configuration file may name programs, that run as root.
    answer = ask("POST", "/v1/apply", {"configuration": {}})
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert ask("POST", "/v1/plan", {"configuration": {}}).status == (200 if scope else 403)


def test_who_nobody_vouches_for_may_nothing(ask):
    ask.caller = None
    assert ask("GET", "/v1/services").status == 403
    assert ask("OPTIONS", "/v1/services").status == 403


def test_root_applies_a_file(ask):
    answer = ask("POST", "/v1/apply", {"configuration": {}})
    assert answer.json == {"changes": ["0 services by root (pid 1)"]}


@pytest.mark.parametrize("path", ["plan", "apply"])
@pytest.mark.parametrize("wrong", [{}, {"configuration": 1}, {"configuration": {"colour": 1}}])
def test_what_is_no_configuration(ask, path, wrong):
    assert ask("POST", f"/v1/{path}", {"configuration": {}}).status == 200
    assert ask("POST", f"/v1/{path}", wrong).json["code"] == "invalid"


def test_pools_of_local_addresses(ask):
    made = ask("PUT", "/v1/pools", {"pools": {"edge": ["10.9.0.1", "10.9.0.2"]}})
    assert made.status == 200
    ask("PUT", SERVICE, with_two(local_pool="edge"))
    read = ask("GET", "/v1/pools")
    assert read.json == {"pools": {"edge": ["10.9.0.1", "10.9.0.2"]}}
    assert ask("PUT", "/v1/pools", read.json).status == 204
    whole = ask("GET", "/v1/configuration").json
    assert whole["pools"] == read.json["pools"]
    without = {name: value for name, value in whole.items() if name != "pools"}
    assert ask("PUT", "/v1/configuration", without).status == 204
    refused = ask("PUT", "/v1/pools", {"pools": {}})
    assert (refused.status, refused.json["where"]) == (422, "/pools")
    assert "a service has the pool 'edge'" in refused.json["message"]
    refused = ask("PUT", "/v1/pools", {"pools": {"edge": ["10.9.0.1", "224.0.0.1"]}})
    assert refused.json["where"] == "/pools/edge/1"
    assert ask("GET", "/v1/pools").json == read.json


def test_lists_of_clients(ask):
    wanted = {"prefixes": ["192.0.2.0/24", "2001:db8::1", "192.0.2.7"]}
    made = ask("PUT", "/v1/lists/office", wanted)
    assert (made.status, made.json) == (
        201,
        {"prefixes": ["192.0.2.0/24", "192.0.2.7", "2001:db8::1"]},
    )
    assert ask("PUT", "/v1/lists/office", wanted).status == 204
    assert ask("GET", "/v1/lists").json == {"lists": {"office": 3}}
    wrong = ask("PUT", "/v1/lists/office", {"prefixes": ["192.0.2.0/24", "192.0.2.1/24"]})
    assert (wrong.status, wrong.json["where"]) == (422, "/prefixes/1")
    assert ask("PUT", SERVICE, {"deny": ["office"]}).status == 201
    assert ask("GET", f"{SERVICE}/counters").json["refused"]["denied"] == 0
    refused = ask("DELETE", "/v1/lists/office")
    assert (refused.status, refused.json["code"]) == (422, "list_in_use")
    everything = ask("GET", "/v1/configuration").json
    assert everything["lists"] == {"office": made.json["prefixes"]}
    assert ask("PUT", "/v1/configuration", everything).status == 204
    everything["lists"] = {}
    assert ask("PUT", "/v1/configuration", everything).json["code"] == "list_in_use"
    assert ask("PATCH", SERVICE, {"deny": None}).status == 200
    assert ask("DELETE", "/v1/lists/office").status == 204
    assert ask("GET", "/v1/lists/office").status == 404
    assert ask("DELETE", "/v1/lists/office").status == 404
