# SPDX-License-Identifier: Apache-2.0
"""Who is there, and the session's keys.

The one who connects says HELLO with a number that nobody used before; the other answers
WELCOME with one of its own and the proof that it has the key; PROOF is the same from the
other side. The proofs and the keys are HMACs over everything said before, each with a
word for its purpose: nothing of one session, direction or role is of use in another.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from xlvs.protocols.peer_sync.problems import PeerError, Reason

VERSION = 2
"""Since 2 entries have streams."""
KEY_MIN = 32
"""Bytes of a key: as many as the hash has."""
NODE = 16
"""Bytes that name one run of one director."""
NONCE = 32
PROOF = 32

_MAGIC = b"XLVS"
_HELLO = struct.Struct(f"!4sBB{NODE}s{NONCE}s")
_WELCOME = struct.Struct(f"!4sB{NODE}s{NONCE}s")
_REFUSED = struct.Struct("!B")
_REFUSALS = tuple(Reason)


class Keys(NamedTuple):
    """Of one session: what the connecting side seals with, and what the other one does."""

    client: bytes
    server: bytes


class Hello(NamedTuple):
    """``oldest`` and ``newest``: the versions that its sender speaks."""

    oldest: int
    newest: int
    node: bytes
    nonce: bytes


class Welcome(NamedTuple):
    """The version to speak, and the answer's sender."""

    version: int
    node: bytes
    nonce: bytes
    proof: bytes


def hello(node: bytes, nonce: bytes) -> bytes:
    """The first frame's payload."""
    return _HELLO.pack(_MAGIC, VERSION, VERSION, node, nonce)


def read_hello(data: bytes, own: bytes) -> Hello:
    """``own``: our node. Raises ``PeerError``."""
    if len(data) < _HELLO.size or not data.startswith(_MAGIC):
        raise PeerError(Reason.VERSION, "what came first is no greeting of this protocol")
    _, oldest, newest, node, nonce = _HELLO.unpack_from(data)
    if not oldest <= VERSION <= newest:
        text = f"the peer speaks versions {oldest} to {newest}, we {VERSION}"
        raise PeerError(Reason.VERSION, text)
    if node == own:
        raise PeerError(Reason.SELF, "the peer's address is our own")
    return Hello(oldest, newest, node, nonce)


def welcome(key: bytes, said: bytes, node: bytes, nonce: bytes) -> bytes:
    """The answer's payload; ``said``: the payload of HELLO."""
    data = _WELCOME.pack(_MAGIC, VERSION, node, nonce)
    return data + _mac(key, b"server", said + data)


def read_welcome(key: bytes, said: bytes, data: bytes, own: bytes) -> Welcome:
    """Raises ``PeerError``."""
    if len(data) != _WELCOME.size + PROOF or not data.startswith(_MAGIC):
        raise PeerError(Reason.VERSION, "the answer is none of this protocol")
    magic_to_nonce, proof = data[: _WELCOME.size], data[_WELCOME.size :]
    _, version, node, nonce = _WELCOME.unpack(magic_to_nonce)
    if version != VERSION:
        raise PeerError(Reason.VERSION, f"the peer chose version {version}, we speak {VERSION}")
    if not hmac.compare_digest(proof, _mac(key, b"server", said + magic_to_nonce)):
        raise PeerError(Reason.KEY, "the peer does not have our key")
    if node == own:
        raise PeerError(Reason.SELF, "the peer's address is our own")
    return Welcome(version, node, nonce, proof)


def proof(key: bytes, said: bytes) -> bytes:
    """The third frame's payload; ``said``: the payloads of HELLO and WELCOME."""
    return _mac(key, b"client", said)


def check_proof(key: bytes, said: bytes, data: bytes) -> None:
    """Raises ``PeerError``."""
    if not hmac.compare_digest(data, proof(key, said)):
        raise PeerError(Reason.KEY, "the peer does not have our key")


def keys(key: bytes, said: bytes) -> Keys:
    """``said``: the payloads of HELLO and WELCOME."""
    return Keys(_mac(key, b"from client", said), _mac(key, b"from server", said))


def refused(error: PeerError) -> bytes:
    """Payload of the frame that tells a peer why it is sent away."""
    return _REFUSED.pack(_REFUSALS.index(error.reason)) + str(error).encode()[:200]


def read_refused(data: bytes) -> PeerError:
    """What the peer says. It has not proved itself, so it is told as hearsay."""
    text = data[_REFUSED.size :].decode("ascii", "backslashreplace")
    return PeerError(Reason.REFUSED, f"the peer ended the session: {text}")


def _mac(key: bytes, purpose: bytes, said: bytes) -> bytes:
    transcript = hashlib.sha256(said).digest()
    return hmac.digest(key, b"xlvs peer sync 1 " + purpose + b"\0" + transcript, "sha256")
