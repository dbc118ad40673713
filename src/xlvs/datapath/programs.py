# SPDX-License-Identifier: Apache-2.0
"""The programs of one data path. Those that hooks run are loaded when an interface needs them.

The verifier takes a second for all of them, and an interface has one hook.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

XDP_PROGRAM = "xlvs_xdp"
INGRESS_PROGRAM = "xlvs_tc_ingress"
EGRESS_PROGRAM = "xlvs_tc_egress"
ANSWERS_PROGRAM = "xlvs_tc_answers"

HOOK_PROGRAMS: Mapping[str, str] = {
    XDP_PROGRAM: "xdp.bpf.o",
    INGRESS_PROGRAM: "tc.bpf.o",
    EGRESS_PROGRAM: "tc.bpf.o",
    ANSWERS_PROGRAM: "tc.bpf.o",
}
"""Program -> the object that it is in. All others are loaded at once."""


class Programs(Mapping[str, int]):
    """Name -> descriptor. One of ``HOOK_PROGRAMS`` that is not there yet is loaded by ``load``.

    Whatever ``load`` raises comes through, and nothing has changed then.
    """

    def __init__(self, loaded: dict[str, int], load: Callable[[str], int]) -> None:
        self.loaded = loaded
        """Those that are there already."""
        self._load = load

    def __getitem__(self, name: str) -> int:
        if name not in self.loaded and name in HOOK_PROGRAMS:
            self.loaded[name] = self._load(name)
        return self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.loaded, **HOOK_PROGRAMS})

    def __len__(self) -> int:
        return len(self.loaded.keys() | HOOK_PROGRAMS.keys())

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.loaded.values():
            with suppress(OSError):
                os.close(fd)
        self.loaded.clear()
