# SPDX-License-Identifier: Apache-2.0
"""The maps' one address form: 16 bytes, IPv4 as ::ffff:a.b.c.d; and addresses' roles.

The map ``addresses`` is one table of bytes: which roles an address may have. Packets
look there first, so that those that are not ours leave after two loads. An address's
byte is chosen by a hash (``slot``), which bpf/lib/address.h computes alike, and may be
another's too: a role goes only when no address of that byte has it.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from xlvs.model.service import Address

AF_INET = 2
AF_INET6 = 10

_IPV4_BYTES = 4
_MAPPED = bytes(10) + b"\xff\xff"

# Packets compute with four bytes as they lie in memory, on machines of this byte order.
_WORDS = struct.Struct("<4I")
_GOLDEN = 0x9E3779B1
_SLOT_SHIFT = 16


def packed(address: Address) -> bytes:
    """The address as the maps hold it."""
    if isinstance(address, IPv4Address):
        return _MAPPED + address.packed
    return address.packed


def unpacked(data: bytes) -> Address:
    """The address that ``packed`` made these bytes of."""
    if data.startswith(_MAPPED):
        return IPv4Address(data[12:])
    return IPv6Address(data)


def text(data: bytes) -> str:
    """An address of four or 16 bytes as C writes it: 10.0.0.1, ::ffff:10.0.0.1."""
    if len(data) == len(_MAPPED) + _IPV4_BYTES and data.startswith(_MAPPED):
        data = data[len(_MAPPED) :]
    return socket.inet_ntop(AF_INET if len(data) == _IPV4_BYTES else AF_INET6, data)


def family(address: Address) -> int:
    """AF_INET or AF_INET6, as the kernel numbers them."""
    return AF_INET if isinstance(address, IPv4Address) else AF_INET6


@lru_cache(maxsize=1 << 16)
def slot(address: bytes) -> int:
    """The byte of the map ``addresses`` that tells an address's roles.

    Of IPv4 the address itself is hashed, of IPv6 the exclusive or of its four words.
    """
    words: tuple[int, int, int, int] = _WORDS.unpack(address)
    word = words[3]
    if not address.startswith(_MAPPED):
        word ^= words[0] ^ words[1] ^ words[2]
    return (word * _GOLDEN & 0xFFFFFFFF) >> _SLOT_SHIFT
