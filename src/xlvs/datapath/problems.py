# SPDX-License-Identifier: Apache-2.0
"""The kernel's refusals as one clear sentence and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from xlvs.model.problem import Code, Problem

_PRIVILEGE = (errno.EPERM, errno.EACCES)
_GONE = (errno.ENODEV, errno.ENXIO)
_VERIFIER_LINES = 20
_BEGIN, _END = "-- BEGIN PROG LOAD LOG --", "-- END PROG LOAD LOG --"


class DataPathProblem(Problem):
    """A Problem of the data path; ``log`` keeps what the verifier said, for the log file."""

    def __init__(self, code: Code, message: str, where: str = "", log: str = "") -> None:
        super().__init__(code, message, where)
        self.log = log


def privileged() -> bool:
    """Whether this process may be expected to load eBPF programs."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    admin, net_admin, bpf = held >> 21 & 1, held >> 12 & 1, held >> 39 & 1
    return bool(admin or (net_admin and bpf))


def no_privilege(doing: str) -> DataPathProblem:
    """The refusal for a caller who is not root."""
    return DataPathProblem(
        Code.NOT_SUPPORTED,
        f"{doing} needs root (CAP_BPF and CAP_NET_ADMIN): run it as root",
    )


@contextmanager
def explained(doing: str, where: str = "", log: Sequence[str] = ()) -> Iterator[None]:
    """Turn an OSError within the block into a Problem that says what was being done."""
    try:
        yield
    except OSError as error:
        raise explain(error, doing, where, log) from error


def explain(
    error: OSError, doing: str, where: str = "", log: Sequence[str] = ()
) -> DataPathProblem:
    """The Problem for an OSError; a verifier's log wins over its errno."""
    text = "".join(log)
    verdict = verifier_verdict(text)
    if verdict:
        return DataPathProblem(
            Code.INTERNAL,
            f"{doing}: the kernel's verifier refused {refused_program(text)} ({verdict}); "
            "report it with the log and the kernel's version (uname -r)",
            where,
            verifier_log(text),
        )
    if error.errno in _PRIVILEGE and not privileged():
        return no_privilege(doing)
    if error.errno == errno.EPERM:
        # Root of a user namespace has all capabilities, and none that counts here.
        return DataPathProblem(
            Code.NOT_SUPPORTED,
            f"{doing}: the kernel refuses it to this root: run it outside any user namespace "
            "or container that is not allowed eBPF",
            where,
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _GONE:
        advice = "the interface is gone: name one that exists (ip link)"
    elif error.errno in (errno.EBUSY, errno.EEXIST):
        advice = (
            f"{reason}: another program holds the hook (ip link show, bpftool net): "
            "detach it or choose another hook"
        )
    elif error.errno == errno.EOPNOTSUPP:
        advice = "the driver does not support it: choose the hook xdp-generic or tc"
    elif error.errno == errno.ERANGE:
        advice = "the hook has as many programs as it can have: detach one (bpftool net)"
    elif error.errno in (errno.ENOMEM, errno.E2BIG):
        advice = f"{reason}: choose a smaller connection table (--table-size)"
    else:
        advice = reason
    return DataPathProblem(Code.INTERNAL, f"{doing}: {advice}", where, text)


def verifier_log(text: str) -> str:
    """The verifier's own words out of libbpf's messages."""
    if _BEGIN not in text:
        return ""
    return text.split(_BEGIN, 1)[1].split(_END, 1)[0].strip("\n")


def verifier_verdict(text: str) -> str:
    """The sentence with which the verifier gave up, or "" if it was not the verifier."""
    lines = [line for line in verifier_log(text).splitlines() if line.strip()]
    for line in reversed(lines[-_VERIFIER_LINES:]):
        if not line.startswith(("processed ", "verification time", "stack depth")):
            return line.strip()
    return ""


def refused_program(text: str) -> str:
    """The name of the program that the verifier refused, out of libbpf's messages."""
    found = re.search(r"prog '([^']+)'", text)
    return found[1] if found else "the program"
