# SPDX-License-Identifier: Apache-2.0
"""Every program stays far below the verifier's limit of a million instructions."""

from __future__ import annotations

import struct

from xlvs.datapath import libbpf
from xlvs.datapath.loader import DataPath

VERIFIED_AT = 216  # struct bpf_prog_info.verified_insns
LIMIT = 700_000  # other kernels and compilers need other amounts: keep room


def test_room_below_the_limit(shared_path: DataPath) -> None:
    verified = {
        name: struct.unpack_from("=I", libbpf.info(fd), VERIFIED_AT)[0]
        for name, fd in shared_path.programs.items()
    }
    assert all(0 < count < LIMIT for count in verified.values()), verified
