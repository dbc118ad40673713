# SPDX-License-Identifier: Apache-2.0
"""The tests' end of probing.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from xlvs.model.checker import AnyCheck
from xlvs.model.service import Destination, Service
from xlvs.wire.codec import encode


class Asker:
    """A prober in a namespace. Answers are dictionaries of an outcome's fields, and ``took``."""

    def __init__(self, enter: list[str]) -> None:
        self._process = subprocess.Popen(
            [*enter, sys.executable, str(Path(__file__).with_name("probing.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __enter__(self) -> Self:
        assert self._line() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def __call__(self, check: AnyCheck, address: str, port: int = 0, **more: Any) -> dict[str, Any]:
        request = {"check": check, "address": address, "port": port, **more}
        assert self._process.stdin is not None
        self._process.stdin.write(encode(request) + b"\n")
        self._process.stdin.flush()
        answer, different = json.loads(self._line())
        assert different == 1
        return dict(answer)

    def through(
        self, service: Service, destination: Destination, check: AnyCheck, **more: Any
    ) -> dict[str, Any]:
        key = destination.key
        return self(
            check, str(key.address), key.port, service=service, destination=destination, **more
        )

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the prober has died"
        return line
