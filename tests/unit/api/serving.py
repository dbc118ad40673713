# SPDX-License-Identifier: Apache-2.0
"""A server of the API while a test talks to it from a thread."""

from __future__ import annotations

import asyncio
import subprocess

from xlvs.api.listening import Listening
from xlvs.io.tasks import Tasks


def talk(path, app, conversation, tcp=None):
    """Run ``conversation(listening)`` while the API is served at ``path``, and at ``tcp``."""

    async def main():
        died = []
        tasks = Tasks(lambda name, error: died.append((name, error)))
        listening = Listening(path, None, tcp)
        listening.start(app, tasks)
        try:
            return await asyncio.to_thread(conversation, listening)
        finally:
            await listening.stop()
            assert not died

    return asyncio.run(main())


def certificate(folder, name="here"):
    """Paths of a new certificate for 127.0.0.1, which vouches for itself, and of its key."""
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-out", str(paths[0]), "-keyout", str(paths[1])],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(paths[0]), str(paths[1])
