# SPDX-License-Identifier: Apache-2.0

import asyncio
from pathlib import Path

import pytest
from tests.unit.config.keepalived.reading import read

from xlvs.io.bus import Bus
from xlvs.io.health import HealthChecks
from xlvs.io.tasks import Tasks
from xlvs.model.problem import Problem


def test_a_wrong_certificate_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    wrong = [
        f"SSL {{\n certificate {tmp_path}/none.pem\n}}\n",
        f"SSL {{\n ca {tmp_path}/ca.pem\n}}\n",
    ]
    died: list[str] = []

    async def story() -> None:
        tasks = Tasks(lambda name, error: died.append(f"{name}: {error}"))
        health = HealthChecks(
            read(""), lambda _: None, lambda _: None, tasks, bus=Bus(), paused=lambda _: 0.0
        )
        prober = health._prober
        for text in wrong:
            with pytest.raises(Problem, match=r"SSL: .*\.pem: "):
                await health.reconfigure(read(text))
            assert health._prober is prober
        await health.reconfigure(read(""))
        await health.stop(for_good=False)
        await tasks.stop()

    asyncio.run(story())
    assert died == []
