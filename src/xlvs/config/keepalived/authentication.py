# SPDX-License-Identifier: Apache-2.0
"""``authentication`` (VRRPv2) and ``auth_hmac`` (keepalived of 2026) of an instance."""

from __future__ import annotations

import re

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values, read_block, secret_value, table, value
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import choice, number, text, word
from xlvs.model.vrrp import Authentication, AuthType, HmacMode

PASSWORD_MAX = 8
"""Bytes of a password that count (RFC 2338)."""

KEY_MIN, KEY_MAX = 32, 64
"""Bytes of a key."""

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)

_BLOCK = table(
    "authentication",
    value(
        "auth_type",
        choice({"PASS": AuthType.PASS, "AH": AuthType.AH}),
        "PASS",
        into="type",
        note="AH is refused",
    ),
    secret_value("auth_pass", text("a password"), "PASSWORD", into="password"),
)


def read_authentication(reading: Reading, node: Node, values: Values) -> None:
    """``authentication {…}``."""
    found = read_block(reading, node, _BLOCK, {})
    values["authentication_node"] = node
    if "type" not in found:
        raise Wrong("authentication wants an auth_type")
    if found["type"] is AuthType.AH:
        raise Wrong(
            "auth_type AH is not supported: it was taken out of the standard in 2004; use PASS, "
            "or auth_hmac"
        )
    password = str(found.get("password", "")).encode()
    if not password:
        raise Wrong("authentication wants an auth_pass")
    if len(password) > PASSWORD_MAX:
        reading.findings.remark(
            node.place(),
            f"the first {PASSWORD_MAX} bytes of the password count, as in the protocol",
        )
    values["authentication"] = Authentication(type=found["type"], password=password[:PASSWORD_MAX])


def secret(reading: Reading, words: list[str], index: int) -> bytes:
    """``hex:…``, ``file:PATH`` or the key itself, of 32 to 64 bytes. Raises Wrong."""
    found = word(words, index, "a key")
    data = found.encode()
    if found.startswith("file:"):
        try:
            data = reading.read(found.removeprefix("file:")).strip(b"\r\n")
        except OSError as error:
            raise Wrong(f"the key cannot be read: {error.strerror or error}", index) from None
        if data.startswith(b"hex:"):
            found = data.decode("latin-1")
    if found.startswith("hex:"):
        digits = found.removeprefix("hex:")
        if not _HEX.fullmatch(digits):
            raise Wrong("after hex: come pairs of hexadecimal digits", index)
        data = bytes.fromhex(digits)
    if not KEY_MIN <= len(data) <= KEY_MAX:
        raise Wrong(f"a key has {KEY_MIN} to {KEY_MAX} bytes, not {len(data)}", index)
    return data


def _key(reading: Reading, node: Node, values: Values) -> None:
    identity = number(1, 255)(node.words, 1)
    keys = values.setdefault("keys", {})
    if identity in keys:
        raise Wrong(f"there is another key {identity}", 1)
    keys[identity] = secret(reading, node.words, 2)


_HMAC = table(
    "auth_hmac",
    Keyword("key", _key, "ID hex:DIGITS|file:PATH|TEXT", note="32 to 64 bytes"),
    value("active_key", number(1, 255), "1..255"),
    value("time_window", number(1, 300), "1..300 s"),
    value("anti_replay", choice({"time": False, "monotonic": True}), "time|monotonic"),
    value(
        "mode", choice({str(each): each for each in HmacMode}), "enforce|permissive|receive-only"
    ),
)


def read_hmac(reading: Reading, node: Node, values: Values) -> None:
    """``auth_hmac {…}``."""
    found = read_block(reading, node, _HMAC, {})
    keys: dict[int, bytes] = found.get("keys", {})
    if not keys:
        raise Wrong("auth_hmac wants a key")
    active = found.get("active_key", next(iter(keys)) if len(keys) == 1 else None)
    if active is None:
        raise Wrong("auth_hmac has several keys: active_key says which one signs")
    if active not in keys:
        raise Wrong(f"auth_hmac has no key {active}")
    window = found.get("time_window")
    values["hmac"] = Authentication(
        type=AuthType.HMAC,
        keys=((active, keys.pop(active)), *keys.items()),
        mode=found.get("mode", HmacMode.ENFORCE),
        window=None if window is None else float(window),
        monotonic=found.get("anti_replay", False),
    )
