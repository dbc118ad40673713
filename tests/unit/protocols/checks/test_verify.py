# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from xlvs.model.checker import AnyCheck, DnsCheck, HttpCheck, TcpCheck, UdpCheck, Url
from xlvs.model.problem import Problem
from xlvs.protocols.checks.verify import verify


@pytest.mark.parametrize(
    ("check", "where"),
    [
        (HttpCheck(), "url"),
        (HttpCheck(urls=(Url(digest="12"),)), "digest"),
        (HttpCheck(urls=(Url(regex="("),)), "regex"),
        (HttpCheck(urls=(Url(regex="a", regex_min_offset=3, regex_max_offset=2),)),
         "regex_min_offset"),
        (DnsCheck(type="X"), "type"),
        (UdpCheck(require_reply=True, min_reply_length=3, max_reply_length=2),
         "min_reply_length"),
    ],
)  # fmt: skip
def test_refused(check: AnyCheck, where: str) -> None:
    with pytest.raises(Problem) as problem:
        verify(check)
    assert problem.value.where == where


def test_fine() -> None:
    verify(TcpCheck())
    verify(HttpCheck(urls=(Url(digest="A" * 32, regex="ok"),)))
    verify(DnsCheck())
