# SPDX-License-Identifier: Apache-2.0
"""SYN proxy whose servers are told their clients, by TOA and the PROXY protocol, on both hooks."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath.records import Method, ServiceFlag
from xlvs.io.syn_maps import SynMaps
from xlvs.protocols.tcp_syn import segment as syn_segment

from . import test_proxy_header as header_of
from . import world as w
from .test_forwarding import FAMILIES
from .test_syn_proxy import (
    ISN,
    LINUX,
    ON,
    SERVER_ISN,
    acknowledged,
    answer,
    answered,
    client,
    proxied,
    server,
)
from .test_toa import PORT, known, parts, right, toa
from .world import Out, World

_WORD = 0xFFFFFFFF
HOW = pytest.mark.parametrize("how", ["toa", "v1", "v2", "tlvs", "toa v1", "toa v2", "toa tlvs"])
STAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (900, 0))]


def flags(how: str) -> ServiceFlag:
    found = ON
    for word in how.split():
        found |= ServiceFlag.TOA if word == "toa" else header_of.FLAGS[word]
    return found


class Told:
    """A service whose servers are told how; a client that shakes hands with it."""

    def __init__(self, director: World, v6: bool, how: str, method: Method) -> None:
        self.director, self.v6, self.how, self.method = director, v6, how, method
        director.set(toa_kind=254)
        proxied(director, method, v6, flags(how))
        self.option = toa(v6) if "toa" in how else b""
        version = how.rsplit(maxsplit=1)[-1]
        self.length = len(header_of.wanted(v6, version)) if version != "toa" else 0
        self.header = b""

    def ask(self) -> Packet:
        """The SYN and the acknowledgement; the SYN that the server gets."""
        self.said = answered(self.director, self.v6)
        out = acknowledged(self.director, self.v6, self.said)
        assert out.reason == f"fwd_{self.method.name.lower()}"
        assert right(out.packet)
        (found,) = self.director.connections()
        self.port = found.local_port if self.method is Method.FULLNAT else PORT
        return out.packet

    def shake(self) -> tuple[Packet, Packet]:
        """The server's SYN-ACK: what the client gets, and what the server."""
        theirs = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5000, 800)), ("WScale", 10)]
        packet = server(self.method, self.v6, self.port, "SA", SERVER_ISN, ISN + 1, theirs)
        to_client, to_server = answer(self.director, packet)
        self.header = parts(to_server)[1]
        assert len(self.header) == self.length
        wanted = header_of.wanted(self.v6, self.how.split()[-1]) if self.length else b""
        unique = 16 if "tlvs" in self.how else 0
        assert self.header[: self.length - unique] == wanted[: self.length - unique]
        return to_client, to_server

    def sent(
        self, sequence: int, payload: bytes = b"", kind: str = "PA", options: object = ()
    ) -> tuple[int, bytes, bytes]:
        """A client's segment: its number from the ISN on, options, payload at the server."""
        ack = self.said[TCP].seq + 1
        out = self.director.client(client(self.v6, kind, ISN + sequence, ack, options) / payload)
        assert out.reason == f"fwd_{self.method.name.lower()}"
        assert right(out.packet)
        tcp = out.packet[TCP]
        assert tcp.ack == SERVER_ISN + 1
        return (tcp.seq - ISN & _WORD, *parts(out.packet))

    def answered(
        self, ack: int, payload: bytes = b"", options: object = ()
    ) -> tuple[int, dict[object, object]]:
        """What the client gets: the acknowledgement from its ISN on, and the options."""
        kind = "PA" if payload else "A"
        packet = server(self.method, self.v6, self.port, kind, SERVER_ISN + 1, ISN + ack, options)
        out = self.director.server(packet / payload)
        assert out.reason == "fwd_reply"
        assert right(out.packet)
        tcp = out.packet[TCP]
        assert tcp.seq == self.said[TCP].seq + 1 & _WORD
        assert parts(out.packet)[1] == payload
        return tcp.ack - ISN & _WORD, dict(tcp.options)


def told(director: World, v6: bool, how: str) -> Told:
    return Told(director, v6, how, Method.FULLNAT if "toa" in how else Method.NAT)


@FAMILIES
@HOW
def test_the_handshake_tells_the_server(director: World, v6: bool, how: str) -> None:
    t = told(director, v6, how)
    syn = t.ask()
    assert (str(syn[TCP].flags), syn[TCP].seq) == ("S", ISN)
    options, payload = parts(syn)
    assert options.startswith(t.option)
    assert len(options) == len(t.option) + 20, "all that the client asked for besides"
    assert payload == b""
    for _ in range(2):  # the second if something was lost
        to_client, to_server = t.shake()
        tcp = to_server[TCP]
        assert (str(tcp.flags), tcp.seq, tcp.ack) == ("A", ISN + 1 & _WORD, SERVER_ISN + 1)
        options = parts(to_server)[0]
        assert options == t.option + bytes.fromhex("0101080a0000032000001388")
        assert right(to_server)
        assert (to_server.src, to_server.dst) == (w.MAC1, w.server_mac(1))
        tcp = to_client[TCP]
        assert (str(tcp.flags), tcp.ack, tcp.window) == ("A", ISN + 1 & _WORD, 65160 >> 7)
        assert parts(to_client)[1] == b"", "the header is the server's alone"
        assert len(parts(to_client)[0]) == 12
        assert right(to_client)
    events = {"toa": 3} if t.option else {}
    assert director.streams() == events | ({"proxy": 2} if t.length else {})


