# SPDX-License-Identifier: Apache-2.0
"""How ipvsadm fails: with which words and which exit status."""

from __future__ import annotations

from xlvs.cli.ipvsadm.options import Verb
from xlvs.model.problem import Code, Problem

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
_SERVER_VERBS = frozenset((Verb.ADD_SERVER, Verb.EDIT_SERVER, Verb.DELETE_SERVER))

_TEXTS = {
    Code.SERVICE_EXISTS: "Service already exists",
    Code.DESTINATION_EXISTS: "Destination already exists",
    Code.NO_SUCH_DESTINATION: "No such destination",
    Code.NO_SUCH_SCHEDULER: "Scheduler or persistence engine not found",
    Code.OUT_OF_RANGE: "Numerical result out of range",
    Code.INVALID: "Invalid operation.  Possibly wrong module version, address not unicast, ...",
}


def kernel_text(verb: Verb, code: str, message: str) -> str:
    """What ipvsadm prints when the kernel refuses a command in this way.

    A refusal that IPVS does not know speaks for itself.
    """
    if code == Code.NO_SUCH_SERVICE:
        return _NO_SERVICE_FOR_SERVER if verb in _SERVER_VERBS else _NO_SERVICE
    return _TEXTS.get(Code(code), message) if code in _CODES else message


_CODES = frozenset(code.value for code in Code)


def refused(verb: Verb, problem: Problem) -> Refused:
    """The refusal as ipvsadm says it."""
    return Refused(kernel_text(verb, problem.code, problem.message))
