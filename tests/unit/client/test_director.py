# SPDX-License-Identifier: Apache-2.0
"""The typed client, each method against the API itself."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_address

import pytest
from msgspec.structs import replace
from tests.unit.api.served import InMemory
from tests.unit.api.serving import talk
from tests.unit.datapath_plan.build import KEY, destination

from xlvs.client import Client, UnixSocket, connect, from_environment
from xlvs.model.configuration import Configuration
from xlvs.model.edit import AddDestination
from xlvs.model.mark import MarkRule
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Protocol
from xlvs.wire.explanation import ExplainRequest
from xlvs.wire.messages import Timeouts
from xlvs.wire.resources import ConfiguredService, MarkRules

WEB = ConfiguredService(key=KEY, scheduler="rr", destinations=(destination(1), destination(2)))
ONE = destination(1).key
TOKEN = "x" * 32


@pytest.fixture
def served(tmp_path):
    """Runs a conversation with a client."""
    api = InMemory()

    def run(conversation):
        client = Client(UnixSocket("x", str(tmp_path)))
        return talk(tmp_path / "x.sock", api.app, lambda _: conversation(client))

    return run


def test_services_and_real_servers(served):
    def conversation(client):
        written = client.put_service(WEB)
        assert written.changed
        assert client.service(KEY) == (WEB, written.tag)
        assert client.put_service(WEB) == (False, written.tag)
        assert client.put_service(replace(WEB, scheduler="wrr")).changed
        with pytest.raises(Problem) as caught:
            client.put_service(WEB, unless_changed=written.tag)
        assert caught.value.code is Code.OUTDATED
        with pytest.raises(Problem) as caught:
            client.delete_service(KEY, unless_changed=written.tag)
        assert caught.value.code is Code.OUTDATED
        one, tag = client.destination(KEY, ONE)
        assert client.put_destination(KEY, replace(one, weight=4), tag).changed
        client.drain(KEY, ONE, seconds=60)
        assert [each.destination for each in client.drains().drains] == [ONE]
        client.undrain(KEY, ONE)
        assert client.destination(KEY, ONE).value.weight == 4
        client.delete_destination(KEY, ONE)
        assert len(client.service_counters(KEY).destinations) == 1
        assert len(client.services().services) == 1
        client.delete_service(KEY)
        with pytest.raises(Problem) as caught:
            client.service(KEY)
        assert caught.value.code is Code.NO_SUCH_SERVICE

    served(conversation)


def edits(*numbers):
    return [AddDestination(service=KEY, destination=destination(n)) for n in numbers]


def test_edits_that_are_sent_piece_by_piece(served):
    def conversation(client):
        client.put_service(replace(WEB, destinations=()))
        batch = client.batch("continue")
        for _ in range(2):
            batch.more(edits(1, 2))
        assert not client.service(KEY).value.destinations  # all at the end
        codes = [each and each.code for each in batch.results()]
        assert codes == [None, None, "destination_exists", "destination_exists"]
        batch = client.batch("abort")
        batch.more(edits(3))
        batch.more(edits(1))
        with pytest.raises(Problem) as caught:
            batch.results()
        assert caught.value.where.startswith("/edits/1/")
        batch = client.batch("abort")
        batch.more(edits(3))
        batch.close()  # whoever goes away has changed nothing
        assert client.batch("abort").results() == []
        assert [each.key for each in client.service(KEY).value.destinations] == [
            destination(2).key,
            ONE,
        ]

    served(conversation)


def test_pieces_for_nobody(tmp_path):
    batch = Client(UnixSocket("x", str(tmp_path))).batch("continue")
    for _ in range(2):
        batch.more(edits(1))
    with pytest.raises(Problem, match="xlvsd is not running"):
        batch.results()


def test_more_than_is_taken(monkeypatch, request):
    """Who refuses has not read everything."""
    monkeypatch.setattr("xlvs.api.app.BODY_MAX", 1 << 16)
    served = request.getfixturevalue("served")

    def conversation(client):
        batch = client.batch("continue")
        for _ in range(100):
            batch.more(edits(*range(1, 100)))
        with pytest.raises(Problem) as caught:
            batch.results()
        assert caught.value.code in {Code.NO_SPACE, Code.INTERNAL}

    served(conversation)


def test_everything_else(served):
    def conversation(client):
        whole, tag = client.configuration()
        assert client.put_configuration(replace(whole, services=(WEB,)), tag).changed
        assert client.put_timeouts(Timeouts(udp=7)).changed
        assert client.timeouts().udp == 7
        rules = MarkRules(rules=(MarkRule(mark=3),))
        assert client.put_marks(rules).changed
        assert client.marks() == rules
        name = "net.ipv4.vs.sloppy_tcp"
        assert client.change_settings({name: "1"}).changed
        assert {each.name: each.value for each in client.settings().settings}[name] == "1"
        assert client.change_settings({name: None}).changed
        assert client.plan(Configuration()) == ["a change"]
        assert client.apply(Configuration())[0].startswith("0 services by ")
        client.zero()
        client.zero(KEY)
        assert client.counters().totals.connections == 0
        assert client.health().services == []
        assert client.vrrp().instances == []
        assert client.sync().sync is None
        assert client.status().instance == "edge"
        assert list(client.connections()) == []
        packet = ExplainRequest(
            protocol=Protocol.TCP,
            source=ip_address("1.2.3.4"),
            destination=ip_address("10.0.0.1"),
            destination_port=80,
        )
        assert client.explain(packet).reason == "fwd_nat"

    served(conversation)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.0.0.1:8443", "without TLS only this machine"),
        ("ftp://10.0.0.1", "a director's URL is https://HOST:PORT"),
        ("edge1:8443", "a director's URL is"),
        ("https://", "a director's URL is"),
        ("https://edge1/v1", "a director's URL is"),
        ("https://edge1:99999", "https://edge1:99999: "),
    ],
)
def test_urls_that_are_none(url, words):
    with pytest.raises(Problem, match=words):
        connect(url, token=TOKEN)


def test_the_environment_says_which_director(monkeypatch, tmp_path):
    monkeypatch.setenv("XLVS_URL", "http://localhost:1")
    with pytest.raises(Problem, match="needs XLVS_TOKEN_FILE"):
        from_environment()
    monkeypatch.setenv("XLVS_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(Problem, match="cannot be read"):
        from_environment()
    (tmp_path / "token").write_text("abc\n")
    with pytest.raises(Problem, match=r"no answer from xlvsd \(http://localhost:1\)"):
        from_environment().timeouts()
    monkeypatch.setenv("XLVS_URL", "https://localhost:1")
    monkeypatch.setenv("XLVS_AUTHORITY", str(tmp_path / "none.pem"))
    with pytest.raises(Problem, match=r"none\.pem cannot be read"):
        from_environment()


def test_ipvsadm_does_without():
    """It imports the client's core alone."""
    code = "import sys, xlvs.cli.ipvsadm.main; print('xlvs.client.director' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
