# SPDX-License-Identifier: Apache-2.0
"""Configuration files on the disk."""

from __future__ import annotations

import os

import pytest

from xlvs.config.keepalived.places import ConfigurationError
from xlvs.io import config_files
from xlvs.io.config_files import default_config_id, read_configuration, read_file


def test_includes_are_found_from_any_working_directory(tmp_path, monkeypatch):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text("global_defs {\n router_id ${_PWD}\n}\n")
    (tmp_path / "conf.d" / "b.conf").write_text("@here $X=1\n")
    (tmp_path / "k.conf").write_text("include conf.d/*.conf\nincludem {conf.d/a,none}.conf\n")
    monkeypatch.chdir(tmp_path.parent)
    found = read_configuration(os.path.join(tmp_path.name, "k.conf"), "here")
    assert found.globals.router_id == os.fspath(tmp_path / "conf.d")


def test_the_environment_is_this_process_s(tmp_path, monkeypatch):
    monkeypatch.setenv("XLVS_TEST_NAME", "value")
    (tmp_path / "k.conf").write_text("global_defs {\n router_id ${_ENV XLVS_TEST_NAME}\n}\n")
    assert read_configuration(os.fspath(tmp_path / "k.conf")).globals.router_id == "value"


def test_the_id_is_the_host_s_first_name(tmp_path):
    name = default_config_id()
    assert name
    assert "." not in name
    (tmp_path / "k.conf").write_text(f"@{name} global_defs {{\n@{name} router_id x\n@{name} }}\n")
    assert read_configuration(os.fspath(tmp_path / "k.conf")).globals.router_id == "x"


def test_only_plain_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # nobody writes: opening must not wait
    for name in ("fifo", ".", "none"):
        with pytest.raises(OSError):  # noqa: PT011  # of several kinds
            read_file(os.fspath(tmp_path / name))
    with pytest.raises(OSError, match="no plain file"):
        read_file("/dev/zero")


def test_huge_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, "LARGEST", 10)
    (tmp_path / "k.conf").write_text("x" * 11)
    with pytest.raises(ConfigurationError, match="larger than 10 bytes"):
        read_configuration(os.fspath(tmp_path / "k.conf"))
