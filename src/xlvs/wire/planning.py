# SPDX-License-Identifier: Apache-2.0
"""A configuration and what it would change."""

from __future__ import annotations

import msgspec

from xlvs.model.configuration import Configuration
from xlvs.wire.messages import ErrorBody


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration as a file would be reloaded with."""

    configuration: Configuration


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """In words, one for each change."""

    changes: list[str]


class ConfigurationCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a file can be used. ``where`` of a problem is ``file:line:column``."""

    file: str
    usable: bool
    problems: list[ErrorBody]
    remarks: list[str]
