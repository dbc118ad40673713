# SPDX-License-Identifier: Apache-2.0
"""What a real server says of itself."""

from __future__ import annotations

import msgspec


class RealserverCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences of what is wrong, none: nothing. ``methods``: of each virtual address."""

    methods: dict[str, str]
    problems: list[str]
