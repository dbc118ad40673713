# SPDX-License-Identifier: Apache-2.0
"""Errors of the kernel as sentences."""

from __future__ import annotations

import errno
import os

import pytest

from xlvs.datapath import problems
from xlvs.datapath.problems import DataPathProblem, explain, explained
from xlvs.model.problem import Code, Problem

VERIFIER = [
    "libbpf: prog 'xlvs_xdp': BPF program load failed: Permission denied\n",
    "libbpf: prog 'xlvs_xdp': -- BEGIN PROG LOAD LOG --\n"
    "0: R1=ctx() R10=fp0\n"
    "invalid access to packet, off=12 size=2, R2(id=0,off=12,r=0)\n"
    "R2 offset is outside of the packet\n"
    "processed 7 insns (limit 1000000) max_states_per_insn 0\n"
    "-- END PROG LOAD LOG --\n",
    "libbpf: failed to load object 'xdp.bpf.o'\n",
]


def error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def test_the_verifiers_reason_and_log_are_kept() -> None:
    problem = explain(error(errno.EACCES), "loading xdp.bpf.o", "where", VERIFIER)
    assert problem.message == (
        "loading xdp.bpf.o: the kernel's verifier refused xlvs_xdp (R2 offset is outside of the "
        "packet); report it with the log and the kernel's version (uname -r)"
    )
    assert problem.log.startswith("0: R1=ctx()")
    assert problem.log.endswith("max_states_per_insn 0")
    assert (problem.code, problem.where) == (Code.INTERNAL, "where")


def test_privilege_is_the_reason_only_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "privileged", lambda: False)
    assert "run it as root" in explain(error(errno.EPERM), "loading").message
    monkeypatch.setattr(problems, "privileged", lambda: True)
    refused = explain(error(errno.EPERM), "loading", log=["libbpf: chatter"])
    assert "outside any user namespace" in refused.message
    assert not refused.log


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENODEV, "interface is gone"),
        (errno.EBUSY, "another program holds the hook"),
        (errno.EOPNOTSUPP, "choose the hook xdp-generic or tc"),
        (errno.ENOMEM, "--table-size"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_each_refusal_says_what_to_do(code: int, words: str) -> None:
    with pytest.raises(DataPathProblem, match=words), explained("attaching to eth0"):
        raise error(code)


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), explained("anything"):
        raise KeyError


def test_a_data_path_problem_is_a_problem() -> None:
    assert isinstance(problems.no_privilege("loading"), Problem)


def test_without_a_verifiers_log_there_is_no_verdict() -> None:
    assert problems.verifier_verdict("libbpf: failed to pin map\n") == ""
    assert problems.refused_program("") == "the program"
