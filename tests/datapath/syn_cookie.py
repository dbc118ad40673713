# SPDX-License-Identifier: Apache-2.0
"""What a SYN cookie of bpf/syn_cookie.h is, once more: the program has to come to the same."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

MSS = (536, 1220, 1300, 1360, 1400, 1440, 1460, 8940)
EPOCH = 1024
_WORD = 0xFFFFFFFFFFFFFFFF
_BEGIN = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


class Ends(NamedTuple):
    """A client and what it asks for, as its SYN says."""

    client: str
    client_port: int
    virtual: str
    virtual_port: int


def siphash24(key: tuple[int, int], words: list[int]) -> int:
    """SipHash-2-4 of whole little-endian words."""
    v = [begin ^ key[i & 1] for i, begin in enumerate(_BEGIN)]

    def turn(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & _WORD

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = v[0] + v[1] & _WORD
            v[2] = v[2] + v[3] & _WORD
            v[1] = turn(v[1], 13) ^ v[0]
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = turn(v[0], 32)
            v[2] = v[2] + v[1] & _WORD
            v[0] = v[0] + v[3] & _WORD
            v[1] = turn(v[1], 17) ^ v[2]
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = turn(v[2], 32)

    for word in [*words, 8 * len(words) << 56 & _WORD]:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mss_index(mss: int) -> int:
    """The greatest of the table that is not above, else the least."""
    return max((i for i, each in enumerate(MSS) if each <= mss), default=0)


def cookie(keys: tuple[int, ...], ends: Ends, isn: int, slot: int, index: int) -> int:
    """The number of a SYN-ACK. Addresses are taken as the program's memory has them."""

    def four(raw: bytes) -> list[int]:
        return [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]

    def port(number: int) -> int:
        return int.from_bytes(number.to_bytes(2, "big"), "little")

    source = four(ip_address(ends.client).packed)
    target = four(ip_address(ends.virtual).packed)
    words = []
    if len(source) > 1:
        words = [
            source[0] << 32 | source[1],
            source[2] << 32 | target[0],
            target[1] << 32 | target[2],
        ]
    words.append(source[-1] << 32 | target[-1])
    words.append(port(ends.client_port) << 48 | port(ends.virtual_port) << 32 | isn)
    words.append(slot << 3 | index)
    at = 2 * (slot // EPOCH & 1)
    mac = siphash24((keys[at], keys[at + 1]), words)
    return (mac << 5 | index << 2 | slot & 3) & 0xFFFFFFFF
