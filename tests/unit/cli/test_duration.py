# SPDX-License-Identifier: Apache-2.0
"""Times as people write them."""

from __future__ import annotations

import pytest

from xlvs.cli import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d1s", 172801)],
)
def test_times(text, seconds):
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 m", "-1", "1m1h", "5M", "1.5h", "\u0663", "9" * 99])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="a time is such as"):
        duration.seconds(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (-3, "0:00"), (0.1, "0:01"), (299.5, "5:00"), (3600, "1:00:00"), (59, "0:59")],
)
def test_time_left(seconds, text):
    assert duration.clock(seconds) == text
