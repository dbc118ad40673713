# SPDX-License-Identifier: Apache-2.0
"""For all tests: a skipped test is a failure, and properties find the same examples each time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

_ALLOW_SKIP = "XLVS_ALLOW_SKIP"


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail the run if a test was skipped: what is not tested here is not tested at all."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get(_ALLOW_SKIP) != "1" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("")
        reporter.write_line(f"{skipped} skipped: a failure, unless {_ALLOW_SKIP}=1", red=True)
    return (yield)
