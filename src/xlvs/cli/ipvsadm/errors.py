# SPDX-License-Identifier: Apache-2.0
"""How ipvsadm fails: with which words and which exit status."""

from __future__ import annotations

from xlvs.model.edit import (
    AddDestination,
    AddLocalAddress,
    AddService,
    AnyEdit,
    DeleteDestination,
    DeleteLocalAddress,
    EditDestination,
    EditService,
)
from xlvs.model.problem import Code
from xlvs.model.service import Method

USAGE = 2
NOT_LISTED = 1
FAILURE = 255

TRY_HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."


class Fatal(Exception):  # noqa: N818  # the end of the program, also in the middle of -R
    """Ends the program: text for standard error, exit status."""

    def __init__(self, text: str, status: int = USAGE) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Refused(Exception):  # noqa: N818  # one command failed; -R goes on
    """One command failed: text for standard error. Its exit status is 255."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


_NO_SERVICE = "No such service"
_NO_SERVICE_FOR_SERVER = "Service not defined"

_TEXTS = {
    Code.SERVICE_EXISTS: "Service already exists",
    Code.NO_SUCH_SERVICE: _NO_SERVICE,
    Code.DESTINATION_EXISTS: "Destination already exists",
    Code.NO_SUCH_DESTINATION: "No such destination",
    Code.NO_SUCH_SCHEDULER: "Scheduler or persistence engine not found",
    Code.NO_SUCH_DEVICE: "No such device",
    Code.SYNC_RUNS: "Daemon has already run",
    Code.NO_SYNC_RUNS: "No daemon is running",
    Code.OUT_OF_RANGE: "Numerical result out of range",
    Code.INVALID: "Invalid operation.  Possibly wrong module version, address not unicast, ...",
}
_CODES = {code.value: text for code, text in _TEXTS.items()}


def kernel_text(edit: AnyEdit, code: str, message: str) -> str:
    """What ipvsadm prints when the kernel refuses a command in this way.

    A refusal that IPVS does not know speaks for itself.
    """
    of_a_server = isinstance(edit, AddDestination | EditDestination | DeleteDestination)
    if of_a_server and code == Code.NO_SUCH_SERVICE:
        return _NO_SERVICE_FOR_SERVER
    if code == Code.INVALID and _is_ours(edit):
        return message
    return _CODES.get(code, message)


def _is_ours(edit: AnyEdit) -> bool:
    """Whether the edit asks for what IPVS does not have."""
    if isinstance(edit, AddDestination | EditDestination):
        return edit.destination.method is Method.FULLNAT
    if isinstance(edit, AddService | EditService):
        return bool(edit.service.local_pool)
    return isinstance(edit, AddLocalAddress | DeleteLocalAddress)
