# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm``, ``ipvsadm-save``, ``ipvsadm-restore``: arguments, texts and exit statuses of 1.31.

A command line walks: ``options`` (words to options) → ``arguments`` (options to a
``Request``) → ``rules`` (what goes together) → ``edits`` or ``listing``. What outside
programs read, standard output and error and the exit status, is the real one's byte
for byte; ``docs/adr/0003-fullnat-options.md`` says what is added.
"""

from __future__ import annotations

import sys


def _msgspec_lightly() -> None:
    """Import msgspec without typing_extensions, of which it needs nothing since Python 3.11.

    It would take a fifth of the time in which ``ipvsadm -Ln`` starts.
    """
    if not sys.modules.keys() & {"msgspec", "typing_extensions"}:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # import: not there
        try:
            import msgspec  # noqa: F401, PLC0415
        finally:
            del sys.modules["typing_extensions"]


_msgspec_lightly()
