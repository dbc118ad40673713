# SPDX-License-Identifier: Apache-2.0
"""Whether a check can be made at all: what a configuration's reader asks before it is believed."""

from __future__ import annotations

from xlvs.model.checker import AnyCheck, DnsCheck, HttpCheck, UdpCheck
from xlvs.model.problem import Code, Problem
from xlvs.protocols.checks import dns, http_request, regex

_DIGEST = 32


def verify(check: AnyCheck) -> None:
    """Raise Problem, with the keyword in ``where``, if this can never be asked."""
    if isinstance(check, DnsCheck):
        dns.verify(check)
    elif isinstance(check, UdpCheck):
        if check.require_reply and check.min_reply_length > check.max_reply_length:
            raise Problem(
                Code.INVALID,
                f"min_reply_length {check.min_reply_length} is more than"
                f" max_reply_length {check.max_reply_length}",
                "min_reply_length",
            )
    elif isinstance(check, HttpCheck):
        _verify_http(check)


def _verify_http(check: HttpCheck) -> None:
    http_request.verify(check)
    for url in check.urls:
        digits = set(url.digest.lower()) <= set("0123456789abcdef")
        if url.digest and not (digits and len(url.digest) == _DIGEST):
            raise Problem(Code.INVALID, f"digest {url.digest!r} is no MD5 in hex", "digest")
        if url.regex_max_offset and url.regex_min_offset > url.regex_max_offset:
            raise Problem(
                Code.INVALID, "regex_min_offset is more than regex_max_offset", "regex_min_offset"
            )
        if url.regex:
            regex.search_of(url)
