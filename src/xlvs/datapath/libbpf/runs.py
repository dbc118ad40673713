# SPDX-License-Identifier: Apache-2.0
"""Programs run by hand, and records that programs send."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from xlvs.datapath.libbpf.calls import SAMPLE, call, library, pointer
from xlvs.datapath.libbpf.structs import TestRunOptions, ptr


class TestRun(NamedTuple):
    """What BPF_PROG_TEST_RUN gave back."""

    retval: int
    data_out: bytes
    ctx_out: bytes
    duration_ns: int


def test_run(
    program: int, data: bytes | None, ctx: bytes | None, repeat: int, data_size_out: int
) -> TestRun:
    """Run a program once or ``repeat`` times; a syscall program's context comes back changed."""
    out = ctypes.create_string_buffer(data_size_out) if data_size_out else None
    context = ctypes.create_string_buffer(ctx, len(ctx)) if ctx else None
    source = ctypes.create_string_buffer(data, len(data)) if data is not None else None
    options = TestRunOptions(
        data_in=ctypes.cast(source, ptr) if source else None,
        data_size_in=len(data) if data else 0,
        data_out=ctypes.cast(out, ptr) if out else None,
        data_size_out=data_size_out,
        ctx_in=ctypes.cast(context, ptr) if context else None,
        ctx_size_in=len(ctx) if ctx else 0,
        repeat=repeat,
    )
    call("bpf_prog_test_run_opts", program, ctypes.byref(options))
    return TestRun(
        options.retval,
        out.raw[: options.data_size_out] if out else b"",
        context.raw if context else b"",
        options.duration,
    )


class RingBuffer:
    """The consumer of one ring buffer map: poll ``fileno()``, then ``read()``."""

    def __init__(self, fd: int) -> None:
        self._records: list[bytes] = []

        def sample(_ctx: int, data: int, size: int) -> int:
            self._records.append(ctypes.string_at(data, size))
            return 0

        self._callback = SAMPLE(sample)
        self._handle = pointer("ring_buffer__new", fd, self._callback, None, None)

    def fileno(self) -> int:
        """A descriptor that is readable when records wait."""
        return call("ring_buffer__epoll_fd", self._handle)

    def read(self) -> list[bytes]:
        """The records that wait; empty if none."""
        call("ring_buffer__consume", self._handle)
        records, self._records = self._records, []
        return records

    def close(self) -> None:
        """Free it; idempotent."""
        if self._handle:
            library().ring_buffer__free(self._handle)
            self._handle = 0
