# SPDX-License-Identifier: Apache-2.0
"""wrk's report."""

from __future__ import annotations

import pytest

from xlvs.lab.load import parse
from xlvs.lab.problem import LabError

GOOD = """\
Running 6s test @ http://10.0.0.1/
  1 threads and 24 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms    0.51ms  14.10ms   87.12%
    Req/Sec    23.51k     1.20k   26.00k    70.00%
  140443 requests in 6.01s, 23.17MB read
Requests/sec:  23368.22
Transfer/sec:      3.86MB
"""


def test_a_good_run() -> None:
    outcome = parse(GOOD)
    assert (outcome.requests, outcome.failed) == (140443, 0)
    assert outcome.seconds == pytest.approx(6.01)


def test_every_kind_of_failure_counts() -> None:
    bad = GOOD.replace(
        "Requests/sec",
        "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
        "  Non-2xx or 3xx responses: 5\nRequests/sec",
    )
    assert parse(bad).failed == 15


def test_a_minute_is_a_minute() -> None:
    assert parse(GOOD.replace("6.01s", "1.50m")).seconds == pytest.approx(90)


def test_no_report_is_an_error() -> None:
    with pytest.raises(LabError, match="unable to connect"):
        parse("unable to connect to 10.0.0.1:80 Connection refused\n")
