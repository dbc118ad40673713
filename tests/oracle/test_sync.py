# SPDX-License-Identifier: Apache-2.0
"""``facts/sync``: messages of the kernel's master, and what its backup made of messages."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_address
from typing import Any

import pytest

from xlvs.model import merging
from xlvs.model.synced import Flag, Forward, SctpState, Synced, TcpState
from xlvs.protocols.ipvs_sync import backup, codec
from xlvs.protocols.ipvs_sync.master import FLUSH_AFTER, Master
from xlvs.protocols.ipvs_sync.rules import Rules, Watch

from . import facts

MASTER = facts.load("sync/master")["stories"]
BACKUP = facts.load("sync/backup")["stories"]
MORE = facts.load("sync/more-backup")
RULES = facts.load("sync/rules")

_PROTOCOLS = {0: "IP", 6: "TCP", 17: "UDP", 132: "SCTP"}
_TIMEOUTS = {  # a backup's own, for messages without
    "ESTABLISHED": 900, "FIN_WAIT": 120, "CLOSE": 10, "CLOSE_WAIT": 60, "UDP": 300, "SYN_RECV": 60,
    "TIME_WAIT": 120, "LAST_ACK": 30, "INIT1": 3, "CLOSED": 10, "S-SENT": 3,
}  # fmt: skip
_SCTP = {
    SctpState.INIT1: "INIT1",
    SctpState.SHUTDOWN_SENT: "S-SENT",
    SctpState.SHUTDOWN_RECEIVED: "S-RECEIVED",
    SctpState.SHUTDOWN_ACK_SENT: "S-ACK-SENT",
    SctpState.COOKIE_ECHOED: "C-ECHOED",
}
# No director of IPVS sends them: ESP follows the connection of its key exchange. The last
# one's time-out is more than a listing's number can hold.
_ESP, _OVERFLOW = "esp", "very long time-out"


def messages(story: dict[str, Any]) -> list[dict[str, Any]]:
    return [step["sync_message"] for step in story["steps"] if "sync_message" in step]


@pytest.mark.parametrize("story", MASTER, ids=lambda story: story["name"])
def test_the_masters_messages_are_read_and_made_again(story: dict[str, Any]) -> None:
    for message in messages(story):
        data = bytes.fromhex(message["payload_hex"])
        decoded = codec.decode(data, sync_id=7)
        assert not decoded.faults
        read = message["decoded"]
        if decoded.version:
            for connection, expected in zip(decoded.entries, read["messages"], strict=True):
                assert connection.v6 == (expected["type"] == "IPv6")
                assert connection.protocol == expected["protocol"]
                assert connection.flags == int(expected["flags"], 16)
                assert connection.state == expected["state"]
                assert connection.client_port == expected["cport"]
                assert connection.server_port == expected["dport"]
                assert connection.fwmark == expected["fwmark"]
                assert connection.timeout == expected["timeout"]
                assert str(ip_address(connection.client)) == expected["caddr"]
                assert str(ip_address(connection.virtual)) == expected["vaddr"]
                assert str(ip_address(connection.server)) == expected["daddr"]
        else:
            assert len(decoded.entries) == read["header"]["count"]
        master = Master(7, version=decoded.version)
        master.offer(decoded.entries, 0.0)
        made = master.next(FLUSH_AFTER)
        assert made is not None
        assert made.data == data


class Table:
    """A connection table by the rules of ``merging``, listed as ipvsadm does."""

    def __init__(self) -> None:
        self.held: dict[Any, Synced] = {}

    def take(self, new: Synced) -> None:
        held = self.held.get(new.key)
        match merging.effect(held, new):
            case merging.Effect.OPEN | merging.Effect.REPLACE:
                self.held[new.key] = new
            case merging.Effect.UPDATE:
                assert held is not None
                self.held[new.key] = merging.updated(held, new)

    def lines(self) -> list[tuple[str, str, str, str, str, int]]:
        return sorted(self._line(one) for one in self.held.values())

    @staticmethod
    def _line(one: Synced) -> tuple[str, str, str, str, str, int]:
        if one.template:
            state = {0: "NONE", 1: "ASSURED"}.get(one.state, "ERR!")
            default = int(merging.TEMPLATE_TIMEOUT)
        else:
            if one.protocol == codec.SCTP:
                state = _SCTP.get(SctpState(one.state), SctpState(one.state).name)
            else:
                state = TcpState(one.state).name if one.protocol == codec.TCP else "UDP"
            default = _TIMEOUTS.get(state, 0)
        return (
            _PROTOCOLS.get(one.protocol, f"IP_{one.protocol}"),
            _end(one.client, one.client_port),
            _end(one.virtual, one.virtual_port),
            _end(one.server, one.server_port),
            state,
            int(one.timeout) or default,
        )


def _end(address: bytes, port: int) -> str:
    text = str(ip_address(address))
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _same(got: list[Any], expected: list[Any], *, times: bool = True) -> None:
    assert [line[:5] for line in got] == [line[:5] for line in expected]
    for ours, theirs in zip(got, expected, strict=True):
        assert not times or 0 <= ours[5] - theirs[5] <= 3, (ours, theirs)


@pytest.mark.parametrize("story", BACKUP, ids=lambda story: story["from"])
def test_recorded_messages_give_the_recorded_table(story: dict[str, Any]) -> None:
    receiver, table = backup.Backup(story["backup_syncid"]), Table()
    for step in story["received"]:
        for connection in receiver.receive(bytes.fromhex(step["payload_hex"])):
            table.take(connection)
        expected = []
        for line in step["conns"]:
            protocol, client, virtual, server, state, left, *_ = line.split()
            expected.append((protocol, client, virtual, server, state, int(left)))
        _same(table.lines(), sorted(expected))


@pytest.mark.parametrize("story", MORE["stories"], ids=lambda story: story["name"])
def test_crafted_messages_give_the_recorded_table(story: dict[str, Any]) -> None:
    receiver, table = backup.Backup(7), Table()
    for step in story["received"]:
        for connection in receiver.receive(bytes.fromhex(step["payload_hex"])):
            table.take(connection)
        expected = []
        for line in step["conns"]:
            protocol, left, state, client, virtual, server, *_ = line.split()
            minutes, seconds = left.split(":")
            time = int(minutes) * 60 + int(seconds)
            expected.append((protocol, client, virtual, server, state, time))
        if story["name"] == _ESP:
            expected = [line for line in expected if line[0] != "IP_50"]
        _same(table.lines(), sorted(expected), times=story["name"] != _OVERFLOW)


@pytest.mark.parametrize("run", RULES["runs"], ids=lambda run: str(run["sysctl"]))
def test_the_same_packets_send_the_same_connections(run: dict[str, Any]) -> None:
    sysctl = run["sysctl"]
    threshold, period = map(int, sysctl["sync_threshold"].split())
    refresh = sysctl.get("sync_refresh_period", 0)
    rules = Rules(
        threshold, period, refresh, sysctl.get("sync_retries", 0), "sync_persist_mode" in sysctl
    )
    got = _sent(run, Watch(rules, version=sysctl.get("sync_version", 1)), rules)
    expected: dict[bytes, list[tuple[bool, int]]] = defaultdict(list)
    for message in run["messages"]:
        decoded = codec.decode(bytes.fromhex(message), 7)
        assert not decoded.faults
        for one in decoded.entries:
            expected[one.client].append((one.template, one.state))
    assert expected
    if refresh:  # the recording's clock has steps of 40 ms in this rule
        for client, sent in expected.items():
            assert got[client][:2] == sent[:2]
            assert abs(len(got[client]) - len(sent)) <= 3
    else:
        assert got == expected


_NUMBERS = {
    6: {state.name: int(state) for state in TcpState},
    17: {"UDP": 0},
    132: {_SCTP.get(state, state.name): int(state) for state in SctpState},
}


def _sent(run: dict[str, Any], watch: Watch, rules: Rules) -> dict[bytes, list[tuple[bool, int]]]:
    """The same packets through our rules."""
    found: dict[bytes, list[tuple[bool, int]]] = defaultdict(list)
    packets: dict[int, int] = defaultdict(int)
    virtual = ip_address("10.0.0.1").packed
    for now, number, state, assured in run["events"]:
        client = run["clients"][number]
        port = client["virtual_port"]
        protocol = 132 if port == 99 else 6 if port >= 80 else 17
        packets[number] += 1
        first = {6: "SYN_RECV", 17: "UDP", 132: "INIT1"}[protocol]
        address = ip_address(client["address"]).packed
        connection = Synced(
            protocol=protocol,
            client=address,
            client_port=client["port"],
            virtual=virtual,
            virtual_port=port,
            server=b"\0\0\0\0",
            server_port=port,
            flags=Flag.ONE_PACKET if port in {54, 55} else int(Forward.NAT),
            # The first packet may have been under way still.
            state=_NUMBERS[protocol].get(state or first, 0),
            timeout=float(_TIMEOUTS.get(state or first, 900)),
        )
        template = None
        if assured is not None:
            template = connection._replace(
                client_port=0,
                flags=Flag.TEMPLATE,
                state=int(assured == "ASSURED"),
                timeout=100.0 if port == 82 else 30.0,
            )
        count = rules.threshold if port in {54, 55} else packets[number]
        for one in watch.packet(connection, count, now, template):
            found[address].append((one.template, one.state))
    return found
