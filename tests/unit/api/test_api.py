# SPDX-License-Identifier: Apache-2.0
"""The API over a real Unix socket, in front of a data path in memory."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import stat

import pytest
from tests.unit.api.metrics.scraping import scraper
from tests.unit.api.served import Daemon
from tests.unit.datapath_plan.build import World, add_service, real
from tests.unit.datapath_plan.fake import HZ

from xlvs.api import server
from xlvs.api.app import application
from xlvs.api.backend import Backend
from xlvs.api.views import Facts
from xlvs.datapath.effective import Options
from xlvs.datapath.port import PortUse, TableUse
from xlvs.datapath.records import DestinationLoad, Stats
from xlvs.io.bus import Bus
from xlvs.model.edit import SetSettings
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView

KEY = {"protocol": "tcp", "address": "10.0.0.1", "port": 80}


def service(**more):
    return {"op": "service.add", "service": {"key": KEY, "scheduler": "rr", **more}}


def destination(n, op="destination.add", **more):
    key = {"address": str(real(n)), "port": 80}
    return {"op": op, "service": KEY, "destination": {"key": key, "method": "nat", **more}}


class Client:
    def __init__(self, path):
        self._path = str(path)

    def __call__(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("xlvs")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self._path)
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        head = {} if data is None else {"Content-Type": "application/json"}
        connection.request(method, path, data, {**head, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        kind = answer.headers["content-type"]
        return answer.status, json.loads(text) if text and kind == "application/json" else text


class Served(Daemon):
    """A world, its API, and what the API asked of the daemon."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.world = World(options=Options(local_addresses=(real(9),)))
        self.world.port.attach("eth0", "tc")

    def facts(self):
        return Facts(
            instance="edge",
            version="1.2",
            pid=7,
            started=1.5,
            hooks=(("eth0", "tc", "as asked for"), ("eth1", "tc", "as asked for")),
            warnings=("net.ipv4.vs.secure_tcp is not in the data path yet",),
            settings=(("sloppy_tcp", 0),),
        )

    def talk(self, conversation):
        """Run ``conversation(client)`` in a thread while the server runs."""

        async def main():
            backend = Backend(
                self.world.director,
                self.facts,
                prepare=self.prepare,
                settle=self.settle,
                explain=self.explain,
                plan=lambda _: [],
                apply=self.apply,
                bus=Bus(),
                refused_tokens=lambda: 0,
                scraper=scraper(self.world),
                sync_roles=lambda: self.world.director.desired.sync,
            )
            channel = server.listen(self.path)
            serving = server.server(application(backend))
            task = asyncio.create_task(serving.serve(sockets=[channel]))
            try:
                return await asyncio.to_thread(conversation, Client(self.path))
            finally:
                serving.should_exit = True
                await task

        return asyncio.run(main())


@pytest.fixture
def served(tmp_path):
    return Served(tmp_path / "edge.sock")


def test_edits_are_in_the_maps_when_the_answer_comes(served):
    edits = {"edits": [service(), destination(1), destination(2)]}
    status, answer = served.talk(lambda ask: ask("POST", "/v1/edits", edits))
    assert (status, answer) == (200, {"results": [None, None, None]})
    assert served.world.servers() == [2, 1]
    assert (served.prepared, served.settled) == ([3], [3])


def test_a_refused_edit_changes_nothing_and_says_which(served):
    edits = {"edits": [service(), destination(1), destination(1)]}
    status, answer = served.talk(lambda ask: ask("POST", "/v1/edits", edits))
    assert status == 422
    assert answer["code"] == "destination_exists"
    assert answer["where"].startswith("/edits/2")
    assert served.world.port.keys == {}


