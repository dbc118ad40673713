# SPDX-License-Identifier: Apache-2.0
"""Directors for the replays, and the verdict on what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from .facts import Difference
from .gaps import judge
from .pool import Pool

HOOKS = ("tc", "xdp-generic")
NATIVE = ("tc", "xdp")

Verdict = Callable[[Sequence[str], Sequence[Difference]], None]


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Fresh directors; all are gone after the session."""
    directors = Pool()
    try:
        yield directors
    finally:
        directors.close()


@pytest.fixture(scope="module", params=HOOKS)
def hook(request: pytest.FixtureRequest, pool: Pool) -> Iterator[str]:
    """Each hook in turn."""
    name = request.param
    assert isinstance(name, str)
    yield name
    pool.discard()


@pytest.fixture(scope="module", params=NATIVE)
def native_hook(request: pytest.FixtureRequest, pool: Pool) -> Iterator[str]:
    """The same with native XDP."""
    name = request.param
    assert isinstance(name, str)
    yield name
    pool.discard()


@pytest.fixture(scope="session")
def verdict() -> Verdict:
    """Fails unless recordings were met but for the known gaps, and those are still gaps."""

    def check(names: Sequence[str], differences: Sequence[Difference]) -> None:
        unexcused, met = judge(names, differences)
        complaints = [str(one) for one in unexcused[:5]]
        if len(unexcused) > 5:
            complaints.append(f"... and {len(unexcused) - 5} more")
        complaints += [f"{gap}: met now, take it out of gaps.py" for gap in met]
        if complaints:
            pytest.fail("\n".join(complaints), pytrace=False)

    return check
