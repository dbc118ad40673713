# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from xlvs.model.checker import (
    AnyCheck,
    HttpCheck,
    MiscCheck,
    SmtpCheck,
    SmtpHost,
    TcpCheck,
    Url,
)
from xlvs.model.notification import Command
from xlvs.protocols.checks.patience import patience

TRUE = Command(("/bin/true",))


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        (TcpCheck(), 5),
        (HttpCheck(urls=(Url(), Url())), 10),
        (SmtpCheck(), 5),
        (SmtpCheck(hosts=(SmtpHost(),) * 3), 15),
        (MiscCheck(command=TRUE), 60),
        (MiscCheck(command=TRUE, timeout=7), 7),
    ],
)
def test_patience(check: AnyCheck, seconds: float) -> None:
    assert patience(check, 5, 60) == seconds
