# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from xlvs.io import logs


def record(message="said %s", *args, level=logging.WARNING, **fields):
    found = logging.LogRecord("xlvs.health", level, __file__, 1, message, args, None)
    found.__dict__.update(fields)
    return found


def test_json_has_a_line_with_everything():
    said = logs.Json().format(record("two\nlines of %s", "it", service="tcp 10.0.0.1:80"))
    assert "\n" not in said
    found = json.loads(said)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "xlvs.health",
        "message": "two\nlines of it",
        "service": "tcp 10.0.0.1:80",
    }


def test_json_keeps_a_traceback():
    try:
        int("why")
    except ValueError:
        found = record("failed")
        found.exc_info = sys.exc_info()
    said = json.loads(logs.Json().format(found))
    assert said["traceback"].rstrip().endswith("'why'")


def test_a_field_that_json_does_not_know_is_text():
    said = json.loads(logs.Json().format(record("x", thing={1, 2}, other=Exception("hm"))))
    assert said["other"] == "hm"


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
        (logging.DEBUG, 7),
    ],
)
def test_each_line_has_its_priority(level, priority):
    formatter = logs.Prioritized(logging.Formatter("xlvsd: %(message)s"))
    said = formatter.format(record("one\ntwo", level=level))
    assert said == f"<{priority}>xlvsd: one\n<{priority}>two"


def test_the_journal_is_known_by_its_number(tmp_path, monkeypatch):
    with (tmp_path / "stream").open("w") as stream, (tmp_path / "other").open("w") as other:
        there = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        assert logs.is_journal(stream)
        assert not logs.is_journal(other)  # somebody has redirected it
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not logs.is_journal(stream)


def vrrpd(environment, *words):
    """What the VRRP process says of a file that it cannot read."""
    read, write = os.pipe()
    there = os.fstat(write)
    process = subprocess.Popen(
        [sys.executable, "-m", "xlvs.vrrpd", "--config", "/nowhere", *words],
        stderr=write,
        env={**os.environ, **environment(f"{there.st_dev}:{there.st_ino}")},
    )
    os.close(write)
    with open(read, encoding="utf-8") as said:
        text = said.read()
    assert process.wait() == 1
    return text


def test_a_process_logs_json():
    said = json.loads(vrrpd(lambda _: {}, "--log-format", "json"))
    assert (said["level"], said["logger"]) == ("error", "xlvs.vrrpd")
    assert "/nowhere" in said["message"]


def test_a_process_whose_log_is_the_journal_says_priorities():
    said = vrrpd(lambda stream: {"JOURNAL_STREAM": stream})
    assert said.startswith("<3>")
    assert " vrrpd: " in said
