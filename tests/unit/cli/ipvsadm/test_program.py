# SPDX-License-Identifier: Apache-2.0
"""Whole runs: batches, local addresses, a daemon that is not there."""

from __future__ import annotations

import io
from ipaddress import ip_address

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.oracle.desired_director import DesiredDirector, Run, TableNames

from xlvs.cli.ipvsadm.program import Program
from xlvs.model.desired import Desired, apply
from xlvs.model.edit import PutList, SetPool
from xlvs.model.problem import Code, Problem


class Absent(DesiredDirector):
    def edit(self, *_):
        raise Problem(Code.INTERNAL, "xlvsd is not running")

    def listing(self, _numbers=""):
        raise Problem(Code.INTERNAL, "xlvsd is not running")


def test_no_words_list_everything() -> None:
    assert Run(DesiredDirector(), []).out.startswith("IP Virtual Server version 1.2.1 (size=4096)")


@pytest.mark.parametrize("words", [["-L"], ["-A", "-f", "1"], ["-S"], ["-C"]])
def test_without_a_daemon_there_is_one_sentence(words) -> None:
    run = Run(Absent(), words)
    assert (run.status, run.err, run.out) == (255, "xlvsd is not running\n", "")


def test_without_a_daemon_help_helps() -> None:
    assert Run(Absent(), ["-h"]).status == 0


def test_lines_between_listings_travel_together() -> None:
    director = DesiredDirector()
    text = "-A -f 1\n-A -f 1\n-A -f 2\n-S\n-A -f 3\n-D -f 9\n"
    run = Run(director, ["-R"], text)
    assert director.requests == 2
    assert run.out == "-A -f 1 -s wlc\n-A -f 2 -s wlc\n"
    assert run.err == "Service already exists\nNo such service\n"
    assert run.status == 255
    assert len(director.desired.services) == 3


class Batching(DesiredDirector):
    """Its batches come as one request."""

    def batch(self, on_error):
        self.pieces = []
        return Batch(self, on_error)


class Batch:
    def __init__(self, director, on_error):
        self.director = director
        self.on_error = on_error
        self.edits = []

    def more(self, edits):
        self.director.pieces.append(len(edits))
        self.edits += edits

    def results(self):
        return self.director.edit(self.edits, self.on_error)


@pytest.mark.parametrize("last", ["-A -f 3", "-A -f x", "-A", "-L"])
def test_many_lines_set_out_before_the_last_one_is_read(last, monkeypatch) -> None:
    monkeypatch.setattr("xlvs.cli.ipvsadm.program._AT_ONCE", 2)
    text = f"-A -f 1\n-A -f 1\n-A -f 2\n-D -f 9\n{last}\n-A -f 4\n"
    one, other = Batching(), DesiredDirector()
    run = Run(one, ["-R"], text)
    monkeypatch.undo()
    alone = Run(other, ["-R"], text)
    assert (run.status, run.out, run.err) == (alone.status, alone.out, alone.err)
    assert one.desired == other.desired
    assert one.requests == other.requests
    assert one.pieces[:2] == [2, 2]


def test_a_line_that_ends_the_program_leaves_the_earlier_ones() -> None:
    director = DesiredDirector()
    run = Run(director, ["-R"], "-A -f 1\n-A -f 1\n-A -f x\n-A -f 2\n")
    assert run.err == "Service already exists\ninvalid fwmark value `x' specified\n"
    assert run.status == 2
    assert len(director.desired.services) == 1


def test_a_daemon_that_goes_away_is_said_once() -> None:
    run = Run(Absent(), ["-R"], "-A -f 1\n-A -f 2\n")
    assert (run.status, run.err) == (255, "xlvsd is not running\n")


def test_restore_begins_with_nothing() -> None:
    director = DesiredDirector()
    Run(director, ["-A", "-f", "1"])
    assert Run(director, [], "-A -f 2\n", "ipvsadm-restore").status == 0
    assert Run(director, ["-S"]).out == "-A -f 2 -s wlc\n"
    assert Run(director, [], "", "ipvsadm-restore").status == 0
    assert director.desired == Desired()


