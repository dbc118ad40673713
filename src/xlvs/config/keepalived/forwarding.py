# SPDX-License-Identifier: Apache-2.0
"""``lvs_method``: how packets reach a real server."""

from __future__ import annotations

from typing import NamedTuple

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import port, word
from xlvs.model.service import Method, TunnelType

_METHODS = {
    "NAT": Method.NAT,
    "DR": Method.DR,
    "TUN": Method.TUN,
    "FNAT": Method.FULLNAT,
    "FULLNAT": Method.FULLNAT,
}
_TYPES = {"ipip": TunnelType.IPIP, "gue": TunnelType.GUE, "gre": TunnelType.GRE}
_FLAGS = {"nocsum": 0, "csum": 1, "remcsum": 2}
"""IP_VS_TUNNEL_ENCAP_FLAG_*"""


class Forwarding(NamedTuple):
    """A method, and of a tunnel its kind, port and flags."""

    method: Method
    tunnel_type: TunnelType = TunnelType.IPIP
    tunnel_port: int = 0
    tunnel_flags: int = 0


DEFAULT = Forwarding(Method.NAT)
"""keepalived's."""

ARGUMENTS = "NAT | DR | TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum] | FNAT (of forks)"


def forwarding(words: list[str]) -> Forwarding:  # noqa: C901  # one case for each option
    """Reads the words after the keyword. Raises Wrong."""
    name = word(words, 1, f"one of {', '.join(_METHODS)}")
    # Some manuals write it in lower case; keepalived itself does not take that.
    method = _METHODS.get(name.upper())
    if method is None:
        raise Wrong(f"{words[0]} is one of {', '.join(_METHODS)}, not {name!r}", 1)
    kind, number, flags = TunnelType.IPIP, 0, 0
    index = 2
    while index < len(words):
        option = words[index]
        if method is not Method.TUN:
            raise Wrong(f"{option!r} is for TUN only", index)
        if option == "type":
            found = word(words, index + 1, "ipip, gue or gre")
            if found not in _TYPES:
                raise Wrong(f"a tunnel is of type ipip, gue or gre, not {found!r}", index + 1)
            kind = _TYPES[found]
            index += 1
        elif option == "port":
            number = port(words, index + 1)
            index += 1
        elif option in _FLAGS:
            flags = _FLAGS[option]
        else:
            raise Wrong(f"a tunnel has type, port, {', '.join(_FLAGS)}, not {option!r}", index)
        index += 1
    if (kind is TunnelType.GUE) is not bool(number):
        raise Wrong("a tunnel of type gue has a port, the others have none", 1)
    if kind is TunnelType.IPIP and flags:
        raise Wrong("a tunnel of type ipip has no checksum", 1)
    if kind is TunnelType.GRE and flags == _FLAGS["remcsum"]:
        raise Wrong("a tunnel of type gre has no remcsum", 1)
    return Forwarding(method, kind, number, flags)


def _read(field: str, reading: Reading, node: Node, values: Values) -> None:
    if field in values:
        reading.findings.remark(node.place(), f"{node.words[0]} is said again: this one counts")
    values[field] = forwarding(node.words)


def forwarding_keyword(name: str, field: str = "forwarding") -> Keyword:
    """A keyword with a method."""
    return Keyword(
        name, lambda reading, node, values: _read(field, reading, node, values), ARGUMENTS
    )
