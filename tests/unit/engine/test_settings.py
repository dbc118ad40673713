# SPDX-License-Identifier: Apache-2.0
"""net.ipv4.vs.* on the command line."""

from __future__ import annotations

import pytest

from xlvs.engine import settings
from xlvs.model.problem import Problem


def test_values():
    assert settings.read(
        ["net.ipv4.vs.conn_reuse_mode=0", "net/ipv4/vs/sloppy_tcp=1", "conn_reuse_mode=2"]
    ) == {"conn_reuse_mode": (2,), "sloppy_tcp": (1,)}
    assert settings.read(["net.ipv4.vs.sync_threshold=3 100"]) == {"sync_threshold": (3, 100)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net.ipv4.vs.nonsense=1", "there is no setting net.ipv4.vs.nonsense"),
        ("net.ipv4.vs.sloppy_tcp", "--set wants net.ipv4.vs.KEY=VALUE, not"),
        ("net.ipv4.vs.sloppy_tcp=yes", "wants a whole number, not 'yes'"),
        ("net.ipv4.vs.sloppy_tcp=", "wants a whole number, not ''"),
        ("net.ipv4.vs.sloppy_tcp=2", "net.ipv4.vs.sloppy_tcp must be 0 to 1, not 2"),
        ("net.ipv4.vs.sync_threshold=3", "wants 2 whole numbers"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(Problem, match=message):
        settings.read([text])


def test_a_setting_without_effect_is_told():
    values = settings.read(["secure_tcp=3", "drop_entry=0", "sloppy_tcp=1"])
    assert settings.warnings(values) == ["net.ipv4.vs.secure_tcp is not in the data path yet"]


def test_defaults_are_within_their_ranges():
    for name, setting in settings.SETTINGS.items():
        assert all(setting.low <= number <= setting.high for number in setting.default), name
    assert settings.defaults()["conn_reuse_mode"] == 1
    assert "sync_threshold" not in settings.defaults()