def test_mark_rules_in_their_order(served):
    rules = [{"mark": 1, "to": "10.9.0.0/16"}, {"mark": 2, "protocol": 6, "ports": [[80, 81]]}]
    edits = {"edits": [{"op": "mark.add", "rule": rule} for rule in rules]}
    assert served.talk(lambda ask: ask("POST", "/v1/edits", edits))[0] == 200
    assert served.talk(lambda ask: ask("GET", "/v1/marks")) == (200, {"rules": rules})
    wrong = {"edits": [{"op": "mark.add", "rule": {"mark": 1, "to": "10.9.0.1/16"}}]}
    status, answer = served.talk(lambda ask: ask("POST", "/v1/edits", wrong))
    assert status == 400
    assert "host bits" in answer["message"]


def test_going_on_after_a_refused_edit(served):
    edits = {"edits": [service(), service(), destination(1)], "on_error": "continue"}
    status, answer = served.talk(lambda ask: ask("POST", "/v1/edits", edits))
    assert status == 200
    assert [each and each["code"] for each in answer["results"]] == [None, "service_exists", None]
    assert served.world.servers() == [1]


def test_a_write_that_fails_is_told_and_undone(served):
    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": [service(), destination(1)]})
        served.world.port.fail_after = 2
        return ask("POST", "/v1/edits", {"edits": [destination(2), destination(3)]})

    status, answer = served.talk(conversation)
    assert (status, answer["code"]) == (500, "internal")
    assert served.world.servers() == [1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"edits":[{"op":"nonsense"}]}', "Invalid value 'nonsense' - at `$.edits[0].op`"),
        (b'{"edits":[],"more":1}', "unknown field `more`"),
        (
            b'{"edits":[{"op":"service.delete","key":{"protocol":"tcp","address":"1.2.3"}}]}',
            "'1.2.3' does not appear to be an IPv4 or IPv6 address - at `$.edits[0].key.address`",
        ),
    ],
)
def test_malformed_requests_say_where(served, body, words):
    status, answer = served.talk(lambda ask: ask("POST", "/v1/edits", body))
    assert status == 400
    assert words in answer["message"]


def test_unknown_paths_and_methods(served):
    def conversation(ask):
        return ask("GET", "/v2/nothing"), ask("GET", "/v1/edits")

    (status, answer), (other, refusal) = served.talk(conversation)
    assert (status, answer["code"]) == (404, "invalid")
    assert (other, refusal["message"]) == (405, "/v1/edits takes OPTIONS, POST, not GET")


def test_head_and_options(served):
    def conversation(ask):
        return ask("HEAD", "/v1/timeouts"), ask("OPTIONS", "/v1/timeouts")

    (status, nothing), (other, _) = served.talk(conversation)
    assert (status, nothing, other) == (200, b"", 204)


def test_services_with_their_numbers(served):
    world = served.world

    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": [service(), destination(1)]})
        world.port.counted_services[0] = Stats(5, 50, 40, 5000, 4000)
        world.port.counted_destinations[0] = Stats(5, 50, 40, 5000, 4000)
        world.port.connected[0] = DestinationLoad(active=3, inactive=2)
        before = ask("GET", "/v1/services")[1]
        list(world.director.estimate())
        after = ask("GET", "/v1/services")[1]
        ask("POST", "/v1/edits", {"edits": [{"op": "counters.zero"}]})
        return before, after, ask("GET", "/v1/services")[1]

    before, after, zeroed = served.talk(conversation)
    assert before["table_size"] == 1024 // 64
    (shown,) = before["services"]
    assert shown["stats"]["in_packets"] == 0
    assert shown["live"]["in_packets"] == 50
    (one,) = shown["destinations"]
    assert (one["active"], one["inactive"], one["persistent"]) == (3, 2, 0)
    assert one["next_hop"] == "resolved via eth1 02:00:00:00:02:11"
    (shown,) = after["services"]
    assert shown["stats"] == shown["live"]
    assert shown["rates"]["in_packets"] == 6
    (shown,) = zeroed["services"]
    assert shown["stats"] == shown["live"] == dict.fromkeys(shown["live"], 0)
    assert shown["rates"] == dict.fromkeys(shown["rates"], 0)
    assert world.saved[-1].service_baselines[0].in_packets == 50


