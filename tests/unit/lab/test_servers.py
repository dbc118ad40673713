# SPDX-License-Identifier: Apache-2.0
"""nginx's configuration: its own name and the client that it saw, nothing shared."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from xlvs.lab.servers import nginx_configuration


def test_answers_name_and_client_on_both_families_and_ports() -> None:
    text = nginx_configuration("rs7", Path("/place"))
    assert 'return 200 "rs7 saw $remote_addr\\n";' in text
    for listen in ("*:80 ", "*:8080 ", "[::]:80 ", "[::]:8080 "):
        assert f"listen {listen}" in text


def test_writes_only_to_its_own_folder() -> None:
    text = nginx_configuration("rs7", Path("/place"))
    words = [word.strip(";") for word in text.split()]
    paths = [
        word
        for before, word in pairwise(words)
        if word.startswith("/") and before not in ("location", "=")  # those are of URLs
    ]
    assert paths
    assert all(path.startswith("/place/") for path in paths), paths
    assert text.count("{") == text.count("}")
