# SPDX-License-Identifier: Apache-2.0
"""Messages to JSON and back; addresses are their usual text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any, TypeVar

import msgspec

from xlvs.model.service import Address, Interface, Network
from xlvs.wire.messages import ConnectionView

# Thousands of services have the same real servers: each address is read, and kept, once.
_PARSERS: dict[Any, Callable[[str], Any]] = {
    Address: lru_cache(1 << 16)(ip_address),
    Network: ip_network,
    Interface: ip_interface,
}
_KNOWN = (IPv4Address, IPv6Address, IPv4Network, IPv6Network, IPv4Interface, IPv6Interface)

T = TypeVar("T")


def _encode(value: Any) -> str:  # noqa: ANN401 - whatever msgspec does not know
    if type(value) is IPv4Address:  # an interface is one too, with more to say
        number = int(value)  # half the time of str(), and most of what there is to encode
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    if isinstance(value, _KNOWN):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decode(kind: type, value: Any) -> Any:  # noqa: ANN401 - JSON's
    if not isinstance(value, str):
        raise TypeError("an address is text")
    return _PARSERS[kind](value)


_LOCAL_PORT = ',"local_port":'
_CLIENT = '0,"client":"","client_port":0'
_ENCODER = msgspec.json.Encoder(enc_hook=_encode)


def encode(message: object) -> bytes:
    """A message as JSON."""
    return _ENCODER.encode(message)


def encode_lines(messages: Iterable[object]) -> bytes:
    """Messages as NDJSON, one line each."""
    return _ENCODER.encode_lines(messages)


def connection_around(view: ConnectionView) -> tuple[str, str]:
    """JSON of a connection before the time left, and between the client's and the local port.

    For who has millions that differ in nothing else::

        f'{before}{expires},"client":"{client}","client_port":{port}{after}{local_port}}}'
    """
    alike = msgspec.structs.replace(view, expires=0, client="", client_port=0, local_port=0)
    before, _, rest = encode(alike).decode().partition(_CLIENT)
    return before, rest.partition(_LOCAL_PORT)[0] + _LOCAL_PORT


def decode(data: bytes, kind: type[T]) -> T:
    """The message in this JSON. Raises msgspec.DecodeError, which says where it is wrong."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_decode)
    except RecursionError as error:
        raise msgspec.DecodeError("JSON is nested too deeply") from error


def decode_lines(data: bytes, kind: type[T]) -> list[T]:
    """The messages of NDJSON. Raises msgspec.DecodeError."""
    return msgspec.json.Decoder(kind, dec_hook=_decode).decode_lines(data)


def plain(message: object) -> dict[str, Any]:
    """A message as JSON's objects, lists, numbers and texts."""
    found: dict[str, Any] = msgspec.to_builtins(message, enc_hook=_encode)
    return found


def convert(value: object, kind: type[T]) -> T:
    """The message in JSON's objects. Raises msgspec.ValidationError."""
    return msgspec.convert(value, kind, dec_hook=_decode)


def query(parameters: Mapping[str, str], kind: type[T]) -> T:
    """Parameters of a request's target; numbers are texts there. Raises msgspec.ValidationError."""
    return msgspec.convert(dict(parameters), kind, strict=False, dec_hook=_decode)


def merged(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The value after a JSON merge patch (RFC 7396): null takes a member away."""
    found = dict(value)
    for name, change in patch.items():
        if change is None:
            found.pop(name, None)
        elif isinstance(change, dict):
            now = found.get(name)
            found[name] = merged(now if isinstance(now, dict) else {}, change)
        else:
            found[name] = change
    return found