def test_a_listing_is_a_line_for_each_service_after_its_head(served):
    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": [service(), destination(1)]})
        served.world.port.connected[0] = DestinationLoad(active=3)
        return ask("GET", "/v1/listing?numbers=rates"), ask("GET", "/v1/listing?numbers=all")

    (status, lines), (refused, why) = served.talk(conversation)
    assert status == 200
    head, one = map(json.loads, lines.splitlines())
    assert head == {"table_size": 1024 // 64}
    (listed,) = one["destinations"]
    assert listed["active"] == 3
    assert listed["rates"] == dict.fromkeys(listed["rates"], 0)
    assert "stats" not in listed
    assert refused == 400
    assert "numbers" in why["message"]


def test_remarks_name_what_the_data_path_does_not_do(served):
    edits = [service(persistence_engine="sip")]

    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": edits})
        return ask("GET", "/v1/services")[1]

    (shown,) = served.talk(conversation)["services"]
    assert shown["remarks"] == [
        "persistence engine sip has no effect: the service is not persistent (-p)",
    ]


def test_connections_are_one_per_line(served):
    one = ConnectionView(
        protocol=Protocol.TCP,
        state="ESTABLISHED",
        expires=899,
        client="192.168.100.9",
        client_port=30000,
        virtual="10.0.0.1",
        virtual_port=80,
        destination=str(real(1)),
        destination_port=80,
        method="nat",
    )
    served.world.port.table_views = [one, one]
    status, text = served.talk(lambda ask: ask("GET", "/v1/connections"))
    assert status == 200
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 2
    assert lines[0]["client"] == "192.168.100.9"


def test_timeouts(served):
    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": [{"op": "timeouts.set", "udp": 30}]})
        return ask("GET", "/v1/timeouts")

    assert served.talk(conversation) == (200, {"tcp": 900, "tcp_fin": 120, "udp": 30})


def test_status_tells_all(served):
    port = served.world.port

    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": [service(), destination(1, method="fullnat")]})
        port.table_now = TableUse(
            used=1000, high_water=1001, created=2000, ended=1000, half_open=7, evicted=8
        )
        port.ports[0] = PortUse(60000, 3)
        return ask("GET", "/v1/status")[1]

    shown = served.talk(conversation)
    assert (shown["instance"], shown["version"], shown["pid"]) == ("edge", "1.2", 7)
    assert [each["attached"] for each in shown["interfaces"]] == [True, False]
    assert shown["reasons"] == {"fwd_nat": {"packets": 3, "bytes": 180}}
    assert shown["streams"] == {"toa": 5, "toa_no_room": 1, "toa_mtu": 0}
    (ports,) = shown["local_ports"]
    assert (ports["used"], ports["free"], ports["exhausted"]) == (60000, 4512, 3)
    assert (shown["table"]["used"], shown["table"]["expired"]) == (1000, 1000)
    assert (shown["table"]["half_open"], shown["table"]["evicted"]) == (7, 8)
    problems = "\n".join(shown["problems"])
    for words in (
        "net.ipv4.vs.secure_tcp is not in the data path yet",
        "eth1: the data path is not attached (tc)",
        "the connection table is nearly full (1000 of 1024)",
        "60000 of 64512 local ports are taken (93.0 %), 3 connections found none",
    ):
        assert words in problems


def test_expiry_that_stands_still_is_told(served, monkeypatch):
    director = served.world.director
    list(director.estimate())
    list(director.estimate())
    assert not director.expiry_stands_still
    monkeypatch.setattr(served.world.port, "table", lambda: TableUse(sweeps=2))
    list(director.estimate())
    problems = served.talk(lambda ask: ask("GET", "/v1/status"))[1]["problems"]
    assert any("connections do not expire" in problem for problem in problems)


def test_the_socket_is_for_root_and_its_group_and_replaces_a_dead_one(tmp_path):
    path = tmp_path / "x.sock"
    for _ in range(2):
        with server.listen(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    path.unlink()
    path.write_text("not a socket")
    with pytest.raises(Problem, match="is not a socket: remove it"):
        server.listen(path)


def set_(**values):
    return {"op": "settings.set", "values": {f"net.ipv4.vs.{k}": v for k, v in values.items()}}


def settings_of(ask):
    return {each["name"]: each for each in ask("GET", "/v1/settings")[1]["settings"]}


def test_settings_are_in_the_maps_when_the_answer_comes(served):
    wanted = set_(sloppy_tcp="7", conn_reuse_mode="-1", lblc_expiration="60", drop_packet="3")
    wanted["values"] |= {"net.xlvs.profile": "modern", "net.xlvs.icmp_answers_per_second": "0"}

    def conversation(ask):
        answer = ask("POST", "/v1/edits", {"edits": [wanted]})
        return answer, settings_of(ask)

    answer, shown = served.talk(conversation)
    assert answer == (200, {"results": [None]})
    found = served.world.port.settings
    assert (found.sloppy_tcp, found.conn_reuse_mode, found.drop_rate) == (1, 2**32 - 1, 10)
    assert (found.reset, found.reschedule, found.answer_rate) == (1, 1, 0)
    assert (found.lblc_expiration, found.lblcr_expiration) == (60 * HZ, 86400 * HZ)
    assert (found.snat_reroute, found.pmtu_disc, found.cache_bypass) == (1, 1, 0)
    profile = {"name": "net.xlvs.profile", "value": "modern", "default": "ipvs", "remark": ""}
    assert shown["net.xlvs.profile"] == profile
    assert shown["net.ipv4.vs.conn_reuse_mode"]["default"] == "3"
    assert shown["net.ipv4.vs.sync_threshold"]["value"] == "3 50"
    assert "synchronised" in shown["net.ipv4.vs.sync_threshold"]["remark"]


def test_settings_are_kept_over_a_restart(served):
    edits = {"edits": [set_(sloppy_tcp="1", sync_threshold="5")]}
    served.talk(lambda ask: ask("POST", "/v1/edits", edits))
    served.world.start()
    assert served.world.repairs == ()
    shown = served.talk(settings_of)
    assert shown["net.ipv4.vs.sloppy_tcp"]["value"] == "1"
    assert shown["net.ipv4.vs.sync_threshold"]["value"] == "5 50"
    assert served.world.port.settings.sloppy_tcp == 1


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"net.ipv4.vs.sloppy_tcp": "1", "net.ipv4.vs.drop_entry": "4"}, "net.ipv4.vs.drop_entry"),
        ({"net.ipv4.vs.sloppy_tcp": "1", "net.ipv4.vs.no/such": "1"}, "net.ipv4.vs.no~1such"),
        ({"net.ipv4.vs.sloppy_tcp": "1", "net.xlvs.profile": ""}, "net.xlvs.profile"),
    ],
)
def test_one_wrong_setting_changes_none(served, values, where):
    edits = {"edits": [service(), {"op": "settings.set", "values": values}]}
    before = served.world.port.settings

    def conversation(ask):
        return ask("POST", "/v1/edits", edits), settings_of(ask)

    (status, answer), shown = served.talk(conversation)
    assert (status, answer["where"]) == (422, f"/edits/1/values/{where}")
    assert shown["net.ipv4.vs.sloppy_tcp"]["value"] == "0"
    assert served.world.port.settings == before
    assert served.world.port.keys == {}
    assert not served.world.saved[-1].settings


