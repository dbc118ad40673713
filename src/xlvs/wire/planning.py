# SPDX-License-Identifier: Apache-2.0
"""A configuration and what it would change."""

from __future__ import annotations

import msgspec

from xlvs.model.configuration import Configuration
from xlvs.wire.messages import ErrorBody


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration as a file would be reloaded with."""

    configuration: Configuration


class ApplyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration to be made so.

    ``services_only``: virtual services, their real servers and time-outs, and nothing of what
    a director does for the file that it follows.
    """

    configuration: Configuration
    services_only: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """In words, one for each change."""

    changes: list[str]


class ConfigurationCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a file can be used. ``where`` of a problem is ``file:line:column``."""

    file: str
    usable: bool
    problems: list[ErrorBody]
    remarks: list[str]
