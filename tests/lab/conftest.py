# SPDX-License-Identifier: Apache-2.0
"""One lab for all tests of this folder; a director per hook."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xlvs.lab import Lab
from xlvs.lab.cleanup import remove_abandoned


@pytest.fixture(scope="session")
def world() -> Iterator[Lab]:
    """All hosts, nothing of xlvs running yet."""
    remove_abandoned()  # what an earlier run left when it was killed
    with Lab("full") as lab:
        yield lab