LOCAL = """\
-A -t 10.0.0.1:80 -s rr --local-address 10.2.0.8,10.2.0.9
-a -t 10.0.0.1:80 -r 10.3.0.1:80 --fullnat -w 1
-A -t [fd00::1]:80 -s rr --local-address fd00::9
"""


def test_fullnat_is_saved_and_listed() -> None:
    director = DesiredDirector()
    assert Run(director, ["-R"], LOCAL).status == 0
    assert Run(director, ["-Sn"]).out == LOCAL
    assert "10.3.0.1:80                  FullNat 1 " in Run(director, ["-Ln"]).out


def test_local_addresses_one_by_one() -> None:
    director = DesiredDirector()
    Run(director, ["-R"], LOCAL)
    service = "-t 10.0.0.1:80"
    change = f"{service} --local-address 10.2.0.9,10.2.0.7".split()
    run = Run(director, ["--add-laddr", *change])
    assert (run.status, run.err) == (255, "Local address already exists\n")
    run = Run(director, ["--add-laddr", *service.split(), "--local-address", "10.2.0.7"])
    assert run.status == 0
    assert Run(director, ["--del-laddr", *change]).status == 0
    assert Run(director, ["--get-laddr", "-n", *service.split()]).out == (
        "TCP  10.0.0.1:80\n  <- 10.2.0.8\n"
    )
    run = Run(director, ["--del-laddr", *change])
    assert (run.status, run.err) == (255, "No such local address\n")


def test_a_pool_of_local_addresses() -> None:
    director = DesiredDirector()
    add = ["-A", "-t", "10.0.0.1:80", "-s", "rr", "--local-pool", "edge"]
    run = Run(director, add)
    assert (run.status, run.err) == (
        255,
        "there is no pool 'edge' of local addresses (there is none)\n",
    )
    addresses = (ip_address("10.2.0.8"), ip_address("10.2.0.9"))
    director.edit([SetPool(name="edge", addresses=addresses)])
    assert Run(director, add).status == 0
    assert Run(director, ["-Sn"]).out == f"{' '.join(add)}\n"
    assert Run(director, ["--get-laddr", "-n"]).out == (
        "TCP  10.0.0.1:80\n  <- 10.2.0.8\n  <- 10.2.0.9\n"
    )
    assert Run(director, ["-E", "-t", "10.0.0.1:80", "-s", "wrr"]).status == 0
    assert Run(director, ["-Sn"]).out == "-A -t 10.0.0.1:80 -s wrr --local-pool edge\n"
    own = ["-E", "-t", "10.0.0.1:80", "-s", "wrr", "--local-address", "10.2.0.1"]
    assert Run(director, own).status == 0
    assert Run(director, ["-Sn"]).out == "-A -t 10.0.0.1:80 -s wrr --local-address 10.2.0.1\n"


def test_an_edit_of_the_service_keeps_local_addresses_unless_told() -> None:
    director = DesiredDirector()
    Run(director, ["-R"], LOCAL)
    edit = ["-E", "-t", "10.0.0.1:80", "-s", "wrr"]
    assert Run(director, edit).status == 0
    assert "-s wrr --local-address 10.2.0.8,10.2.0.9\n" in Run(director, ["-Sn"]).out
    assert Run(director, [*edit, "--local-address", "10.2.0.1"]).status == 0
    assert "-s wrr --local-address 10.2.0.1\n" in Run(director, ["-Sn"]).out


STATELESS = """\
-A -t 10.0.0.1:80 -s mh -b mh-fallback,mh-port --stateless
-a -t 10.0.0.1:80 -r 10.3.0.1:80 -i -w 1 --tun-type ipip
-a -t 10.0.0.1:80 -r 10.3.0.2:80 -g -w 1
-A -t [fd00::1]:80 -s mh --stateless
"""


