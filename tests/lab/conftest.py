# SPDX-License-Identifier: Apache-2.0
"""One lab for all tests of this folder; a director per hook."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xlvs.lab import Lab
from xlvs.lab.cleanup import remove_abandoned
from xlvs.lab.director import Director


@pytest.fixture(scope="session")
def world() -> Iterator[Lab]:
    """All hosts, nothing of xlvs running yet."""
    remove_abandoned()  # what an earlier run left when it was killed
    with Lab("full") as lab:
        yield lab


@pytest.fixture(scope="module")
def prepared(world: Lab) -> Iterator[Lab]:
    """The same, the real servers ready for DR and TUN."""
    world.prepare_real_servers()
    yield world
    for server in world.real_servers:
        server.realserver("down")


@pytest.fixture(scope="module", params=["tc", "xdp"])
def hook(request: pytest.FixtureRequest) -> str:
    """Where the director takes packets."""
    return str(request.param)


@pytest.fixture(scope="module")
def running(prepared: Lab, hook: str) -> Iterator[Director]:
    """A director with xlvsd on a hook."""
    director = prepared.director
    director.start_xlvsd(hook)
    yield director
    director.down()


@pytest.fixture
def director(running: Director) -> Iterator[Director]:
    """The same, without any service before and after."""
    yield running
    running.ipvsadm("-C")
