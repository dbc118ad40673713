# SPDX-License-Identifier: Apache-2.0
"""One boot, in which each executed instruction is a nanosecond."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.ipvs.failure import Failure
from bench.ipvs.kernel import Kernel

MEMORY_MB = 1536
COMMAND = (
    "qemu-system-x86_64 -M pc,hpet=off -accel tcg,thread=single,tb-size=256"
    # The clock: instructions, also in the TSC. sleep=off: idle time passes at once.
    " -icount shift=0,sleep=off,align=off"
    " -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt -smp 1 -seed 1"
    " -rtc base=2026-01-01,clock=vm -nodefaults -no-user-config -display none -no-reboot"
)
APPEND = (
    "console=ttyS0 quiet panic=-1 nokaslr mitigations=off clocksource=tsc tsc=reliable"
    " random.trust_cpu=off nowatchdog"
)
PAUSE = 0.2


def boot(
    kernel: Kernel, initramfs: Path, console: Path, limit: float, watch: Callable[[str], None]
) -> None:
    """Run the guest to its end. ``watch`` gets each line of the console as it comes."""
    console.write_bytes(b"")
    command: list[str | Path] = [
        *COMMAND.split(),
        *("-m", str(MEMORY_MB), "-serial", f"file:{console}"),
        *("-kernel", kernel.image, "-initrd", initramfs, "-append", APPEND),
    ]
    errors = console.with_suffix(".qemu")
    end = time.monotonic() + limit
    with errors.open("wb") as log, console.open(errors="replace") as lines:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        ) as guest:
            try:
                while guest.poll() is None:
                    _follow(lines.read, watch)
                    if time.monotonic() > end:
                        raise Failure(f"the guest took longer than {limit:.0f} s: {console}")
                    time.sleep(PAUSE)
            finally:
                guest.kill()
        _follow(lines.read, watch)
    if guest.returncode:
        raise Failure(f"QEMU failed: {errors.read_text(errors='replace').strip()}")


def _follow(read: Callable[[], str], watch: Callable[[str], None]) -> None:
    for line in read().splitlines():
        watch(line)