def test_a_stateless_service_is_saved_and_listed() -> None:
    director = DesiredDirector()
    assert Run(director, ["-R"], STATELESS).status == 0
    saved = Run(director, ["-Sn"]).out
    assert sorted(saved.splitlines()) == sorted(STATELESS.splitlines())
    again = DesiredDirector()
    assert Run(again, ["-R"], saved).status == 0
    assert again.desired == director.desired
    listed = Run(director, ["-Ln"]).out
    assert "TCP  10.0.0.1:80 mh (mh-fallback,mh-port) stateless\n" in listed
    assert "TCP  [fd00::1]:80 mh stateless\n" in listed


def test_an_edit_that_does_not_say_stateless_is_not() -> None:
    director = DesiredDirector()
    Run(director, ["-R"], STATELESS)
    service = ["-t", "10.0.0.1:80", "-s", "mh"]
    assert Run(director, ["-E", *service]).status == 0
    assert "-A -t 10.0.0.1:80 -s mh\n" in Run(director, ["-Sn"]).out
    assert Run(director, ["-E", *service, "--stateless"]).status == 0
    assert "-A -t 10.0.0.1:80 -s mh --stateless\n" in Run(director, ["-Sn"]).out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-A -t 10.0.0.2:80 --stateless", "by its hash alone (mh), not wlc"),
        ("-A -t 10.0.0.2:80 -s sh --stateless", "by its hash alone (mh), not sh"),
        ("-E -t 10.0.0.1:80 -s mh -p --stateless", "a stateless service cannot be persistent"),
        ("-A -u 10.0.0.2:80 -s mh -o --stateless", "cannot schedule packet by packet"),
        ("-a -t 10.0.0.1:80 -r 10.3.0.3:80 -m", "dr and tun only: nat to 10.3.0.3"),
        ("-e -t 10.0.0.1:80 -r 10.3.0.2:80 --fullnat", "dr and tun only: fullnat to 10.3.0.2"),
    ],
)
def test_what_a_stateless_service_cannot_be_is_said(line, said) -> None:
    director = DesiredDirector()
    Run(director, ["-R"], STATELESS)
    before = director.desired
    run = Run(director, line.split())
    assert said in run.err
    assert run.status == 255
    assert director.desired == before


TOA = """\
-A -t 10.0.0.1:80 -s rr --toa --local-address 10.8.0.1
-a -t 10.0.0.1:80 -r 10.3.0.1:80 --fullnat -w 1
-A -f 7 -s rr --toa
"""


def test_toa_is_saved_and_listed() -> None:
    director = DesiredDirector()
    assert Run(director, ["-R"], TOA).status == 0
    saved = Run(director, ["-Sn"]).out
    assert sorted(saved.splitlines()) == sorted(TOA.splitlines())
    again = DesiredDirector()
    assert Run(again, ["-R"], saved).status == 0
    assert again.desired == director.desired
    assert "TCP  10.0.0.1:80 rr toa\n" in Run(director, ["-Ln"]).out
    # As all else that an edit does not name, it is gone then.
    assert Run(director, ["-E", "-t", "10.0.0.1:80", "-s", "rr"]).status == 0
    assert "TCP  10.0.0.1:80 rr\n" in Run(director, ["-Ln"]).out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-A -u 10.0.0.2:80 --toa", "toa is an option of TCP: udp has none"),
        ("-a -t 10.0.0.1:80 -r 10.3.0.3:80 -m", "toa is for fullnat: by nat 10.3.0.3 sees"),
        ("-e -t 10.0.0.1:80 -r 10.3.0.1:80 -g", "toa is for fullnat: by dr 10.3.0.1 sees"),
    ],
)
def test_where_toa_cannot_be_is_said(line, said) -> None:
    director = DesiredDirector()
    Run(director, ["-R"], TOA)
    before = director.desired
    run = Run(director, line.split())
    assert said in run.err
    assert run.status == 255
    assert director.desired == before


