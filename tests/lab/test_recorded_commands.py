# SPDX-License-Identifier: Apache-2.0
"""Every recorded command line of ipvsadm once more, answered by a running director."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.small import Small
from tests.oracle.command_lines import Record, check, interfaces, names, records
from tests.oracle.desired_director import Run

from xlvs.client.core import Core

HEADS = 2
"""Lines of a list of connections that lists none."""

BEGIN = ("--stop-daemon master", "--stop-daemon backup", "-C", "--set 900 120 300")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    with Small(tmp_path_factory.mktemp("small")) as small, pytest.MonkeyPatch.context() as patch:
        small.start()
        patch.setenv("XLVS_RUN", small.environment["XLVS_RUN"])
        yield Core(small.instance)


def _is_quiet(name: str) -> bool:
    """Whether it needs nothing but commands: packets and counters are replayed elsewhere."""
    lines = records(name)
    packets = not all("argv" in one for one in lines)
    connections = any(len(_connections(one)) > HEADS for one in lines)
    return not (packets or connections or interfaces(name))


def _connections(record: Record) -> list[str]:
    out = record.get("stdout", "")
    return out.splitlines() if out.startswith("IPVS connection entries") else []


QUIET = [name for name in names() if _is_quiet(name)]


@pytest.mark.parametrize("name", QUIET)
def test_recorded_command_lines(client: Core, name: str) -> None:
    for words in BEGIN:
        Run(client, words.split())
    for place in range(len(records(name))):
        check(client, name, place)
