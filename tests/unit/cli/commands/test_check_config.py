# SPDX-License-Identifier: Apache-2.0
"""xlvs check-config, xlvs import."""

from __future__ import annotations

import json

import pytest

from xlvs.cli.main import main

GOOD = """@here virtual_server 10.0.0.1 80 {
@here     lvs_sched rr
@here     lvs_method NAT
@here     protocol TCP
@here     real_server 10.0.1.1 80 {
@here     }
@here }
global_defs {
    enable_dbus
}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "k.conf"
    path.write_text(GOOD)
    return path


def test_a_file_that_can_be_used(file, capsys):
    assert main(["check-config", str(file), "--config-id", "here"]) == 0
    out, err = capsys.readouterr()
    remark, last = out.splitlines()
    assert remark.startswith(f"{file}:9:5: enable_dbus has no effect")
    assert last == f"{file} can be used: 1 virtual service, 1 real server, 1 remark"
    assert err == ""


def test_conditions_follow_the_id(file, capsys):
    assert main(["check-config", str(file), "--config-id", "there"]) == 0
    assert "1 remark" in capsys.readouterr().out


def test_a_file_that_cannot_be_used(file, capsys):
    file.write_text("router_id x\nfoo {\n}\n")
    assert main(["check-config", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [each.partition(": ")[0] for each in err.splitlines()] == [
        f"{file}:1:1",
        f"{file}:2:1",
        str(file),
    ]
    assert err.endswith("2 problems\n")


@pytest.mark.parametrize("name", ["none", ".", "fifo"])
def test_what_is_no_file(tmp_path, capsys, name):
    import os  # noqa: PLC0415

    os.mkfifo(tmp_path / "fifo")
    assert main(["check-config", str(tmp_path / name)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_an_ldirectord_cf_is_imported(tmp_path, capsys):
    cf = tmp_path / "l.cf"
    cf.write_text("autoreload=yes\nvirtual=10.0.0.1:80\n\treal=10.0.1.1:80 gate\n")
    assert main(["import", str(cf)]) == 0
    out, err = capsys.readouterr()
    assert "autoreload is left out" in err
    made = tmp_path / "k.conf"
    made.write_text(out)
    assert main(["check-config", str(made)]) == 0


def test_an_ldirectord_cf_that_cannot_be_imported(tmp_path, capsys):
    cf = tmp_path / "l.cf"
    cf.write_text("virtual=web:80\n")
    assert main(["import", str(cf)]) == 1
    assert "names of hosts are not looked up" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none")]) == 1
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_for_programs(file, capsys):
    assert main(["check-config", str(file), "--config-id", "here", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["usable"], found["problems"]) == (str(file), True, [])
    (remark,) = found["remarks"]
    assert remark.startswith(f"{file}:9:5: ")
    file.write_text("router_id x\nfoo {\n}\n")
    assert main(["check-config", str(file), "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert not found["usable"]
    assert [each["where"] for each in found["problems"]] == [f"{file}:1:1", f"{file}:2:1"]
    assert err == ""
