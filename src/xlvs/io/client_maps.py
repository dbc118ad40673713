# SPDX-License-Identifier: Apache-2.0
"""Lists of clients to their maps: each is a set of prefixes under its number.

A set is named in ``client_sets`` before its first prefix is written and after its last one
is deleted, and its value says when it is whole: so a daemon that was killed between leaves
nothing that nobody knows of, and nobody takes a part of a set for all of it.
"""

from __future__ import annotations

import numpy as np

from xlvs.datapath import libbpf, records
from xlvs.datapath.loader import DataPath
from xlvs.model.client_list import RECORD, ClientList

_BATCH = 8192
_NUMBER_BYTES = 8
_KEY_BYTES = 4 + _NUMBER_BYTES + 16
_IPV4 = 4
_BEGUN, _WHOLE = (value.to_bytes(4, "little") for value in (0, 1))


class ClientMaps:
    """The maps of one data path."""

    def __init__(self, path: DataPath) -> None:
        self._prefixes = path.map("client_prefixes")
        self._sets = path.map("client_sets")

    def read(self) -> frozenset[int]:
        """Numbers of the sets that are whole. Others are cleared away. Raises OSError."""
        found = {int.from_bytes(raw, "little"): value for raw, value in self._sets.items()}
        for number, value in found.items():
            if value != _WHOLE:
                self.drop(number)
        return frozenset(number for number, value in found.items() if value == _WHOLE)

    def write(self, number: int, clients: ClientList) -> None:
        """Write a set. Raises OSError."""
        named = number.to_bytes(_NUMBER_BYTES, "little")
        self._sets.update(named, _BEGUN)
        keys, values = _entries(number, clients)
        for at in range(0, len(clients), _BATCH):
            count = min(_BATCH, len(clients) - at)
            libbpf.map_update_batch(
                self._prefixes.fd,
                keys[at : at + count].tobytes(),
                values[at : at + count].tobytes(),
                count,
            )
        self._sets.update(named, _WHOLE)

    def drop(self, number: int, clients: ClientList | None = None) -> None:
        """Delete a set; ``clients``: what is in it, if that is known. Raises OSError."""
        named = number.to_bytes(_NUMBER_BYTES, "little")
        self._sets.update(named, _BEGUN)
        if clients is None:
            self._drop_each(number)
        else:
            keys, _ = _entries(number, clients)
            for at in range(0, len(clients), _BATCH):
                batch = keys[at : at + _BATCH]
                libbpf.map_delete_batch(self._prefixes.fd, batch.tobytes(), len(batch))
        self._sets.delete(named)

    def _drop_each(self, number: int) -> None:
        halves = {(number | six).to_bytes(_NUMBER_BYTES, "little") for six in (0, 1)}
        at = slice(4, 4 + _NUMBER_BYTES)
        for key in [key for key, _ in self._prefixes.items() if key[at] in halves]:
            self._prefixes.delete(key)


def _entries(number: int, clients: ClientList) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values of all its prefixes; numpy, for there may be a hundred thousand."""
    rows = np.frombuffer(clients.records, np.uint8).reshape(-1, RECORD)
    bits = rows[:, -1].astype(np.uint32)
    keys = np.zeros((len(rows), _KEY_BYTES), np.uint8)
    keys[:, :4] = (bits + records.CLIENT_SET_BITS).astype("<u4").view(np.uint8).reshape(-1, 4)
    keys[:, 4:12] = np.frombuffer(number.to_bytes(_NUMBER_BYTES, "little"), np.uint8)
    keys[:, 4] |= rows[:, 0] != _IPV4
    keys[:, 12:] = rows[:, 1:17]
    return keys, (bits + 1).astype("<u4")
