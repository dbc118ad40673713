# SPDX-License-Identifier: Apache-2.0
"""A real server of the lab: what ``xlvs realserver`` does there."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from xlvs.lab.capture import Capture
from xlvs.lab.namespace import Namespace
from xlvs.lab.run import program


class RealServer:
    """A namespace with nginx and a UDP echo, prepared for some forwarding methods."""

    def __init__(self, namespace: Namespace, methods: tuple[str, ...], cgroup: str) -> None:
        self.namespace = namespace
        self.methods = methods
        self.cgroup = cgroup
        """Its servers' own, below the machine's; "" if cgroups of version 2 are not mounted."""

    @property
    def name(self) -> str:
        """How it answers."""
        return self.namespace.name

    @property
    def v4(self) -> str:
        """RIP, IPv4."""
        return self.namespace.v4

    @property
    def v6(self) -> str:
        """RIP, IPv6."""
        return self.namespace.v6

    def address(self, family: int) -> str:
        """RIP of the family 4 or 6."""
        return self.namespace.address(family)

    def run(self, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program on the real server."""
        return self.namespace.run(argv, check=check)

    def capture(self, expression: str = "", *, device: str = "eth0") -> Capture:
        """Listen with tcpdump."""
        return self.namespace.capture(expression, device=device)

    def realserver(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``xlvs realserver`` with these arguments."""
        return self.run([*program("xlvs"), "realserver", *arguments], check=check)
