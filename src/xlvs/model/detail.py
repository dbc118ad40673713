# SPDX-License-Identifier: Apache-2.0
"""How much of what is counted a reader of metrics wants."""

from __future__ import annotations

from enum import StrEnum


class Detail(StrEnum):
    """``--metrics-detail``: how far down series go."""

    SERVICES = "services"
    DESTINATIONS = "destinations"