PROXY = """\
-A -t 10.0.0.1:80 -s rr --proxy-protocol v1
-a -t 10.0.0.1:80 -r 10.3.0.1:80 -m -w 1
-A -f 7 -s rr --toa --proxy-protocol v2 --proxy-tlv mark,id
"""


def test_the_proxy_protocol_is_saved_and_listed() -> None:
    director = DesiredDirector()
    assert Run(director, ["-R"], PROXY).status == 0
    saved = Run(director, ["-Sn"]).out
    assert sorted(saved.splitlines()) == sorted(PROXY.splitlines())
    again = DesiredDirector()
    assert Run(again, ["-R"], saved).status == 0
    assert again.desired == director.desired
    listed = Run(director, ["-Ln"]).out
    assert "TCP  10.0.0.1:80 rr proxy-protocol v1\n" in listed
    assert "FWM  7 rr toa proxy-protocol v2 proxy-tlv mark,id\n" in listed
    assert Run(director, ["-E", "-t", "10.0.0.1:80", "-s", "rr"]).status == 0
    assert "TCP  10.0.0.1:80 rr\n" in Run(director, ["-Ln"]).out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-A -t 10.0.0.2:80 --proxy-protocol v3", "illegal proxy-protocol specified: it is v1 or"),
        ("-A -t 10.0.0.2:80 --proxy-protocol=", "illegal proxy-protocol specified: it is v1 or"),
        ("-A -t 10.0.0.2:80 --proxy-tlv id,x", "illegal proxy-tlv specified: mark, id"),
        ("-A -t 10.0.0.2:80 --proxy-tlv id", "only version 2 of the PROXY protocol"),
        ("-A -u 10.0.0.2:80 --proxy-protocol v2", "is for streams of TCP: udp has none"),
        ("-a -t 10.0.0.1:80 -r 10.3.0.3:80 -g", "for nat and fullnat: by dr the answers of 10.3"),
    ],
)
def test_where_the_proxy_protocol_cannot_be_is_said(line, said) -> None:
    director = DesiredDirector()
    Run(director, ["-R"], PROXY)
    before = director.desired
    run = Run(director, line.split())
    assert said in run.err
    assert run.status
    assert director.desired == before


TIMEOUTS = """\
-A -t 10.0.0.1:80 -s rr --tcp-timeout 60 --tcpfin-timeout 5
-A -u 10.0.0.1:53 -s rr -o --udp-timeout 10
-A -f 7 -s rr --tcpfin-timeout 9 --udp-timeout 2678400
"""


def test_time_outs_of_a_service_are_saved_and_listed() -> None:
    director = DesiredDirector()
    assert Run(director, ["-R"], TIMEOUTS).status == 0
    saved = Run(director, ["-Sn"]).out
    assert sorted(saved.splitlines()) == sorted(TIMEOUTS.splitlines())
    again = DesiredDirector()
    assert Run(again, ["-R"], saved).status == 0
    assert again.desired == director.desired
    listed = Run(director, ["-Ln"]).out
    assert "TCP  10.0.0.1:80 rr tcp-timeout 60 tcpfin-timeout 5\n" in listed
    assert "UDP  10.0.0.1:53 rr ops udp-timeout 10\n" in listed
    # As all else that an edit does not name, they are gone then.
    assert Run(director, ["-E", "-t", "10.0.0.1:80", "-s", "rr"]).status == 0
    assert "TCP  10.0.0.1:80 rr\n" in Run(director, ["-Ln"]).out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-A -t 10.0.0.2:80 --udp-timeout 5", "tcp services have no use for the time-out udp"),
        ("-A -u 10.0.0.2:80 --tcp-timeout 5", "udp services have no use for the time-out tcp"),
        ("-E -u 10.0.0.1:53 --tcpfin-timeout 5", "no use for the time-out tcp_fin"),
        ("-A --sctp-service 10.0.0.2:80 --tcp-timeout 5", "sctp services have no use for"),
        ("-A -t 10.0.0.2:80 -s mh --stateless --tcp-timeout 5", "keeps no connections"),
        ("-A -t 10.0.0.2:80 --tcp-timeou 5", "--tcp-timeou: unknown option"),
    ],
)
def test_what_time_outs_a_service_cannot_have_is_said(line, said) -> None:
    director = DesiredDirector()
    Run(director, ["-R"], TIMEOUTS)
    before = director.desired
    run = Run(director, line.split())
    assert said in run.err
    assert run.status == 255
    assert director.desired == before