@FAMILIES
@HOW
def test_numbers_of_both_ends_are_shifted(director: World, v6: bool, how: str) -> None:
    t = told(director, v6, how)
    t.ask()
    t.shake()
    h = t.length
    # The acknowledgement with the header may have been lost: the client's first data has it too.
    first = t.sent(1, b"GET /", options=STAMPS)
    assert first[0] == 1
    assert first[1].startswith(t.option)
    assert first[2] == t.header + b"GET /"
    if h:
        assert t.sent(6, b"more")[::2] == (6 + h, b"more")
        assert t.answered(1 + h // 2)[0] == 1, "within the header: of the client's nothing"
    assert t.answered(1 + h, b"220 ready")[0] == 1
    assert t.sent(1, b"GET /") == (1 + h, b"", b"GET /")
    assert t.answered(6 + h)[0] == 6
    block = ("SAck", (ISN + 10 + h & _WORD, ISN + 20 + h & _WORD))
    _, options = t.answered(6 + h, options=[("NOP", None), ("NOP", None), block])
    assert options["SAck"] == (ISN + 10 & _WORD, ISN + 20 & _WORD)
    assert t.sent(6, b"", "FA")[0] == 6 + h


@FAMILIES
@HOW
def test_a_server_that_speaks_first(director: World, v6: bool, how: str) -> None:
    t = told(director, v6, how)
    t.ask()
    t.shake()
    assert t.answered(1 + t.length, b"220 ready")[0] == 1
    assert t.sent(1, b"EHLO") == (1 + t.length, b"", b"EHLO")


@FAMILIES
@HOW
def test_what_is_lost_comes_again(director: World, v6: bool, how: str) -> None:
    """The SYN to the server: the client's probe is it once more, with all that it said."""
    t = told(director, v6, how)
    syn = t.ask()
    out: Out = director.client(client(v6, "A", ISN, t.said[TCP].seq + 1))
    assert bytes(out.packet[TCP]) == bytes(syn[TCP])
    (waiting,) = SynMaps(director.path).waiting()
    assert syn_segment(waiting.syn) == bytes(syn[TCP]), "the daemon's as well"
    t.shake()
    assert t.answered(1 + t.length)[0] == 1


@FAMILIES
@pytest.mark.parametrize("how", ["toa", "toa v2"])
def test_a_clients_own_option_never_wins(director: World, v6: bool, how: str) -> None:
    t = told(director, v6, how)
    forged = (254, b"\x12\x34" + bytes(16 if v6 else 4))
    t.said = answered(director, v6, [*LINUX, forged] if not v6 else [("MSS", 1460), forged])
    out = acknowledged(director, v6, t.said)
    assert known(parts(out.packet)[0])[0] == t.option
    assert [each for each in known(parts(out.packet)[0]) if each[0] == 254] == [t.option]
    (found,) = director.connections()
    t.port = found.local_port
    theirs = [("MSS", 1460)]
    answer(director, server(t.method, v6, t.port, "SA", SERVER_ISN, ISN + 1, theirs))
    options = t.sent(1, b"x", options=[forged])[1]
    assert [each for each in known(options) if each[0] == 254] == [t.option]
    assert director.streams()["toa_forged"] == 1


@FAMILIES
def test_a_client_with_mptcp_is_answered_plainly(director: World, v6: bool) -> None:
    """MP_CAPABLE is not repeated: RFC 8684 3.7, the client goes on without."""
    proxied(director, Method.NAT, v6)
    capable = (30, bytes.fromhex("0181"))
    said = answered(director, v6, [("MSS", 1460), ("Timestamp", (777, 0)), capable])
    assert {kind for kind, _ in said[TCP].options} == {"MSS", "NOP", "Timestamp"}
    out = acknowledged(director, v6, said)
    assert {kind for kind, _ in out.packet[TCP].options} == {"MSS", "NOP", "Timestamp"}


def test_in_peace_they_are_told_as_without(director: World) -> None:
    """Auto, and no attack: the SYN goes on with the option, and the acknowledgement."""
    t = told(director, False, "toa v2")
    record = director.layout.unpack(r.Service, director.path.map("services").lookup(0) or b"")
    calm = int(flags("toa v2") & ~ServiceFlag.SYN_COOKIES)
    director.path.map("services").update(0, director.layout.pack(record._replace(flags=calm)))
    out = director.client(client(False, "S", ISN, options=LINUX))
    assert out.reason == "fwd_fullnat"
    assert parts(out.packet)[0].startswith(t.option)
    assert (IP in out.packet, IPv6 in out.packet) == (True, False)
