# SPDX-License-Identifier: Apache-2.0
"""A real Linux kernel with IPVS as a process: Debian's User-Mode Linux, booted in two seconds.

No KVM, no disk image: the guest's root is this machine's, read-only.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_KERNEL = "linux.uml"
_MODULES = Path("/usr/lib/uml/modules")
_INIT = Path(__file__).with_name("init")
_MEMORY = "256M"


def missing() -> str:
    """Why no guest can be booted here; empty: one can."""
    for program in (_KERNEL, "/usr/sbin/ipvsadm", "modprobe"):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install user-mode-linux ipvsadm kmod"
    return "" if _MODULES.is_dir() else f"{_MODULES} is missing"


def run(work: Path, command: list[str], timeout: float = 180) -> str:
    """Boot, run one command, power off; what it wrote. ``work`` is /run/work in the guest."""
    (work / "command").write_text(shlex.join(command) + "\n")
    modules = work / "modules" / "lib"
    modules.mkdir(parents=True, exist_ok=True)
    (modules / "modules").symlink_to(_MODULES)
    kernel = shutil.which(_KERNEL)
    assert kernel is not None
    arguments = [
        kernel, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"mem={_MEMORY}",
        "quiet", f"init={_INIT}", f"work={work}", f"modules={modules.parent}",
        f"python={sys.executable}",
        "con=null", "con0=null,fd:1", f"uml_dir={work}/uml/", "umid=guest",
    ]  # fmt: skip
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(work)  # noqa: S108
    environment = {**os.environ, "TMPDIR": memory}
    with (work / "console").open("wb") as console:
        guest = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=environment,
            start_new_session=True,
        )
        try:
            guest.wait(timeout)
        finally:
            if guest.poll() is None:
                os.killpg(guest.pid, signal.SIGKILL)
                guest.wait()
    output = work / "output"
    text = output.read_text() if output.exists() else (work / "console").read_text()[-4000:]
    status = work / "status"
    if not status.exists() or status.read_text().strip() != "0":
        raise AssertionError(f"in the guest:\n{text}")
    return text