LIMITS = """\
-A -t 10.0.0.1:80 -s rr --allow office,home --deny bad --client-connections 20 --client-rate 5:9
-A -u 10.0.0.1:53 -s rr --client-rate 7 --client-prefix 24 --service-rate 100
-A -f 7 -s rr --service-connections 1000 --service-rate 10:1000000
"""


def _with_lists() -> DesiredDirector:
    director = DesiredDirector()
    for name in ("office", "home", "bad"):
        director.desired = apply(director.desired, PutList(name=name, prefixes=("192.0.2.0/24",)))
    return director


def test_lists_and_limits_of_a_service_are_saved_and_listed() -> None:
    director = _with_lists()
    assert Run(director, ["-R"], LIMITS).status == 0
    saved = Run(director, ["-Sn"]).out
    assert sorted(saved.splitlines()) == sorted(LIMITS.splitlines())
    again = _with_lists()
    assert Run(again, ["-R"], saved).status == 0
    assert again.desired == director.desired
    listed = Run(director, ["-Ln"]).out
    assert "UDP  10.0.0.1:53 rr client-rate 7 client-prefix 24 service-rate 100\n" in listed
    # As all else that an edit does not name, they are gone then.
    assert Run(director, ["-E", "-t", "10.0.0.1:80", "-s", "rr"]).status == 0
    assert "TCP  10.0.0.1:80 rr\n" in Run(director, ["-Ln"]).out


SYN_PROXIES = """\
-A -t 10.0.0.1:80 -s rr --syn-proxy on --syn-mss 1300 --syn-wscale 4 --syn-no-sack
-A -t 10.0.0.2:80 -s rr --syn-proxy auto --syn-threshold 5 --syn-no-timestamps
-A -t 10.0.0.3:80 -s rr
-A -t 10.0.0.4:80 -s rr --syn-proxy on --syn-wscale 7 --syn-sack --syn-timestamps
"""


def test_syn_proxy_is_saved_and_listed() -> None:
    director = DesiredDirector()
    assert Run(director, ["-R"], SYN_PROXIES).status == 0
    saved = Run(director, ["-Sn"]).out
    assert sorted(saved.splitlines()) == sorted(SYN_PROXIES.splitlines())
    again = DesiredDirector()
    assert Run(again, ["-R"], saved).status == 0
    assert again.desired == director.desired
    listed = Run(director, ["-Ln"]).out
    assert "TCP  10.0.0.1:80 rr syn-proxy on\n" in listed
    assert "TCP  10.0.0.2:80 rr syn-proxy auto\n" in listed
    assert "TCP  10.0.0.3:80 rr\n" in listed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-A -t 10.0.0.2:80 --allow nobody", "there is no list of clients 'nobody'"),
        ("-A -t 10.0.0.2:80 --allow bad --deny bad", "the list bad is allowed and denied"),
        ("-A -t 10.0.0.2:80 --deny bad,bad", "a list is named once"),
        ("-A -t 10.0.0.2:80 --deny a,b,c,d,e,f,g,h,i", "a service names 8 lists at most"),
        ("-A -t 10.0.0.2:80 --deny b/d", "a list's name is 1 to 64 letters"),
        ("-A -t 10.0.0.2:80 --client-prefix 33", "1 to 32 bits here"),
        ("-A -t 10.0.0.2:80 --client-rate 0:5", "a burst needs a rate"),
        ("-A -t 10.0.0.2:80 --service-rate 1000001", "0 to 1000000, not 1000001"),
        ("-A -t 10.0.0.2:80 -s mh --stateless --client-rate 5", "no lists and no limits"),
    ],
)
def test_what_lists_and_limits_a_service_cannot_have_is_said(line, said) -> None:
    director = _with_lists()
    before = director.desired
    run = Run(director, line.split())
    assert said in run.err
    assert run.status == 255
    assert director.desired == before


