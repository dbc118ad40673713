# SPDX-License-Identifier: Apache-2.0
"""What was wrong, where, and what would be right."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Kinds of refusal. The ipvsadm edge has the kernel's text for each."""

    SERVICE_EXISTS = "service_exists"
    NO_SUCH_SERVICE = "no_such_service"
    DESTINATION_EXISTS = "destination_exists"
    NO_SUCH_DESTINATION = "no_such_destination"
    LOCAL_ADDRESS_EXISTS = "local_address_exists"
    NO_SUCH_LOCAL_ADDRESS = "no_such_local_address"
    NO_SUCH_MARK_RULE = "no_such_mark_rule"
    NO_SUCH_LIST = "no_such_list"
    NO_SUCH_PREFIX = "no_such_prefix"
    LIST_IN_USE = "list_in_use"
    NO_SUCH_SCHEDULER = "no_such_scheduler"
    NO_SUCH_DEVICE = "no_such_device"
    SYNC_RUNS = "sync_runs"
    NO_SYNC_RUNS = "no_sync_runs"
    OUT_OF_RANGE = "out_of_range"
    INVALID = "invalid"
    NOT_SUPPORTED = "not_supported"
    NO_SPACE = "no_space"
    OUTDATED = "outdated"
    FORBIDDEN = "forbidden"
    INTERNAL = "internal"


class Problem(Exception):  # noqa: N818  # the word of the whole project
    """A request that changes nothing.

    ``where`` names the part (a JSON pointer, an argv word, ``file:line:column``).
    """

    def __init__(self, code: Code, message: str, where: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