@pytest.mark.parametrize("values", [None, [], {"net.ipv4.vs.sloppy_tcp": 1}, {"a": None}])
def test_settings_of_the_wrong_form_are_refused(served, values):
    edits = {"edits": [{"op": "settings.set", "values": values}]}
    status, answer = served.talk(lambda ask: ask("POST", "/v1/edits", edits))
    assert (status, answer["code"]) == (400, "invalid")


def test_the_defence_is_written_when_it_changes_and_shown(served):
    world = served.world
    world.do(SetSettings(values=dict.fromkeys(("drop_packet", "secure_tcp"), "1")))
    assert world.port.settings.secure_tcp == 0
    world.port.written.clear()
    assert [type(each).__name__ for each in world.director.defend(1000)] == ["PutSettings"]
    assert world.director.defend(1000) == ()
    found = world.port.settings
    assert (found.drop_rate, found.drop_entry, found.secure_tcp) == (42, 0, 1)
    assert served.talk(settings_of)["net.ipv4.vs.drop_packet"]["value"] == "2"
    # An edit leaves the defence as it is, and the end of the shortage ends it.
    world.do(SetSettings(values={"sloppy_tcp": "1"}))
    assert (world.port.settings.drop_rate, world.port.settings.sloppy_tcp) == (42, 1)
    world.director.defend(2000)
    assert (world.port.settings.drop_rate, world.port.settings.secure_tcp) == (0, 0)
    assert served.talk(settings_of)["net.ipv4.vs.drop_packet"]["value"] == "1"
    world.start()
    assert world.repairs == ()


