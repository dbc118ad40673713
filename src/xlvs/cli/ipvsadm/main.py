# SPDX-License-Identifier: Apache-2.0
"""Entry points of ``ipvsadm``, ``ipvsadm-save`` and ``ipvsadm-restore``."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Sequence

from xlvs.cli.ipvsadm.errors import FAILURE
from xlvs.cli.ipvsadm.names import SystemNames
from xlvs.cli.ipvsadm.program import Program
from xlvs.client.core import from_environment
from xlvs.model.problem import Problem

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """``ipvsadm``; its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _run(lambda program: program.run(words))


def save_main(argv: Sequence[str] | None = None) -> int:
    """``ipvsadm-save [-n]``; its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _run(lambda program: program.save(words))


def restore_main(argv: Sequence[str] | None = None) -> int:
    """``ipvsadm-restore``; its exit status. It takes no arguments, and minds none."""
    del argv
    return _run(Program.restore)


def _run(work: Callable[[Program], int]) -> int:
    gc.disable()  # it ends soon, and nothing that it makes leads back to itself
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Words of any bytes come back out as they came in.
            stream.reconfigure(errors="surrogateescape", newline="\n")
    try:
        status = work(Program(from_environment(), SystemNames(), sys))
        sys.stdout.flush()
    except Problem as problem:  # of the environment
        sys.stderr.write(f"{problem.message}\n")
        return FAILURE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
