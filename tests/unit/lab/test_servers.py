# SPDX-License-Identifier: Apache-2.0
"""nginx's configuration: its own name and the client that it saw, nothing shared."""

from __future__ import annotations

from pathlib import Path

from xlvs.lab.servers import nginx_configuration


def test_answers_name_and_client_on_both_families_and_ports() -> None:
    text = nginx_configuration("rs7", Path("/place"))
    assert 'return 200 "rs7 saw $remote_addr\\n";' in text
    for listen in ("*:80 ", "*:8080 ", "[::]:80 ", "[::]:8080 "):
        assert f"listen {listen}" in text


def test_writes_only_to_its_own_folder() -> None:
    text = nginx_configuration("rs7", Path("/place"))
    paths = [word.strip(";") for word in text.split() if word.startswith("/")]
    assert paths
    assert all(path.startswith("/place/") or path == "/" for path in paths)
    assert text.count("{") == text.count("}")