def test_a_defence_that_cannot_be_written_is_tried_again(served):
    world = served.world
    world.do(SetSettings(values={"secure_tcp": "1"}))
    world.port.fail_after = 0
    with pytest.raises(Problem):
        world.director.defend(0)
    assert world.port.settings.secure_tcp == 0
    assert world.director.defend(0)
    assert world.port.settings.secure_tcp == 1


def drain(n, **more):
    key = {"address": str(real(n)), "port": 80}
    return {"op": "destination.drain", "service": KEY, "destination": key, **more}


def test_drains_are_shown_and_wrong_ones_change_nothing(served):
    def conversation(ask):
        ask("POST", "/v1/edits", {"edits": [service(), destination(1), destination(2)]})
        assert ask("GET", "/v1/drains") == (200, {"drains": []})
        assert ask("POST", "/v1/edits", {"edits": [drain(2, seconds=30)]})[0] == 200
        refused = [
            ask("POST", "/v1/edits", {"edits": [drain(1, seconds=30), wrong]})
            for wrong in (drain(1, seconds=-1), drain(3), drain(1, seconds=1.5), drain(1, weight=0))
        ]
        return refused, ask("GET", "/v1/drains")

    refused, (_, shown) = served.talk(conversation)
    assert [(status, body["where"].partition("/edits/1")[2]) for status, body in refused[:2]] == [
        (422, "/seconds"),
        (422, "/destination"),
    ]
    assert [status for status, _ in refused[2:]] == [400, 400]
    (only,) = shown["drains"]
    assert only["destination"]["address"] == str(real(2))
    assert (only["until"] - only["since"], only["weight_before"]) == (30, 1)


def test_a_packet_is_explained(served):
    packet = {"protocol": "tcp", "source": "1.2.3.4", "destination": "10.0.0.1",
              "destination_port": 80}  # fmt: skip
    status, answer = served.talk(lambda ask: ask("POST", "/v1/explain", packet))
    assert (status, answer["reason"], answer["packet"]["title"]) == (200, "fwd_nat", "10.0.0.1")
    status, answer = served.talk(lambda ask: ask("POST", "/v1/explain", {**packet, "colour": 3}))
    assert (status, answer["code"]) == (400, "invalid")
    assert "colour" in answer["message"]


def test_metrics(served):
    served.world.do(add_service())
    status, text = served.talk(lambda ask: ask("GET", "/metrics"))
    assert status == 200
    assert b'xlvs_service_usable_destinations{service="tcp 10.0.0.1:80"} 0' in text
