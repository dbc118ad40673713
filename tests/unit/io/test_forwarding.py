# SPDX-License-Identifier: Apache-2.0
"""What the host's settings keep from clients."""

from __future__ import annotations

import pytest

from xlvs.io.forwarding import refuses_local_clients


@pytest.mark.parametrize(
    ("lo", "every", "versions", "told"),
    [
        ("0", "0", {4}, 1),
        ("0", "0", {4, 6}, 1),
        ("1", "0", {4}, 0),
        ("0", "1", {4}, 0),
        ("0", "0", {6}, 0),
        ("0", "0", set(), 0),
    ],
)
def test_answers_with_a_local_source(tmp_path, lo, every, versions, told):
    for name, value in (("lo", lo), ("all", every)):
        folder = tmp_path / "ipv4" / "conf" / name
        folder.mkdir(parents=True)
        (folder / "accept_local").write_text(f"{value}\n")
    said = list(refuses_local_clients(versions, tmp_path))
    assert len(said) == told
    assert all("net.ipv4.conf.lo.accept_local=1" in each for each in said)
