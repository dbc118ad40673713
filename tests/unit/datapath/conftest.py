# SPDX-License-Identifier: Apache-2.0
"""The compiled object, as the build left it."""

from __future__ import annotations

import pytest

from xlvs.datapath.btf import Btf, read
from xlvs.datapath.layout import Layout
from xlvs.datapath.loader import OBJECTS


@pytest.fixture(scope="session")
def object_image() -> bytes:
    return (OBJECTS / "xdp.bpf.o").read_bytes()


@pytest.fixture(scope="session")
def btf(object_image: bytes) -> Btf:
    return read(object_image)


@pytest.fixture(scope="session")
def layout(btf: Btf) -> Layout:
    return Layout(btf)