@pytest.mark.parametrize("word", ["5:", "x", "5:x", "-1", "5:6:7"])
def test_what_is_no_rate_ends_ipvsadm(word) -> None:
    run = Run(DesiredDirector(), ["-A", "-t", "10.0.0.2:80", "--client-rate", word])
    assert "illegal client-rate specified: PER_SECOND or PER_SECOND:BURST" in run.err
    assert run.status == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-A -t 10.0.0.9:80 --syn-proxy yes", "invalid SYN proxy mode `yes'"),
        ("-A -t 10.0.0.9:80 --syn-mss 9", "illegal syn-mss specified"),
        ("-A -t 10.0.0.9:80 --syn-no-sack --syn-sack", "'syn-no-sack' and 'syn-sack' contradict"),
        ("-A -u 10.0.0.9:80 --syn-proxy on", "SYN proxy is for TCP: udp has no SYN"),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1 -g", "SYN proxy needs nat or fullnat: by dr 10.1.0.1"),
    ],
)
def test_what_syn_proxy_cannot_be_is_said(line, said) -> None:
    director = DesiredDirector()
    Run(director, ["-R"], SYN_PROXIES)
    before = director.desired
    run = Run(director, line.split())
    assert said in run.err
    assert run.status in (2, 255)
    assert director.desired == before


def test_thresholds_are_not_saved_and_all_else_is() -> None:
    director = DesiredDirector()
    text = (
        "-A -f 3 -6 -s sh -p 90 -M 64 -b sh-port\n"
        "-a -f 3 -6 -r [fd00::1]:80 -m -w 0 -x 4 -y 2\n"
        "-a -f 3 -6 -r 1.1.1.1:9 -i -w 5 --tun-type gue --tun-port 1 --tun-csum\n"
    )
    Run(director, ["-R"], text)
    saved = Run(director, ["-Sn"]).out
    again = DesiredDirector()
    assert Run(again, ["-R"], saved).status == 0
    assert Run(again, ["-Sn"]).out == saved
    assert sorted(saved.splitlines()) == sorted(text.replace(" -x 4 -y 2", "").splitlines())


OPTIONS = (
    "-A -E -D -C -L -a -e -d -S -Z -R -h --set -t -f -6 -r -s -p -m -i -w -n --fullnat "
    "--tcp-timeout --udp-timeout"
)
VALUES = "10.0.0.1:80 [fd00::1]:80 1 rr mh x 192.168.0.1 ipvsadm # --local-address --stateless"
LINE = st.lists(st.sampled_from([*OPTIONS.split(), *VALUES.split()]), max_size=7).map(" ".join)
LINES = st.lists(LINE, max_size=6).map("\n".join)


@hypothesis.given(LINES | st.text(max_size=40))
def test_any_lines_restore_without_a_crash(text) -> None:
    run = Run(DesiredDirector(), ["-R"], text)
    assert run.status in (0, 1, 2, 255)
    assert run.status == 0 or run.err


@hypothesis.given(st.lists(st.text(max_size=8), max_size=6))
def test_any_words_end_in_a_status(words) -> None:
    run = Run(DesiredDirector(), words)
    assert run.status in (0, 1, 2, 255)


def test_streams_are_flushed_in_order() -> None:
    both = io.StringIO()

    class Streams:
        stdin = io.StringIO("-A -f 1\n-S\n-A -f 1\n")
        stdout = both
        stderr = both

    Program(DesiredDirector(), TableNames(), Streams()).run(["-R"])
    assert both.getvalue() == "-A -f 1 -s wlc\nService already exists\n"
