# SPDX-License-Identifier: Apache-2.0
"""Connections as a request names them: from text to what is meant."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv6Address, ip_network
from typing import TypeVar

from xlvs.model.connection import ConnectionFilter, Side, Templates
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Method, Protocol, ServiceKey
from xlvs.wire.connections import ConnectionFilterText
from xlvs.wire.endpoint import endpoint, port_number, service_key

_SERVICE = "wants PROTOCOL/ADDRESS:PORT, such as tcp/10.0.0.1:80, or fwm/MARK or fwm6/MARK"
_SIDE = "wants ADDRESS, NETWORK/BITS, ADDRESS:PORT, [IPv6]:PORT or :PORT in numbers"

E = TypeVar("E", bound=StrEnum)


def connection_filter(text: ConnectionFilterText) -> ConnectionFilter:
    """What is meant. Raises Problem, whose ``where`` is the field."""
    return ConnectionFilter(
        service=_service(text.service) if text.service else None,
        destination=_side("destination", text.destination),
        client=_side("client", text.client),
        virtual=_side("virtual", text.virtual),
        protocols=_words("protocol", text.protocol, Protocol),
        states=frozenset(text.state.split(",")) if text.state else frozenset(),
        methods=_words("method", text.method, Method),
        templates=Templates(text.templates),
    )


def refuse_empty(text: ConnectionFilterText) -> None:
    """A filter for what cannot be undone says something. Raises Problem."""
    if text == ConnectionFilterText(templates=text.templates):
        message = "a filter that names nothing would end every connection: name something"
        raise Problem(Code.INVALID, message, "filter")


def _service(text: str) -> ServiceKey:
    protocol, _, name = text.partition("/")
    try:
        key = service_key(protocol, name)
    except Problem as problem:
        raise _problem("service", f"{_SERVICE}: {problem.message}", text) from None
    if isinstance(key.address, IPv6Address) and key.address.scope_id:
        raise _problem("service", f"{_SERVICE}, without a zone", text)
    return key


def _side(field: str, text: str) -> Side:
    host, port = text, None
    if "%" in text:
        raise _problem(field, f"{_SIDE}, without a zone", text)
    if text.startswith(":") and not text.startswith("::"):
        host, port = "", port_number(text[1:])
        if port is None:
            raise _problem(field, _SIDE, text)
    elif text.startswith("[") or text.count(":") == 1:
        try:
            address, port = endpoint(text)
        except Problem:
            raise _problem(field, _SIDE, text) from None
        host = str(address)
    try:
        return Side(ip_network(host) if host else None, port)
    except ValueError as error:
        words = f"{_SIDE}: {error}" if "host bits" in str(error) else _SIDE
        raise _problem(field, words, text) from None


def _words(field: str, text: str, kind: type[E]) -> frozenset[E]:
    known = {member.value: member for member in kind}
    words = text.split(",") if text else []
    if not known.keys() >= set(words):
        wanted = f"wants some of {', '.join(known)}, with commas between"
        raise _problem(field, wanted, text)
    return frozenset(known[each] for each in words)


def _problem(field: str, wanted: str, text: str) -> Problem:
    return Problem(Code.INVALID, f"{field} {wanted}, not {text!r}", field)
