# SPDX-License-Identifier: Apache-2.0
r"""keepalived's regular expressions (PCRE2) in Python's ``re``, on bytes.

What both write the same way means the same. Spellings of PCRE2 that Python lacks are
translated: ``\z \Z \h \R \e \N \x{..} \Q..\E (?<name>..) [[:alpha:]]``. What Python cannot
do (``\K \G \X \p{..}``, recursion, verbs, branch reset, ungreedy) is refused. Small
differences are left: in multiline mode Python's ``^`` also matches behind the last newline.
"""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

from xlvs.model.checker import Url
from xlvs.model.problem import Code, Problem

PATTERN_MAX = 8192

_FLAGS = {
    "caseless": re.IGNORECASE,
    "dotall": re.DOTALL,
    "multiline": re.MULTILINE,
    "extended": re.VERBOSE,
    "utf": re.NOFLAG,
    "firstline": re.NOFLAG,
}
_WITHOUT_EFFECT = frozenset(
    [
        "auto_callout",
        "never_ucp",
        "never_utf",
        "no_auto_capture",
        "no_auto_possess",
        "no_dotstar_anchor",
        "no_start_optimize",
        "never_backslash_c",
        "alt_verbnames",
        "use_offset_limit",
        "dupnames",
    ]
)
_REFUSED = frozenset(
    [
        "allow_empty_class",
        "alt_bsux",
        "dollar_endonly",
        "match_unset_backref",
        "ucp",
        "ungreedy",
        "alt_circumflex",
    ]
)
OPTIONS = frozenset(_FLAGS) | _WITHOUT_EFFECT | _REFUSED
"""All that keepalived knows."""

# Repetition, and choice, are what can make a match take for ever.
_SLOW = frozenset("*+?{|")

_ESCAPES = {
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "h": r"[ \t]",
    "H": r"[^ \t]",
    "R": r"(?>\r\n|[\n\v\f\r\x85])",
    "e": r"\x1b",
    "N": r"[^\n]",
}
_CLASS_ESCAPES = {"h": r" \t", "e": r"\x1b"}
_POSIX = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z",
    "lower": "a-z", "space": r" \t\n\r\f\v", "blank": r" \t", "xdigit": "0-9A-Fa-f",
    "word": r"\w", "cntrl": r"\x00-\x1f\x7f", "print": r"\x20-\x7e", "graph": r"\x21-\x7e",
    "punct": r"!-/:-@\[-`{-~",
}  # fmt: skip
_TOKEN = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|\Z)|\\x\{(?P<hex>[0-9a-fA-F]{1,2})\}|\\(?P<escape>.)"
    r"|\[:(?P<posix>\^?[a-z]+):\]|\(\?<(?P<name>[A-Za-z_]\w*)>|(?P<open>\[\^?\]?)|(?P<close>\])"
    r"|(?P<other>.)",
    re.DOTALL,
)


class Search(NamedTuple):
    """What to search for, in values that another process can be given.

    A match has to begin at or after ``least`` and at or before ``most`` (0: anywhere).
    ``text``: the body is UTF-8. ``firstline``: it has to begin in the first line.
    ``quick``: it takes no longer than the body is long.
    """

    pattern: str
    flags: int
    text: bool = False
    firstline: bool = False
    least: int = 0
    most: int = 0
    quick: bool = False


def search_of(url: Url) -> Search:
    """The search of a url. Raises Problem if Python cannot do it."""
    flags = re.NOFLAG
    for option in url.regex_options:
        if option not in OPTIONS:
            raise Problem(Code.INVALID, f"regex option {option!r} is unknown", "regex_options")
        if option in _REFUSED:
            raise Problem(
                Code.NOT_SUPPORTED, f"regex option {option!r} is not supported", "regex_options"
            )
        flags |= _FLAGS.get(option, re.NOFLAG)
    text = "utf" in url.regex_options
    if text:
        flags |= re.ASCII
    if len(url.regex) > PATTERN_MAX:
        raise Problem(Code.INVALID, f"the regex is longer than {PATTERN_MAX}", "regex")
    search = Search(
        pattern=translated(url.regex),
        flags=int(flags),
        text=text,
        firstline="firstline" in url.regex_options,
        least=url.regex_min_offset,
        most=url.regex_max_offset,
        quick=not _SLOW & set(url.regex),
    )
    compiled(search)
    return search


def compiled(search: Search) -> re.Pattern[bytes] | re.Pattern[str]:
    """The pattern for ``re``, as text or bytes. Raises Problem."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "[[" means in PCRE2 what it did
            if search.text:
                return re.compile(search.pattern, search.flags)
            return re.compile(search.pattern.encode(), search.flags)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise Problem(
            Code.NOT_SUPPORTED, f"the regex {search.pattern!r} is not understood: {error}", "regex"
        ) from None


def found(search: Search, body: bytes) -> bool:
    """Whether it is there. May take long unless ``quick``."""
    pattern = compiled(search)
    text: str | bytes = body
    least = search.least
    if search.text:
        try:
            text, least = body.decode(), len(body[:least].decode())
        except UnicodeDecodeError:
            return False
    match = pattern.search(text, least)  # type: ignore[arg-type]
    if match is None:
        return False
    begin = match.start()
    if isinstance(text, str):
        begin = len(text[:begin].encode())
    if search.firstline and 0 <= body.find(b"\n") < begin:
        return False
    return not search.most or begin <= search.most


def translated(pattern: str) -> str:
    """PCRE2's spelling in Python's."""
    out = []
    inside = False
    for token in _TOKEN.finditer(pattern):
        kind, text = token.lastgroup or "", token.group()
        if kind == "quoted":
            text = re.escape(token["quoted"])
        elif kind == "hex":
            text = rf"\x{token['hex']:0>2}"
        elif kind == "escape":
            text = (_CLASS_ESCAPES if inside else _ESCAPES).get(token["escape"], text)
        elif kind == "name" and not inside:
            text = f"(?P<{token['name']}>"
        elif kind == "posix":
            text = _posix(token["posix"]) if inside else text
        elif kind == "open":
            ends = inside and text.endswith("]")
            text = rf"\{text}" if inside else text
            inside = not ends
        elif kind == "close":
            inside = False
        out.append(text)
    return "".join(out)


def _posix(name: str) -> str:
    if name not in _POSIX:
        raise Problem(
            Code.NOT_SUPPORTED, f"the regex has [:{name}:], which is not supported", "regex"
        )
    return _POSIX[name]
