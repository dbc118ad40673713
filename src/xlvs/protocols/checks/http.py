# SPDX-License-Identifier: Apache-2.0
"""What is right for an answer of HTTP_GET: status, MD5 digest, regex."""

from __future__ import annotations

from xlvs.model.checker import Url
from xlvs.protocols.checks.http_answer import KEPT_MAX, Answer
from xlvs.protocols.checks.outcome import excerpt

DEFAULT_STATUS = ((200, 299),)


def kept(url: Url) -> int:
    """Bytes of the body that have to be kept to judge it."""
    return KEPT_MAX if url.regex else 0


def fault(url: Url, answer: Answer) -> str:
    """What is wrong with status or digest, "" if nothing; the regex is looked at elsewhere."""
    ranges = url.status_codes or DEFAULT_STATUS
    if not any(low <= answer.status <= high for low, high in ranges):
        return f"status {answer.status}, expected {spell(ranges)}"
    if url.digest and answer.digest != url.digest.lower():
        return f"digest is {answer.digest}, expected {url.digest.lower()}{_cut(answer)}"
    return ""


def regex_fault(url: Url, answer: Answer, *, found: bool) -> str:
    """What a search for the regex means."""
    if found == url.regex_no_match:
        does = "matches" if found else "does not match"
        unwanted = ", which it must not" if found else ""
        return f"the body {does} {excerpt(url.regex.encode())}{unwanted}{_cut(answer)}"
    return ""


def spell(ranges: tuple[tuple[int, int], ...]) -> str:
    """Status codes as in a configuration file."""
    return " ".join(f"{low}-{high}" if low != high else str(low) for low, high in ranges)


def _cut(answer: Answer) -> str:
    return "" if answer.whole else f" (the body broke off after {answer.length} bytes)"
